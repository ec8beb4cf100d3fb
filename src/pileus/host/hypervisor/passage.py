"""The line between two hosts by which a machine that runs goes from one to the other.

The host that it comes to listens for it, and for nothing else, as long as it is expected (``Door``); the one
that it leaves connects (``Way``), once for each thing that is to be said. Both show a certificate that their
agents made when they started, and both take exactly the one that the server has told them of: there is no
authority between them, and a third host gets nowhere. Each connection begins with a line of JSON that says
what it is for.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import ssl
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pileus.core import log
from pileus.drivers.libvirt.hypervisor import CONTROL

_log = log.get("host.hypervisor")

CHUNK = 1 << 18
LINE = 1 << 20
_CONNECTS_WITHIN_S = 10.0
_FOREVER = dt.datetime(2000, 1, 1, tzinfo=dt.UTC), dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
"""A certificate is good as long as its agent runs, whatever the clocks of two hosts say."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class NoPassage(Exception):
    """The other host can't be reached, or does not do what is asked; the text says why."""


class Identity:
    """By what an agent is known to other hosts' agents: a key that never leaves its memory."""

    def __init__(self, host: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
        built = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_FOREVER[0])
            .not_valid_after(_FOREVER[1])
            .sign(key, hashes.SHA256())
        )
        self.certificate = built.public_bytes(serialization.Encoding.PEM).decode()
        self._key = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def context(self, peer: str, *, listens: bool) -> ssl.SSLContext:
        """A context that takes one peer only, by its certificate. ValueError for what is none."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if listens else ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(cadata=peer)
        except ssl.SSLError as error:
            raise ValueError(f"the other host's certificate can't be read: {error}") from error
        descriptor = os.memfd_create("pileus", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, self._key + self.certificate.encode())
            context.load_cert_chain(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)
        return context


class Door:
    """Lets one other host in. ``answer(request, streams)`` is called with each first line."""

    def __init__(self, answer: Callable[[dict[str, Any], Streams], Awaitable[None]]) -> None:
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._inside: set[asyncio.Task[None]] = set()
        self.port = 0

    async def open(self, address: str, ports: range, context: ssl.SSLContext) -> None:
        """Listen at the first free one of some ports (``range(0)``: any). OSError where there is none."""
        error: OSError | None = None
        for port in ports or (0,):
            try:
                self._server = await asyncio.start_server(
                    self._entered, address, port, ssl=context, limit=LINE
                )
            except OSError as taken:
                error = taken
                continue
            self.port = self._server.sockets[0].getsockname()[1]
            return
        raise error or OSError("no port is free for machines that come")

    async def close(self, *, linger_s: float = 0.0) -> None:
        """Let nobody in any more; what is under way after so many seconds is ended."""
        if self._server is not None:
            self._server.close()
        if linger_s and self._inside:
            await asyncio.wait(list(self._inside), timeout=linger_s)
        for task in list(self._inside):
            task.cancel()
        await asyncio.gather(*self._inside, return_exceptions=True)

    async def _entered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._inside.add(task)
        try:
            request = msgspec.json.decode(await reader.readuntil(b"\n"), type=dict[str, Any])
            await self._answer(request, (reader, writer))
        except asyncio.CancelledError:
            pass
        except Exception as error:
            _log.info("what another host asked for failed", error=str(error))
            with contextlib.suppress(OSError):
                await say(writer, {"error": str(error)})
        finally:
            self._inside.discard(task)
            writer.close()


class Way:
    """The way to the host that a machine goes to. ``door``: its address and port; ``folder``: where the
    machine's files are to be there."""

    def __init__(self, door: tuple[str, int], context: ssl.SSLContext, folder: str = "") -> None:
        self.folder = folder
        self._door = door
        self._context = context
        self._servers: list[asyncio.Server] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def connect(self, request: Mapping[str, Any]) -> Streams:
        """Ask for something; the streams that follow. NoPassage where the host can't be reached."""
        try:
            async with asyncio.timeout(_CONNECTS_WITHIN_S):
                reader, writer = await asyncio.open_connection(*self._door, ssl=self._context, limit=LINE)
            await say(writer, request)
        except (OSError, TimeoutError) as error:
            address, port = self._door
            raise NoPassage(f"{address} port {port}: {error or 'no answer'}") from error
        return reader, writer

    async def ask(self, request: Mapping[str, Any], content: bytes = b"") -> dict[str, Any]:
        """Ask for something, and give back the answer. NoPassage where it is refused."""
        reader, writer = await self.connect(request)
        try:
            writer.write(content)
            await writer.drain()
            answer = msgspec.json.decode(await reader.readuntil(b"\n"), type=dict[str, Any])
        except (OSError, asyncio.IncompleteReadError, msgspec.DecodeError) as error:
            raise NoPassage(f"the other host ended the connection: {error}") from error
        finally:
            writer.close()
        if "error" in answer:
            raise NoPassage(str(answer["error"]))
        return answer

    async def carry(
        self,
        channels: Mapping[str, Path],
        owner: tuple[int, int] | None,
        before: Mapping[str, Callable[[], Awaitable[None]]] | None = None,
    ) -> None:
        """Listen at paths, and carry what is said there to the other host's channel of the same name.
        ``owner``: the user and group who may connect beside us, but not to ``control``, since what a
        machine runs as has nothing to say to the other host's hypervisor; ``before``: what is to be done when
        the first bytes of a channel are there, before they are carried."""
        for name, path in channels.items():

            async def connected(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str = name
            ) -> None:
                task = asyncio.current_task()
                assert task is not None
                self._under_way.add(task)
                other: Streams | None = None
                try:
                    other = await self.connect({"channel": name})
                    if before and name in before and (first := await reader.read(CHUNK)):
                        await before[name]()
                        other[1].write(first)
                    await join((reader, writer), other)
                except asyncio.CancelledError:
                    pass
                except Exception as error:
                    _log.info("a channel to another host can't be carried", channel=name, error=str(error))
                    if other is not None:
                        other[1].close()
                finally:
                    self._under_way.discard(task)
                    writer.close()

            self._servers.append(await asyncio.start_unix_server(connected, str(path), limit=LINE))
            await asyncio.to_thread(_give, path, None if name == CONTROL else owner)

    async def close(self) -> None:
        """End all that is carried."""
        for server in self._servers:
            server.close()
        for task in list(self._under_way):
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)


def _give(path: Path, owner: tuple[int, int] | None) -> None:
    path.chmod(0o600)
    if owner is not None and os.geteuid() == 0:
        os.chown(path, *owner)


async def say(writer: asyncio.StreamWriter, said: Mapping[str, Any]) -> None:
    """Write one line."""
    writer.write(msgspec.json.encode(said) + b"\n")
    await writer.drain()


async def join(one: Streams, other: Streams) -> None:
    """Carry bytes both ways until both sides have said all, or one is gone; then close both."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        # TLS has no half that could be closed: who has said all is gone
        if writer.can_write_eof():
            writer.write_eof()

    tasks = [asyncio.ensure_future(pump(one[0], other[1])), asyncio.ensure_future(pump(other[0], one[1]))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if any(task.done() and task.exception() is None for task in tasks):
            await asyncio.wait(tasks, timeout=_DRAINS_WITHIN_S)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _, writer in (one, other):
            writer.close()


_DRAINS_WITHIN_S = 1.0
"""Time for what is under way in one direction when the other one has ended."""
