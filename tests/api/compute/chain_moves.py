"""Cases of the chains by which servers leave their hosts, or become other machines."""

from __future__ import annotations

from typing import Any

from tests import chains
from tests.api.compute.chain_cases import TaskCase

from pileus.services.compute.servers.chains import (
    EVACUATE,
    LIVE,
    OFFLOAD,
    RESIZE,
    REVERT,
    SHELVE,
    SWEEP,
    UNSHELVE,
)
from pileus.services.image.images.tables import images
from pileus.store.schema import metadata


class ShelveCase(TaskCase):
    """Of a server that leaves its host when it is shelved."""

    chain = SHELVE
    verb = "shelve"
    argument: Any = None

    async def answer(self) -> None:
        await self.host.pass_(ports=False)

    async def shown(self) -> tuple[Any, ...]:
        server = await self.api.as_("admin").server(self.server_id)
        return server["status"], server["OS-EXT-STS:task_state"], server["OS-EXT-SRV-ATTR:host"]

    async def images(self) -> list[Any]:
        rows = images.select().where(images.c.owner == self.server["tenant_id"])
        return list(await self.store.read(lambda tx: tx.rows(rows)))

    async def shelved(self) -> None:
        """Bring it to where it has left its host."""
        assert (await self.api.act(self.server_id, "shelve", None)).status == 202
        for _ in range(2):
            await self.host.pass_()
            await self.api.conductor().work()
        self.clock.advance(1)
        await self.host.heartbeat()

    async def assert_done(self) -> None:
        assert await self.shown() == ("SHELVED", "shelving_offloading", "h1")
        assert [one.status for one in await self.images()] == ["active"]
        await self.assert_action("shelve", None)

    async def assert_undone(self, step: str, reason: str) -> None:
        assert await self.shown() == ("ACTIVE", None, "h1")
        await self.api.conductor().work()
        assert await self.images() == []
        await self.assert_action("shelve", reason)
        await self.assert_told("shelve", *SHELVE.progress(step)[1:], reason)
        (told,) = (await self.host.state()).servers
        assert (told.wanted, told.operations) == ("running", ())


class OffloadCase(ShelveCase):
    chain = OFFLOAD
    verb = "shelveOffload"

    async def begin(self) -> None:
        await self.set_up()
        self.server = await self.booted()
        self.clock.advance(1)
        assert (await self.api.act(self.server_id, "shelve", None)).status == 202
        await self.host.pass_()
        self.clock.advance(1)
        await self.host.heartbeat()
        await chains.runner(self, SHELVE, "before").work()

    async def assert_done(self) -> None:
        assert await self.shown() == ("SHELVED_OFFLOADED", None, None)
        assert await self.api.count("allocations") == 0
        (port,) = await self.api.ports_of(self.server_id)
        assert port["binding:host_id"] == ""
        assert [one.status for one in await self.images()] == ["active"]

    async def assert_undone(self, step: str, reason: str) -> None:
        assert await self.shown() == ("SHELVED", None, "h1")
        assert await self.api.count("allocations") == 1
        await self.assert_told("shelveOffload", *OFFLOAD.progress(step)[1:], reason)
        assert (await self.api.as_("admin").act(self.server_id, "shelveOffload", None)).status == 202


class UnshelveCase(ShelveCase):
    chain = UNSHELVE
    verb = "unshelve"

    async def begin(self) -> None:
        await self.set_up()
        self.server = await self.booted()
        await self.shelved()
        assert (await self.api.act(self.server_id, "unshelve", None)).status == 202

    async def assert_done(self) -> None:
        assert await self.shown() == ("ACTIVE", None, "h1")
        assert await self.api.count("allocations") == 1
        (port,) = await self.api.ports_of(self.server_id)
        assert port["binding:host_id"] == "h1"
        await self.api.conductor().work()
        assert await self.images() == [] and len(self.api.files.deleted) == 1
        await self.assert_action("unshelve", None)

    async def assert_undone(self, step: str, reason: str) -> None:
        if step == "settle":  # it runs already; that its image stays is all
            assert await self.shown() == ("ACTIVE", None, "h1")
            return
        assert await self.shown() == ("SHELVED_OFFLOADED", None, None)
        assert await self.api.count("allocations") == 0
        (port,) = await self.api.ports_of(self.server_id)
        assert port["binding:host_id"] == ""
        assert [one.status for one in await self.images()] == ["active"]
        await self.assert_action("unshelve", reason)
        await self.assert_told("unshelve", *UNSHELVE.progress(step)[1:], reason)
        assert (await self.host.state()).servers == ()


