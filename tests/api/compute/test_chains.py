"""The chains of servers (boot, delete, shelve, …), broken at each step and killed between any two."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete
from tests import chains, databases
from tests.api.compute.cloud import IMAGE, Cloud, cloud
from tests.api.compute.volume_cases import Volumes
from tests.chains import Case

from pileus.core.errors import Conflict
from pileus.services.compute.servers.chains import (
    ATTACH,
    BOOT,
    CHAINS,
    CRASH_DUMP,
    DELETE,
    DETACH,
    EVACUATE,
    LIVE,
    OFFLOAD,
    REBOOT,
    REBUILD,
    RESCUE,
    RESIZE,
    REVERT,
    SHELVE,
    SNAPSHOT,
    SWEEP,
    UNRESCUE,
    UNSHELVE,
    VOLUME_BOOT,
)
from pileus.services.compute.servers.chains import delete as deletion
from pileus.services.image.images.tables import images
from pileus.store.operations import FAILED, Operation, operations
from pileus.store.schema import metadata


class ServerCase(Case):
    """A cloud with one host, and one server on it that is worked on."""

    server: Mapping[str, Any]

    def __init__(self, api: Cloud) -> None:
        self.api = api
        self.store, self.clock = api.store, api.clock
        self.parts = api.parts

    async def set_up(self) -> None:
        self.host = await self.api.host()
        self.network_id = await self.api.a_network()

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await self.host.heartbeat()

    @property
    def server_id(self) -> str:
        return str(self.server["id"])

    async def assert_nothing_left(self) -> None:
        for table in ("allocations", "server_interfaces"):
            assert await self.api.count(table) == 0, table
        assert await self.api.ports_of(self.server_id) == []

    async def assert_action(self, action: str, reason: str | None) -> None:
        """How an action looks to whoever asked for it, and that administrators are told why."""
        path = f"/servers/{self.server_id}/os-instance-actions"
        found = [
            one for one in (await self.api("GET", path)).json["instanceActions"] if one["action"] == action
        ]
        one = f"{path}/{found[0]['request_id']}"
        shown = (await self.api("GET", one)).json["instanceAction"]
        (event,) = shown["events"]
        assert event["finish_time"] is not None
        assert event["result"] == ("Success" if reason is None else "Error")
        assert "details" not in event
        for_admins = (await self.api.as_("admin")("GET", one)).json["instanceAction"]
        assert [event["details"] for event in for_admins["events"]] == [reason]
        assert shown["message"] == (None if reason is None else "Error")

    async def assert_told(self, step: str, position: int, of: int, reason: str) -> None:
        """The timeline says which step failed, how far it was, and why."""
        path = f"/servers/{self.server_id}/os-pileus-timeline"
        shown = (await self.api.as_("admin")("GET", path)).json
        timeline = shown["timeline"]
        operation = [one for one in shown["operations"] if one["operation"] == self.chain.kind][-1]
        assert (operation["operation"], operation["state"]) == (self.chain.kind, "failed")
        assert (operation["position"], operation["of"], operation["error"]) == (position, of, reason)
        told = [(one["step"], one["position"], one["of"]) for one in timeline if one.get("error") == reason]
        assert told == [(step, position, of)]


class BootCase(ServerCase):
    """With a port that is given and one that is made."""

    chain = BOOT

    async def begin(self) -> None:
        await self.set_up()
        body = {"port": {"network_id": self.network_id}}
        given = await self.api("POST", "/networking/v2.0/ports", body)
        self.given = given.json["port"]["id"]
        networks = [{"port": self.given}, {"uuid": self.network_id}]
        self.server = (await self.api.ask_for(networks=networks)).json["server"]

    async def assert_done(self) -> None:
        await self.host.pass_()
        await self.api.conductor().work()
        server = await self.api.server(self.server_id)
        assert server["status"] == "ACTIVE", server
        assert len(await self.api.ports_of(self.server_id)) == 2
        assert await self.api.count("allocations") == 1
        assert await self.api.count("server_interfaces") == 2
        await self.assert_action("create", None)
        await self.api("DELETE", f"/servers/{self.server_id}")
        await self.host.pass_()
        await self.assert_nothing_left()

    async def assert_undone(self, step: str, reason: str) -> None:
        server = await self.api.as_("admin").server(self.server_id)
        assert (server["status"], server["fault"]["message"]) == ("ERROR", reason)
        assert server["OS-EXT-SRV-ATTR:host"] is None
        await self.assert_nothing_left()
        port = (await self.api("GET", f"/networking/v2.0/ports/{self.given}")).json["port"]
        assert (port["device_id"], port["device_owner"]) == ("", "")
        assert (await self.host.state()).servers == ()
        await self.assert_action("create", reason)
        await self.assert_told(step, *self.chain.progress(step)[1:], reason)
        assert (await self.api("DELETE", f"/servers/{self.server_id}")).status == 204


class VolumeBootCase(BootCase):
    """Of a server that begins from a volume made of an image, and gets one that is there."""

    chain = VOLUME_BOOT

    async def begin(self) -> None:
        await self.set_up()
        self.volumes = Volumes(self.api)
        await self.volumes.set_up()
        self.volume_id = await self.volumes.make()
        body = {"port": {"network_id": self.network_id}}
        self.given = (await self.api("POST", "/networking/v2.0/ports", body)).json["port"]["id"]
        devices = [
            {
                "source_type": "image",
                "destination_type": "volume",
                "uuid": IMAGE,
                "boot_index": 0,
                "volume_size": 2,
                "delete_on_termination": True,
            },
            {"source_type": "volume", "uuid": self.volume_id},
        ]
        networks = [{"port": self.given}, {"uuid": self.network_id}]
        answer = await self.api.ask_for(imageRef="", networks=networks, block_device_mapping_v2=devices)
        self.server = answer.json["server"]

    async def answer(self) -> None:
        await self.volumes.storage.pass_()

    async def assert_done(self) -> None:
        await self.host.pass_()
        await self.api.conductor().work()
        shown = await self.api.server(self.server_id)
        assert len(shown["os-extended-volumes:volumes_attached"]) == await self.api.count("volumes") == 2
        assert (await self.volumes.shown(self.volume_id))["status"] == "in-use"
        await super().assert_done()

    async def assert_nothing_left(self) -> None:
        await super().assert_nothing_left()
        await self.volumes.storage.pass_()
        for table, rows in (("server_volumes", 0), ("volume_attachments", 0), ("volumes", 1)):
            assert await self.api.count(table) == rows, table
        assert (await self.volumes.shown(self.volume_id))["status"] == "available"


class DeleteCase(ServerCase):
    """Of a server whose host goes down before it has taken the machine away."""

    chain = DELETE

    async def begin(self) -> None:
        await self.set_up()
        self.server = await self.api.boot(self.host)
        self.clock.advance(1)
        assert (await self.api("DELETE", f"/servers/{self.server_id}")).status == 204
        assert (await self.api.server(self.server_id))["OS-EXT-STS:task_state"] == "deleting"

    async def answer(self) -> None:
        self.clock.advance(self.parts.config.service_down_time_s + 1)

    async def assert_done(self) -> None:
        assert (await self.api("GET", f"/servers/{self.server_id}")).status == 404
        await self.assert_nothing_left()
        await self.assert_action("delete", None)

    async def assert_undone(self, step: str, reason: str) -> None:
        server = await self.api.server(self.server_id)
        assert (server["status"], server["fault"]["message"]) == ("ERROR", reason)
        await self.assert_action("delete", reason)
        await self.assert_told("delete", *DELETE.progress(step)[1:], reason)
        # it can be asked for again
        self.clock.advance(self.parts.config.service_down_time_s + 1)
        assert (await self.api("DELETE", f"/servers/{self.server_id}")).status == 204
        await self.assert_done_again()

    async def assert_done_again(self) -> None:
        assert (await self.api("GET", f"/servers/{self.server_id}")).status == 404
        await self.assert_nothing_left()


class TaskCase(ServerCase):
    """Something that the server's host does and reports."""

    verb: str
    argument: Any
    status = 202

    async def begin(self) -> None:
        await self.set_up()
        self.server = await self.api.boot(self.host)
        self.clock.advance(1)
        assert (await self.api.act(self.server_id, self.verb, self.argument)).status == self.status

    async def answer(self) -> None:
        await self.host.pass_()

    async def assert_done(self) -> None:
        server = await self.api.server(self.server_id)
        assert (server["status"], server["OS-EXT-STS:task_state"]) == ("ACTIVE", None)
        await self.assert_action(self.verb, None)


