"""The same questions to BIND, which takes dynamic updates, and to the simulated server of names."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.name_server import NameServer, why_not_real

from pileus.core.dns import DnsPublisher, DnsRecord, DnsUnreachable
from pileus.core.settings import BadSettings
from pileus.drivers.dns.section import ExternalDnsSection
from pileus.drivers.dns.simulated import SimulatedDns
from pileus.drivers.dns.updates import DynamicUpdates

WEB = DnsRecord("web.example.test.", "A", "192.0.2.10")
ALSO = DnsRecord("web.example.test.", "A", "192.0.2.11")
SIX = DnsRecord("web.example.test.", "AAAA", "2001:db8::10")
BACK = DnsRecord("10.2.0.192.in-addr.arpa.", "PTR", "web.example.test.")
DEEP = DnsRecord("db.shop.example.test.", "A", "192.0.2.12")
ABROAD = DnsRecord("web.example.org.", "A", "192.0.2.13")

Story = Callable[["Server"], Awaitable[None]]


class Server:
    """The part under test, and what others see of it."""

    publisher: DnsPublisher

    async def has(self, record: DnsRecord) -> bool:
        raise NotImplementedError

    async def start(self) -> None:
        raise NotImplementedError

    def die(self) -> None:
        raise NotImplementedError


class Simulated(Server):
    def __init__(self, folder: Path) -> None:
        self.twin = SimulatedDns(("example.test.", "in-addr.arpa.", "ip6.arpa."))
        self.publisher = self.twin

    async def has(self, record: DnsRecord) -> bool:
        return record in self.twin.records

    async def start(self) -> None:
        self.twin.is_dead = False

    def die(self) -> None:
        self.twin.is_dead = True


class Real(Server):
    def __init__(self, folder: Path) -> None:
        self.bind = NameServer(folder)
        self.publisher = DynamicUpdates(self.bind.settings())

    async def has(self, record: DnsRecord) -> bool:
        return await self.bind.has(record)

    async def start(self) -> None:
        await self.bind.start()

    def die(self) -> None:
        self.bind.stop()


@pytest.fixture(params=[Simulated, pytest.param(Real, marks=pytest.mark.real)])
def tell(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Story], None]:
    """Tell a story to a running server."""
    if request.param is Real and (reason := why_not_real()) is not None:
        pytest.skip(reason)

    def told(story: Story) -> None:
        async def run() -> None:
            server = request.param(tmp_path)
            await server.start()
            try:
                await story(server)
            finally:
                server.die()

        asyncio.run(run())

    return told


def test_records_come_and_go(tell: Callable[[Story], None]) -> None:
    async def story(server: Server) -> None:
        everything = [WEB, ALSO, SIX, BACK, DEEP]
        for _ in range(2):
            assert await server.publisher.change(everything, []) == {}
        assert all([await server.has(one) for one in everything])
        for _ in range(2):
            assert await server.publisher.change([], [ALSO, BACK]) == {}
        assert [await server.has(one) for one in everything] == [True, False, True, False, True]
        assert await server.publisher.change([ALSO], [WEB]) == {}
        assert (await server.has(ALSO), await server.has(WEB)) == (True, False)

    tell(story)


def test_one_that_is_refused_keeps_no_others_away(tell: Callable[[Story], None]) -> None:
    async def story(server: Server) -> None:
        refused = await server.publisher.change([WEB, ABROAD, BACK], [])
        assert list(refused) == [ABROAD] and "example.org" in refused[ABROAD]
        assert await server.has(WEB) and await server.has(BACK)

    tell(story)


def test_a_dead_server_is_said_to_be(tell: Callable[[Story], None]) -> None:
    async def story(server: Server) -> None:
        assert await server.publisher.change([WEB], []) == {}
        server.die()
        with pytest.raises(DnsUnreachable, match="gives no answer"):
            await server.publisher.change([ALSO], [])
        await server.start()
        assert await server.publisher.change([ALSO], []) == {}
        assert await server.has(WEB) and await server.has(ALSO)

    tell(story)


@pytest.mark.real
@pytest.mark.skipif(why_not_real() is not None, reason=why_not_real() or "")
def test_another_key_changes_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        bind = NameServer(tmp_path)
        await bind.start()
        try:
            (tmp_path / "other").write_text("b3RoZXI=")
            wrong = DynamicUpdates(bind.settings(tsig_secret_file=str(tmp_path / "other")))
            with pytest.raises(DnsUnreachable):
                await wrong.change([WEB], [])
            unsigned = DynamicUpdates(bind.settings(tsig_name=""))
            refused = await unsigned.change([WEB, SIX], [])
            assert set(refused) == {WEB, SIX} and "REFUSED" in refused[WEB]
            assert not await bind.has(WEB)
        finally:
            bind.stop()

    asyncio.run(story())


def test_a_key_that_cannot_be_read_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("no Base64!")
    for file in (str(tmp_path / "secret"), str(tmp_path / "nothing")):
        settings = ExternalDnsSection(server="192.0.2.53", tsig_name="pileus", tsig_secret_file=file)
        with pytest.raises(BadSettings, match="external_dns"):
            DynamicUpdates(settings)
