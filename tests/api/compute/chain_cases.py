"""Cases of the chains of servers: one server, and what its own host does with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.api.compute.cloud import Cloud
from tests.chains import Case

from pileus.services.compute.servers.chains import (
    BOOT,
    CRASH_DUMP,
    DELETE,
    REBOOT,
    REBUILD,
    RESCUE,
    SNAPSHOT,
    UNRESCUE,
)


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

    async def booted(self) -> Mapping[str, Any]:
        """The server that is worked on."""
        return await self.api.boot(self.host)

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


class DeleteCase(ServerCase):
    """Of a server whose host goes down before it has taken the machine away."""

    chain = DELETE

    async def begin(self) -> None:
        await self.set_up()
        self.server = await self.booted()
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
        self.server = await self.booted()
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
        self.server = await self.booted()
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
        self.server = await self.booted()
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