class RebuildCase(TaskCase):
    chain = REBUILD
    verb = "rebuild"

    @property
    def argument(self) -> Any:
        return {"imageRef": self.server["image"]["id"]}

    async def assert_undone(self, step: str, reason: str) -> None:
        server = await self.api.server(self.server_id)
        assert (server["status"], server["fault"]["message"]) == ("ERROR", reason)
        await self.assert_action("rebuild", reason)
        await self.assert_told("rebuild", 1, 1, reason)
        assert (await self.api.act(self.server_id, "rebuild", self.argument)).status == 202


class RebootCase(TaskCase):
    chain = REBOOT
    verb = "reboot"
    argument = {"type": "HARD"}  # noqa: RUF012

    async def assert_undone(self, step: str, reason: str) -> None:
        server = await self.api.server(self.server_id)
        assert (server["status"], server["OS-EXT-STS:task_state"]) == ("ACTIVE", None)
        await self.assert_action("reboot", reason)
        await self.assert_told("reboot", 1, 1, reason)
        assert [one.operations for one in (await self.host.state()).servers] == [()], "it is not done later"


class SnapshotCase(TaskCase):
    """Of a backup beside which one is too many."""

    chain = SNAPSHOT
    verb = "createBackup"
    argument = {"name": "new", "backup_type": "daily", "rotation": 1}  # noqa: RUF012

    async def set_up(self) -> None:
        await super().set_up()
        self.images: list[str] = []

    async def begin(self) -> None:
        await self.set_up()
        self.server = await self.api.boot(self.host)
        for name in ("old", "new"):
            self.clock.advance(1)
            answer = await self.api.act(self.server_id, self.verb, {**self.argument, "name": name})
            assert answer.status == 202
            self.images.append(answer.json["image_id"])
            if name == "old":
                await self.host.pass_()
                await self.api.conductor().work()

    async def assert_done(self) -> None:
        await super().assert_done()
        old, new = [await self.api.image(one) for one in self.images]
        assert old is None and new.status == "active"
        assert set(self.api.files.deleted) == {f"{self.images[0]}.data"}

    async def assert_action(self, action: str, reason: str | None) -> None:
        path = f"/servers/{self.server_id}/os-instance-actions"
        found = (await self.api.as_("admin")("GET", path)).json["instanceActions"]
        assert [one["action"] for one in found if one["action"] == action] == [action] * 2

    async def assert_undone(self, step: str, reason: str) -> None:
        server = await self.api.server(self.server_id)
        assert (server["status"], server["OS-EXT-STS:task_state"]) == ("ACTIVE", None)
        new = await self.api.image(self.images[1])
        if step == "node":
            assert new is None
            await self.assert_told("snapshot", 1, 3, reason)
        else:
            assert new.status == "active", "what was made stays, although others should have gone"