class SweepCase(ShelveCase):
    """Of the image of a shelved server that is deleted."""

    chain = SWEEP

    async def begin(self) -> None:
        await self.set_up()
        self.server = await self.booted()
        await self.shelved()
        (self.image,) = await self.images()
        assert (await self.api("DELETE", f"/servers/{self.server_id}")).status == 204

    async def assert_done(self) -> None:
        assert {*self.api.files.deleted} == {self.image.object}
        assert await self.images() == []

    async def assert_undone(self, step: str, reason: str) -> None:
        assert (await self.api("GET", f"/servers/{self.server_id}")).status == 404


class ResizeCase(ShelveCase):
    """From one host to another, which comes when the server is there, and has more room."""

    chain = RESIZE
    verb = "resize"
    argument = {"flavorRef": "2"}  # noqa: RUF012

    async def pass_time(self, seconds: float) -> None:
        await super().pass_time(seconds)
        await self.other.heartbeat()

    async def begin(self) -> None:
        await self.set_up()
        self.server = await self.booted()
        self.clock.advance(1)
        self.other = await self.api.host("h2", memory_mib=32768)
        assert (await self.api.act(self.server_id, "resize", self.argument)).status == 202

    async def answer(self) -> None:
        for host in (self.host, self.other):
            await host.pass_(ports=False)

    async def held(self) -> list[tuple[Any, ...]]:
        """Room that hosts keep for the server beside that of the one it is on; status of its migration."""
        table = metadata.tables["server_migrations"]
        rows = await self.store.read(lambda tx: tx.rows(table.select().order_by(table.c.number)))
        return [(row.status, row.held_host, row.held_memory_mib) for row in rows]

    async def carried(self) -> int:
        rows = images.select().where(images.c.owner.is_(None))
        return len(await self.store.read(lambda tx: tx.rows(rows)))

    async def bound(self) -> tuple[Any, int]:
        (port,) = await self.api.ports_of(self.server_id)
        return port["binding:host_id"], await self.api.count("port_bindings")

    async def assert_done(self) -> None:
        assert await self.shown() == ("VERIFY_RESIZE", None, "h2")
        assert await self.held() == [("finished", "h1", 512)]
        assert await self.bound() == ("h2", 1)
        await self.api.conductor().work()
        assert await self.carried() == 0 and len(self.api.files.deleted) == 1
        await self.assert_action("resize", None)

    async def assert_undone(self, step: str, reason: str) -> None:
        if step == "settle":  # it is resized; that what was carried stays is all
            assert (await self.shown())[::2] == ("VERIFY_RESIZE", "h2")
            return
        assert await self.shown() == ("ACTIVE", None, "h1")
        assert await self.held() == [("error", None, 0)]
        assert await self.bound() == ("h1", 0)
        assert await self.carried() == 0
        assert await self.api.count("allocations") == 1
        await self.assert_action("resize", reason)
        await self.assert_told("resize", *RESIZE.progress(step)[1:], reason)
        (told,) = (await self.host.state()).servers
        assert (told.wanted, told.memory_mib, told.operations) == ("running", 512, ())
        state = await self.other.state()
        assert (state.servers, state.kept) == ((), ())


