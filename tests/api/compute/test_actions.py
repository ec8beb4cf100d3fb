"""What is done to servers that live: verbs and states, metadata, tags, interfaces, history."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.compute.cloud import IMAGE, OTHER_IMAGE, Cloud, tell

from pileus.wire.hypervisor import ServerReport


@pytest.mark.parametrize("kind", databases.KINDS)
def test_power_pause_suspend_reboot_rebuild(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        await api.a_network()
        server_id = (await api.boot(host))["id"]

        async def now() -> tuple[str, Any, int]:
            server = await api.server(server_id)
            return server["status"], server["OS-EXT-STS:task_state"], server["OS-EXT-STS:power_state"]

        for verb, task, end in (
            ("os-stop", "powering-off", ("SHUTOFF", None, 4)),
            ("os-start", "powering-on", ("ACTIVE", None, 1)),
            ("pause", "pausing", ("PAUSED", None, 3)),
            ("unpause", "unpausing", ("ACTIVE", None, 1)),
            ("suspend", "suspending", ("SUSPENDED", None, 7)),
            ("resume", "resuming", ("ACTIVE", None, 1)),
        ):
            assert (await api.act(server_id, verb)).status == 202
            assert (await now())[1] == task
            refused = await api.act(server_id, "os-stop")
            assert refused.status == 409
            await host.pass_()
            assert await now() == end, verb
        answer = await api.act(server_id, "os-start")
        assert answer.status == 409
        assert answer.message == (f"Cannot 'start' instance {server_id} while it is in vm_state active")
        assert (await api.act(server_id, "reboot", {"type": "soft"})).status == 202
        assert (await now())[0] == "REBOOT"
        assert (await api.act(server_id, "reboot", {"type": "HARD"})).status == 202
        assert (await now())[0] == "HARD_REBOOT"
        await host.pass_()
        assert await now() == ("ACTIVE", None, 1)
        assert len(host.done) == 2

        rebuilt = await api.act(server_id, "rebuild", {"imageRef": OTHER_IMAGE, "metadata": {"a": "b"}})
        assert rebuilt.status == 202
        assert rebuilt.json["server"]["status"] == "REBUILD"
        assert rebuilt.json["server"]["adminPass"]
        await host.pass_()
        server = await api.server(server_id)
        assert (server["status"], server["image"]["id"], server["metadata"]) == (
            "ACTIVE",
            OTHER_IMAGE,
            {"a": "b"},
        )
        assert host.have[server_id][0] == 2
        await api.act(server_id, "os-stop")
        await host.pass_()
        await api.act(server_id, "rebuild", {"imageRef": IMAGE})
        await host.pass_()
        assert await now() == ("SHUTOFF", None, 4)
        actions = (await api("GET", f"/servers/{server_id}/os-instance-actions")).json["instanceActions"]
        assert len(actions) == 12
        for action in actions:
            shown = (
                await api("GET", f"/servers/{server_id}/os-instance-actions/{action['request_id']}")
            ).json["instanceAction"]
            assert [one["result"] for one in shown["events"]] == ["Success"], shown

    tell(story, tmp_path, kind)


def test_a_guest_that_goes_off_by_itself_stays_off(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        await api.a_network()
        server_id = (await api.boot(host))["id"]
        await host.tell(servers=(ServerReport(server_id, 1, 4, True),))
        assert (await api.server(server_id))["status"] == "SHUTOFF"
        (wanted,) = (await host.state()).servers
        assert wanted.wanted == "stopped"

    tell(story, tmp_path)


def test_a_verb_that_the_host_can_not_carry_out(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        await api.a_network()
        server_id = (await api.boot(host))["id"]
        api.clock.advance(1)
        await api.act(server_id, "suspend")
        host.fails = "no room for its memory"
        await host.pass_()
        server = await api.server(server_id)
        assert (server["status"], server["OS-EXT-STS:task_state"]) == ("ACTIVE", None)
        newest = (await api("GET", f"/servers/{server_id}/os-instance-actions")).json["instanceActions"][0]
        assert (newest["action"], newest["message"]) == ("suspend", "Error")
        host.fails = None
        await api.act(server_id, "pause")
        api.clock.advance(1000)
        await api.conductor().work()  # the host is down: the task is given up
        assert (await api.server(server_id))["OS-EXT-STS:task_state"] is None

    tell(story, tmp_path)


def test_locks(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        await api.a_network()
        server_id = (await api.boot(host))["id"]
        # before 2.73 the argument means nothing, whatever it is
        assert (await api.at("2.72").act(server_id, "lock", {"locked_reason": {}})).status == 202
        assert (await api.server(server_id))["locked_reason"] is None
        assert (await api.act(server_id, "unlock")).status == 202
        assert (await api.act(server_id, "lock", {"locked_reason": "mine"})).status == 202
        server = await api.server(server_id)
        assert (server["locked"], server["locked_reason"]) == (True, "mine")
        assert (await api("GET", "/servers?locked=true")).json["servers"]
        assert (await api("GET", "/servers?locked=false")).json["servers"] == []
        refused = await api.act(server_id, "os-stop")
        assert (refused.status, refused.message) == (409, f"Instance {server_id} is locked")
        assert (await api("DELETE", f"/servers/{server_id}")).status == 409
        assert (await api.as_("admin").act(server_id, "os-stop")).status == 202
        assert (await api.act(server_id, "unlock")).status == 202
        assert (await api.as_("admin").act(server_id, "lock", {"locked_reason": "theirs"})).status == 202
        assert (await api.act(server_id, "unlock")).status == 403
        # locking it once more makes the lock nobody else's
        assert (await api.act(server_id, "lock", {"locked_reason": "mine"})).status == 202
        assert (await api.server(server_id))["locked_reason"] == "theirs"
        assert (await api.act(server_id, "unlock")).status == 403
        assert (await api.as_("admin").act(server_id, "unlock")).status == 202
        assert (await api.act(server_id, "lock")).status == 202
        assert (await api.as_("admin").act(server_id, "lock")).status == 202
        assert (await api.act(server_id, "unlock")).status == 403

    tell(story, tmp_path)
