"""Listening in namespaces: one suite asked of the kernel's sockets and of the simulated ones."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from pileus.drivers.listening.linux import LinuxListeners
from pileus.drivers.listening.listeners import Listeners, Place
from pileus.drivers.listening.simulated import SimulatedListeners
from pileus.drivers.namespace import socket_in
from pileus.drivers.netlink.links import Address, Veth
from pileus.drivers.netlink.linux import LinuxLinks

NAME = f"plt{os.getpid()}-endpoints"
CLIENT = f"plt{os.getpid()}-client"
V4 = Place(NAME, "169.254.169.254", 80)
V6 = Place(NAME, "fe80::a9fe:a9fe", 80, "d0")


class Site:
    """A namespace with listeners, and a client beside it."""

    listeners: Listeners

    def __init__(self, runner: asyncio.Runner) -> None:
        self.run = runner.run

    async def connect(self, place: Place) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        raise NotImplementedError

    async def renew(self) -> None: ...

    async def vanish(self) -> None: ...


class RealSite(Site):
    def __init__(self, runner: asyncio.Runner) -> None:
        super().__init__(runner)
        self.listeners = LinuxListeners()
        self.links = LinuxLinks()
        self.run(self.renew())

    async def renew(self) -> None:
        await self.vanish()
        await self.links.ensure_namespaces([NAME, CLIENT])
        await LinuxLinks(NAME).ensure_veths([Veth("d0", "c0", CLIENT)])
        await self.links.ensure_addresses(
            [
                Address(NAME, "d0", "169.254.169.254/24"),
                Address(NAME, "d0", "fe80::a9fe:a9fe/64"),
                Address(CLIENT, "c0", "169.254.169.1/24"),
                Address(CLIENT, "c0", "fe80::1/64"),
            ]
        )

    async def vanish(self) -> None:
        await self.links.delete_namespaces([NAME, CLIENT])

    async def connect(self, place: Place) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        family = socket.AF_INET6 if ":" in place.address else socket.AF_INET
        client = socket_in(CLIENT, family, socket.SOCK_STREAM)
        client.setblocking(False)
        if family == socket.AF_INET6:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"c0\0")
            client.bind(("fe80::1", 0))
        try:
            async with asyncio.timeout(2):
                await asyncio.get_running_loop().sock_connect(client, (place.address, place.port))
            return await asyncio.open_connection(sock=client)
        except BaseException:
            client.close()
            raise


class SimulatedSite(Site):
    def __init__(self, runner: asyncio.Runner) -> None:
        super().__init__(runner)
        self.namespace: int | None = 1
        self.listeners = SimulatedListeners(lambda name: self.namespace if name == NAME else None)

    async def renew(self) -> None:
        self.namespace = (self.namespace or 1) + 1

    async def vanish(self) -> None:
        self.namespace = None

    async def connect(self, place: Place) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        assert isinstance(self.listeners, SimulatedListeners)
        return await self.listeners.connect(place, "fe80::1" if ":" in place.address else "169.254.169.1")


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.real)])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    if request.param == "real" and os.geteuid() != 0:
        pytest.skip("needs root: namespaces")
    with asyncio.Runner() as runner:
        site = (RealSite if request.param == "real" else SimulatedSite)(runner)
        try:
            yield site
        finally:
            runner.run(site.vanish())


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, source: str) -> None:
    writer.write(await reader.readline() + source.encode())
    writer.close()


async def asked(site: Site, place: Place) -> bytes:
    reader, writer = await site.connect(place)
    writer.write(b"hello\n")
    answer = await reader.read()
    writer.close()
    return answer


def test_a_visitor_is_heard_and_known(site: Site) -> None:
    async def story() -> None:
        opened = [await site.listeners.listen(place, echo, limit=100) for place in (V4, V6)]
        assert await asked(site, V4) == b"hello\n169.254.169.1"
        assert await asked(site, V6) == b"hello\nfe80::1"
        for listening in opened:
            listening.close()
        with pytest.raises(ConnectionRefusedError):
            await asked(site, V4)

    site.run(story())


def test_a_place_is_taken_once(site: Site) -> None:
    async def story() -> None:
        first = await site.listeners.listen(V4, echo, limit=100)
        with pytest.raises(OSError, match="in use"):
            await site.listeners.listen(V4, echo, limit=100)
        first.close()
        (await site.listeners.listen(V4, echo, limit=100)).close()

    site.run(story())


def test_lines_are_bounded(site: Site) -> None:
    caught: list[Any] = []

    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, source: str) -> None:
        try:
            await reader.readline()
        except ValueError as error:
            caught.append(error)
        writer.close()

    async def story() -> None:
        opened = await site.listeners.listen(V4, read, limit=100)
        reader, writer = await site.connect(V4)
        writer.write(b"x" * 500)
        await reader.read()
        assert len(caught) == 1
        writer.close()
        opened.close()

    site.run(story())


def test_a_namespace_that_is_made_anew_is_another_one(site: Site) -> None:
    async def story() -> None:
        before = site.listeners.incarnation(NAME)
        assert before is not None
        held = await site.listeners.listen(V4, echo, limit=100)
        await site.renew()
        assert site.listeners.incarnation(NAME) not in (None, before)
        held.close()
        await site.vanish()
        assert site.listeners.incarnation(NAME) is None
        with pytest.raises(FileNotFoundError):
            await site.listeners.listen(V4, echo, limit=100)

    site.run(story())