class LiveCase(ResizeCase):
    """To another host while its guest runs."""

    chain = LIVE
    verb = "os-migrateLive"
    argument = {"block_migration": "auto", "host": None}  # noqa: RUF012

    async def begin(self) -> None:
        await self.set_up()
        self.server = await self.booted()
        self.clock.advance(1)
        self.other = await self.api.host("h2", memory_mib=32768)
        admin = self.api.as_("admin")
        assert (await admin.act(self.server_id, self.verb, self.argument)).status == 202

    async def assert_done(self) -> None:
        await self.answer()
        assert await self.shown() == ("ACTIVE", None, "h2")
        assert await self.held() == [("completed", None, 0)]
        assert await self.bound() == ("h2", 0)
        assert await self.api.count("allocations") == 1
        await self.assert_action("live-migration", None)
        assert (await self.host.state()).servers == ()
        assert (await self.other.state()).incoming == ()

    async def assert_undone(self, step: str, reason: str) -> None:
        assert await self.shown() == ("ACTIVE", None, "h1")
        assert await self.held() == [("error", None, 0)]
        assert await self.bound() == ("h1", 0)
        assert await self.api.count("allocations") == 1
        await self.assert_action("live-migration", reason)
        await self.assert_told("live-migration", *LIVE.progress(step)[1:], reason)
        (told,) = (await self.host.state()).servers
        assert (told.wanted, told.operations) == ("running", ())
        state = await self.other.state()
        assert (state.servers, state.kept, state.incoming) == ((), (), ())


class RevertCase(ResizeCase):
    chain = REVERT
    verb = "revertResize"

    async def begin(self) -> None:
        await super().begin()
        for _ in range(3):
            await self.api.conductor().work()
            await self.answer()
        await self.api.conductor().work()
        self.clock.advance(1)
        assert (await self.api.act(self.server_id, "revertResize", None)).status == 202

    async def assert_done(self) -> None:
        assert await self.shown() == ("ACTIVE", None, "h1")
        assert await self.held() == [("reverted", None, 0)]
        assert await self.bound() == ("h1", 0)
        await self.assert_action("revertResize", None)

    async def assert_undone(self, step: str, reason: str) -> None:
        if step == "back":
            assert await self.shown() == ("VERIFY_RESIZE", None, "h2")
            assert await self.held() == [("finished", "h1", 512)]
        elif step == "spawn":
            assert await self.shown() == ("ERROR", None, "h1")
            assert await self.held() == [("error", None, 0)]
        else:
            assert await self.shown() == ("ACTIVE", None, "h1")
            return
        await self.assert_action("revertResize", reason)
        await self.assert_told("revertResize", *REVERT.progress(step)[1:], reason)


class EvacuateCase(ResizeCase):
    """Of a server whose host is down, and stays so."""

    chain = EVACUATE
    verb = "evacuate"

    async def begin(self) -> None:
        await self.set_up()
        self.server = await self.booted()
        self.clock.advance(self.parts.config.service_down_time_s + 1)
        self.other = await self.api.host("h2", memory_mib=32768)
        assert (await self.api.as_("admin").act(self.server_id, "evacuate", {})).status == 200

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await self.other.heartbeat()

    async def answer(self) -> None:
        await self.other.pass_(ports=False)

    async def assert_done(self) -> None:
        assert await self.shown() == ("SHUTOFF", None, "h2")
        assert await self.held() == [("done", None, 0)]
        assert await self.bound() == ("h2", 0)
        await self.assert_action("evacuate", None)

    async def assert_undone(self, step: str, reason: str) -> None:
        if step == "settle":
            assert await self.shown() == ("SHUTOFF", None, "h2")
            return
        assert await self.shown() == ("ACTIVE", None, "h1")
        assert await self.held() == [("failed", None, 0)]
        assert await self.bound() == ("h1", 0)
        assert (await self.other.state()).servers == ()
        await self.assert_action("evacuate", reason)
        await self.assert_told("evacuate", *EVACUATE.progress(step)[1:], reason)
