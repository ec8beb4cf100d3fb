"""Deletion that can be taken back, for as long as the setting says."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import databases
from tests.api.compute.cloud import Cloud, tell
from tests.api.compute.test_shelve import own_images

from pileus.services.compute.service import ComputeConfig

KEPT = ComputeConfig(reclaim_instance_interval_s=1000)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_deleted_server_is_kept_for_a_time_and_restored(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        await api.a_network()
        server_id = (await api.boot(host))["id"]
        assert (await api.act(server_id, "restore", None)).status == 409
        assert (await api("DELETE", f"/servers/{server_id}")).status == 204
        server = await api.server(server_id)
        assert (server["status"], server["OS-EXT-STS:task_state"]) == ("SOFT_DELETED", None)
        assert (await api("GET", "/servers")).json["servers"] == []
        listed = (await api("GET", "/servers?status=SOFT_DELETED")).json["servers"]
        assert [one["id"] for one in listed] == [server_id]
        used = (await api("GET", "/limits")).json["limits"]["absolute"]
        assert (used["totalInstancesUsed"], used["totalCoresUsed"]) == (0, 0)
        (told,) = (await host.state()).servers
        assert told.wanted == "stopped"
        for _ in range(2):
            await host.pass_()
            assert (await api.server(server_id))["status"] == "SOFT_DELETED"
        assert (await api("DELETE", f"/servers/{server_id}")).status == 204, "again is no more"
        for verb in ("os-start", "shelve", "reboot"):
            argument = {"type": "HARD"} if verb == "reboot" else None
            assert (await api.act(server_id, verb, argument)).status == 409, verb
        assert (await api.as_("reader").act(server_id, "restore", None)).status == 403
        assert (await api.act(server_id, "restore", None)).status == 202
        assert (await api.server(server_id))["OS-EXT-STS:task_state"] == "restoring"
        await host.pass_()
        server = await api.server(server_id)
        assert (server["status"], server["OS-EXT-STS:task_state"]) == ("ACTIVE", None)
        api.clock.advance(2000)
        await host.heartbeat()
        await api.conductor().work()
        assert (await api.server(server_id))["status"] == "ACTIVE", "nothing is left of the deletion"

    tell(story, tmp_path, kind, KEPT)


def test_its_time_ends_and_it_is_gone(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        server_id = (await api.boot(host, networks="none"))["id"]
        await api("DELETE", f"/servers/{server_id}")
        api.clock.advance(999)
        await host.heartbeat()
        await api.conductor().work()
        assert (await api.server(server_id))["status"] == "SOFT_DELETED"
        api.clock.advance(2)
        await host.heartbeat()
        await api.conductor().work()
        await host.pass_()
        assert (await api("GET", f"/servers/{server_id}")).status == 404
        assert await api.count("allocations") == 0

    tell(story, tmp_path, config=KEPT)


def test_force_delete_waits_for_nothing(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        first, second = [(await api.boot(host, name, networks="none"))["id"] for name in ("a", "b")]
        await api("DELETE", f"/servers/{first}")
        for server_id in (first, second):
            assert (await api.act(server_id, "forceDelete", None)).status == 202
        await host.pass_()
        for server_id in (first, second):
            assert (await api("GET", f"/servers/{server_id}")).status == 404

    tell(story, tmp_path, config=KEPT)


def test_no_more_are_restored_than_there_may_be(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        server_id = (await api.boot(host, networks="none"))["id"]
        await api("DELETE", f"/servers/{server_id}")
        limits = {"quota_set": {"instances": 0}}
        project = (await api.server(server_id))["tenant_id"]
        assert (await api.as_("admin")("PUT", f"/os-quota-sets/{project}", limits)).status == 200
        assert (await api.act(server_id, "restore", None)).status == 403
        assert (await api.server(server_id))["status"] == "SOFT_DELETED"

    tell(story, tmp_path, config=KEPT)


def test_what_was_under_way_with_it_is_void(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        server_id = (await api.boot(host, networks="none"))["id"]
        await api.act(server_id, "shelve", None)
        await api("DELETE", f"/servers/{server_id}")
        assert (await host.state()).servers[0].operations == ()
        assert await own_images(api) == []
        await host.pass_()
        await api.conductor().work()
        assert (await api.server(server_id))["status"] == "SOFT_DELETED"

    tell(story, tmp_path, config=KEPT)


def test_a_crash_dump_is_triggered_once(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        server_id = (await api.boot(host, networks="none"))["id"]
        assert (await api.at("2.16").act(server_id, "trigger_crash_dump", None)).status == 400
        assert (await api.as_("reader").act(server_id, "trigger_crash_dump", None)).status == 403
        assert (await api.act(server_id, "trigger_crash_dump", None)).status == 202
        ((order,),) = [one.operations for one in (await host.state()).servers]
        assert order.kind == "crash_dump"
        server = await api.server(server_id)
        assert (server["status"], server["OS-EXT-STS:task_state"]) == ("ACTIVE", None)
        await host.pass_()
        assert (await host.state()).servers[0].operations == ()
        await api.act(server_id, "os-stop", None)
        await host.pass_()
        assert (await api.act(server_id, "trigger_crash_dump", None)).status == 409
        path = f"/servers/{server_id}/os-instance-actions"
        (action,) = [
            one
            for one in (await api("GET", path)).json["instanceActions"]
            if one["action"] == "trigger_crash_dump"
        ]
        shown = (await api("GET", f"{path}/{action['request_id']}")).json["instanceAction"]
        assert [one["result"] for one in shown["events"]] == ["Success"]

    tell(story, tmp_path)