class RescueCase(TaskCase):
    chain = RESCUE
    verb = "rescue"
    argument = None
    status = 200

    async def assert_done(self) -> None:
        server = await self.api.server(self.server_id)
        assert (server["status"], server["OS-EXT-STS:task_state"]) == ("RESCUE", None)
        await self.assert_action(self.verb, None)

    async def assert_undone(self, step: str, reason: str) -> None:
        server = await self.api.server(self.server_id)
        assert (server["status"], server["OS-EXT-STS:task_state"]) == ("ACTIVE", None)
        await self.assert_action("rescue", reason)
        await self.assert_told("rescue", 1, 1, reason)
        ((told,),) = [(await self.host.state()).servers]
        assert told.rescue is None and told.operations == ()


class UnrescueCase(TaskCase):
    chain = UNRESCUE
    verb = "unrescue"
    argument = None

    async def begin(self) -> None:
        await self.set_up()
        self.server = await self.api.boot(self.host)
        self.clock.advance(1)
        assert (await self.api.act(self.server_id, "rescue", None)).status == 200
        await self.host.pass_()
        self.clock.advance(1)
        assert (await self.api.act(self.server_id, "unrescue", None)).status == 202

    async def assert_undone(self, step: str, reason: str) -> None:
        server = await self.api.server(self.server_id)
        assert (server["status"], server["OS-EXT-STS:task_state"]) == ("RESCUE", None)
        await self.assert_action("unrescue", reason)
        await self.assert_told("unrescue", 1, 1, reason)


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
        self.server = await self.api.boot(self.host)
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
        self.server = await self.api.boot(self.host)
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


class CrashDumpCase(TaskCase):
    chain = CRASH_DUMP
    verb = "trigger_crash_dump"
    argument = None

    async def assert_undone(self, step: str, reason: str) -> None:
        server = await self.api.server(self.server_id)
        assert (server["status"], server["OS-EXT-STS:task_state"]) == ("ACTIVE", None)
        await self.assert_action(self.verb, reason)
        await self.assert_told("crash_dump", 1, 1, reason)
        assert [one.operations for one in (await self.host.state()).servers] == [()], "it is not done later"


class SweepCase(ShelveCase):
    """Of the image of a shelved server that is deleted."""

    chain = SWEEP

    async def begin(self) -> None:
        await self.set_up()
        self.server = await self.api.boot(self.host)
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
        self.server = await self.api.boot(self.host)
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
        self.server = await self.api.boot(self.host)
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
        for host in (self.host, self.other):
            await self.api.conductor().work()
            await host.pass_()
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
        self.server = await self.api.boot(self.host)
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


class AttachCase(ServerCase):
    """Of a volume whose pool is on the server's host."""

    chain = ATTACH
    verb = "attach_volume"

    async def begin(self) -> None:
        await self.set_up()
        self.volumes = Volumes(self.api)
        await self.volumes.set_up()
        self.volume_id = await self.volumes.make()
        self.server = await self.api.boot(self.host)
        self.clock.advance(1)
        await self.ask()

    async def ask(self) -> None:
        body = {"volumeAttachment": {"volumeId": self.volume_id}}
        answer = await self.api("POST", f"/servers/{self.server_id}/os-volume_attachments", body)
        assert answer.status == 200, answer

    async def answer(self) -> None:
        await self.volumes.storage.pass_()
        await self.host.pass_(ports=False)

    async def attached(self) -> bool:
        """Whether all say the same of it: the volume, the server, and its host is told so."""
        volume = await self.volumes.shown(self.volume_id)
        server = await self.api.server(self.server_id)
        (wanted,) = (await self.host.state()).servers
        found = {volume["status"] == "in-use", bool(server["os-extended-volumes:volumes_attached"])}
        found |= {
            bool(volume["attachments"]),
            bool(wanted.volumes),
            await self.api.count("server_volumes") == 1,
        }
        assert len(found) == 1, (volume, server, wanted)
        return bool(found.pop())

    async def assert_done(self) -> None:
        assert await self.attached()
        await self.assert_action(self.verb, None)

    async def assert_undone(self, step: str, reason: str) -> None:
        assert not await self.attached()
        assert (await self.volumes.shown(self.volume_id))["status"] == "available"
        await self.assert_action(self.verb, reason)
        await self.host.pass_(ports=False)
        await self.api.conductor().work()
        assert not await self.attached()
        await self.ask()


class DetachCase(AttachCase):
    chain = DETACH
    verb = "detach_volume"

    async def begin(self) -> None:
        await super().begin()
        await self.volumes.go_on(self.host)
        assert await self.attached()
        self.clock.advance(1)
        path = f"/servers/{self.server_id}/os-volume_attachments/{self.volume_id}"
        assert (await self.api("DELETE", path)).status == 202

    async def assert_done(self) -> None:
        assert not await self.attached()
        assert (await self.volumes.shown(self.volume_id))["status"] == "available"
        await self.assert_action(self.verb, None)

    async def assert_undone(self, step: str, reason: str) -> None:
        assert await self.attached()
        await self.assert_action(self.verb, reason)


_CASES = (
    VolumeBootCase,
    BootCase, DeleteCase, RebuildCase, RebootCase, SnapshotCase, RescueCase, UnrescueCase,
    ShelveCase, OffloadCase, UnshelveCase, CrashDumpCase, SweepCase, ResizeCase, RevertCase, EvacuateCase,
    LiveCase, AttachCase, DetachCase,
)  # fmt: skip
CASES = {case.chain.kind: case for case in _CASES}


@contextlib.asynccontextmanager
async def make(case: type[ServerCase], folder: Path, kind: str = "sqlite") -> AsyncIterator[ServerCase]:
    with databases.fresh(kind, folder) as url:
        async with cloud(url, with_volumes=True) as api:
            yield case(api)


every = pytest.mark.parametrize("kind", sorted(CASES))


def test_every_chain_has_a_case() -> None:
    assert set(CASES) == {chain.kind for chain in CHAINS}


@every
def test_it_goes_through_also_where_units_run_again(tmp_path: Path, kind: str) -> None:
    asyncio.run(chains.go_through(make, CASES[kind], tmp_path))


@pytest.mark.parametrize("kind", [chain.kind for chain in CHAINS if chains.doing(chain)])
def test_each_step_fails_and_all_is_undone(tmp_path: Path, kind: str) -> None:
    asyncio.run(chains.fail_each_step(make, CASES[kind], tmp_path))


@every
def test_a_conductor_killed_before_and_after_each_commit(tmp_path: Path, kind: str) -> None:
    kills = asyncio.run(chains.kill_everywhere(make, CASES[kind], tmp_path))
    assert kills >= 2 * len(chains.doing(CASES[kind].chain))


@pytest.mark.nightly
@pytest.mark.parametrize("database", ["postgresql", "mariadb"])
def test_a_conductor_killed_on_other_databases(tmp_path: Path, database: str) -> None:
    assert asyncio.run(chains.kill_everywhere(make, BootCase, tmp_path, database)) == 6


@pytest.mark.parametrize(
    ("kind", "step"), [(chain.kind, name) for chain in CHAINS for name in chains.doing(chain)[-1:]]
)
def test_a_conductor_killed_while_it_undoes(tmp_path: Path, kind: str, step: str) -> None:
    assert asyncio.run(chains.kill_everywhere(make, CASES[kind], tmp_path, break_at=step))


LATE: dict[str, str | None] = {
    REBOOT.kind: "rebooting_hard: took too long",
    REBUILD.kind: "rebuilding: took too long",
    DELETE.kind: None,
    SNAPSHOT.kind: "image_backup: took too long",
    RESCUE.kind: "rescuing: took too long",
    UNRESCUE.kind: "unrescuing: took too long",
    SHELVE.kind: "shelving: took too long",
    OFFLOAD.kind: None,
    UNSHELVE.kind: "unshelving: took too long",
    CRASH_DUMP.kind: "node took too long",
    RESIZE.kind: "resize_migrating: took too long",
    REVERT.kind: "resize_reverting: took too long",
    EVACUATE.kind: "rebuild_spawning: took too long",
    LIVE.kind: "migrating: took too long",
}


@pytest.mark.parametrize("kind", sorted(LATE))
def test_nobody_reports_and_the_conductor_is_killed_as_well(tmp_path: Path, kind: str) -> None:
    async def check(case: ServerCase, operation: Operation) -> None:
        reason = LATE[kind]
        if reason is None:
            await case.assert_done()
        else:
            assert (operation.state, operation.error) == (FAILED, reason)
            await case.assert_undone(operation.step, reason)

    kills = asyncio.run(chains.kill_everywhere(make, CASES[kind], tmp_path, answered=False, check=check))
    assert kills >= 2


@pytest.mark.nightly
@pytest.mark.parametrize("database", ["postgresql", "mariadb"])
@pytest.mark.parametrize("kind", [REBOOT.kind, REBUILD.kind])
def test_nobody_reports_on_other_databases(tmp_path: Path, kind: str, database: str) -> None:
    async def main() -> None:
        async with chains.begun(make, CASES[kind], tmp_path, database) as case:
            operation = await chains.to_its_end(case, case.chain, answered=False)
            await case.assert_undone(operation.step, str(LATE[kind]))

    asyncio.run(main())


def test_a_host_that_is_down_is_named(tmp_path: Path) -> None:
    async def main() -> None:
        async with chains.begun(make, RebuildCase, tmp_path) as case:
            case.clock.advance(case.parts.config.task_timeout_s + 1)
            operation = await chains.to_its_end(case, REBUILD)
            assert operation.error == "rebuilding: the host h1 is down"

    asyncio.run(main())


def test_the_timeline_says_how_far_an_operation_is(tmp_path: Path) -> None:
    async def main() -> None:
        async with chains.begun(make, BootCase, tmp_path) as case:
            assert isinstance(case, ServerCase)
            path = f"/servers/{case.server_id}/os-pileus-timeline"
            seen = []
            store = chains.Watched(case.store, 1)
            for look in range(2):
                (one,) = (await case.api("GET", path)).json["operations"]
                seen.append((one["operation"], one["state"], one["step"], one["position"], one["of"]))
                if look == 0:
                    with pytest.raises(chains.Killed):
                        await chains.to_its_end(case, BOOT, store=store)
            assert seen == [
                ("server.boot", "pending", "schedule", 1, 3),
                ("server.boot", "running", "plug", 2, 3),
            ]
            await case.pass_time(chains.LEASE_S + 1)
            await chains.to_its_end(case, BOOT)
            await case.api("DELETE", f"/servers/{case.server_id}")
            await case.host.pass_()
            boot, deletion = (await case.api("GET", path)).json["operations"]
            assert (boot["state"], boot["position"], deletion["state"]) == ("done", 3, "done")
            assert (deletion["step"], deletion["position"], deletion["of"]) == ("close", 2, 2)

    asyncio.run(main())


def test_tasks_of_a_version_without_chains_are_brought_to_their_end(tmp_path: Path) -> None:
    async def main() -> None:
        async with make(DeleteCase, tmp_path) as case:
            await case.set_up()
            api = case.api
            gone, rebuilt = await api.boot(case.host, "gone"), await api.boot(case.host, "rebuilt")
            case.clock.advance(1)
            await api("DELETE", f"/servers/{gone['id']}")
            await api.act(rebuilt["id"], "rebuild", {"imageRef": rebuilt["image"]["id"]})
            await case.store.write(lambda tx: tx.execute(delete(operations)))
            conductor = api.conductor()
            await conductor.work()
            assert await api.count("operations") == 2
            await conductor.work()
            assert await api.count("operations") == 2, "each once"
            await case.pass_time(case.parts.config.task_timeout_s + 1)
            await conductor.work()
            assert (await api("GET", f"/servers/{gone['id']}")).status == 404
            server = await api.server(rebuilt["id"])
            assert server["fault"]["message"] == "rebuilding: took too long"

    asyncio.run(main())


def test_a_server_that_can_not_be_closed_keeps_none_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine: Any = vars(deletion)["close"]

    def close(tx: Any, context: Any, several: Any, **rest: Any) -> None:
        if any(server["name"] == "odd" for server in several):
            raise Conflict("Port 1 is odd.")
        genuine(tx, context, several, **rest)

    async def main() -> None:
        async with make(DeleteCase, tmp_path) as case:
            await case.set_up()
            api = case.api
            servers = [await api.boot(case.host, name) for name in ("one", "odd", "other")]
            case.clock.advance(1)
            for server in servers:
                await api("DELETE", f"/servers/{server['id']}")
            monkeypatch.setattr(deletion, "close", close)
            await case.host.pass_()
            await api.conductor().work()
            statuses = [(await api("GET", f"/servers/{server['id']}")).status for server in servers]
            assert statuses == [404, 200, 404]
            odd = await api.server(servers[1]["id"])
            assert (odd["status"], odd["fault"]["message"]) == ("ERROR", "Port 1 is odd.")
            monkeypatch.setattr(deletion, "close", genuine)
            await api("DELETE", f"/servers/{odd['id']}")
            await case.host.pass_()
            assert (await api("GET", f"/servers/{odd['id']}")).status == 404

    asyncio.run(main())
