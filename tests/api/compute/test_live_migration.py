"""Live migrations: from the request to the end, with their progress; queued, aborted, failing, forced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.compute.cloud import P1, PEOPLE, Cloud, Host, certificate_of, tell
from tests.api.compute.test_resize import promised, rows
from tests.api.compute.test_shelve import state_of

from pileus.core.context import Context
from pileus.services.compute.service import ComputeConfig
from pileus.wire.hypervisor import MigrationProgress, OperationReport

LIVE = {"block_migration": "auto", "host": None}
HERE, THERE = "h1", "h2"


async def begin(api: Cloud, **asked: Any) -> tuple[Host, Host, str]:
    """Two hosts, and a server that is about to go from one to the other."""
    source, dest = await api.host(HERE), await api.host(THERE)
    await api.a_network()
    server_id = (await api.boot(source, networks="auto"))["id"]
    assert (await state_of(api, server_id))[2] == HERE
    await go(api, server_id, **asked)
    return source, dest, server_id


async def go(api: Cloud, server_id: str, **asked: Any) -> None:
    api.clock.advance(1)
    assert (await api.as_("admin").act(server_id, "os-migrateLive", {**LIVE, **asked})).status == 202


async def to_the_node(api: Cloud, dest: Host) -> None:
    """The other host lets it in."""
    conductor = api.conductor()
    await conductor.work()
    await dest.pass_()
    await conductor.work()


async def bindings(api: Cloud, server_id: str) -> tuple[str, list[str]]:
    """The host that the server's port is bound to, and those whose bindings wait."""
    (port,) = await api.ports_of(server_id)
    return str(port["binding:host_id"]), [row.host for row in await rows(api, "port_bindings")]


async def listed(api: Cloud, server_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await api.as_("admin")("GET", f"/servers/{server_id}/migrations")).json[
        "migrations"
    ]
    return found


async def operation_of(api: Cloud) -> Any:
    return [one for one in await rows(api, "operations") if one.kind == "server.live_migrate"][-1]


async def status_of(api: Cloud) -> str:
    found = (await api.as_("admin")("GET", "/os-migrations")).json["migrations"]
    assert {one["migration_type"] for one in found} == {"live-migration"}
    return str(found[0]["status"])


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_server_goes_to_another_host_while_it_runs(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud) -> None:
        source, dest, server_id = await begin(api)
        assert await state_of(api, server_id) == ("MIGRATING", "migrating", HERE)
        assert await listed(api, server_id) == []
        conductor = api.conductor()
        await conductor.work()
        assert await promised(api) == {HERE: (512, 1), THERE: (512, 0)}, "room on both"
        assert await bindings(api, server_id) == (HERE, [THERE])
        (shown,) = await listed(api, server_id)
        assert (shown["status"], shown["dest_compute"]) == ("preparing", THERE)
        (coming,) = (await dest.state()).incoming
        assert (coming.server.server_id, coming.certificate) == (server_id, certificate_of(HERE))
        assert (await dest.state()).servers == () and (await dest.state()).kept == ()
        assert (await source.state()).servers[0].operations == ()
        await dest.pass_()
        await conductor.work()
        (order,) = (await source.state()).servers[0].operations
        assert order.kind == "migrate"
        assert order.arguments["target"] == {
            "address": "192.0.2.9",
            "port": 49152,
            "folder": f"/of/{THERE}",
            "certificate": certificate_of(THERE),
        }
        half = MigrationProgress(
            order.operation_id,
            memory_total=100,
            memory_processed=30,
            memory_remaining=70,
            disk_total=300,
            disk_processed=200,
            disk_remaining=100,
        )
        await source.tell(progress=(half,))
        one = f"/servers/{server_id}/migrations/{shown['id']}"
        shown = (await api.as_("admin")("GET", one)).json["migration"]
        assert (shown["status"], shown["memory_total_bytes"], shown["memory_remaining_bytes"]) == (
            "running", 100, 70,
        )  # fmt: skip
        assert (shown["disk_processed_bytes"], shown["disk_remaining_bytes"]) == (200, 100)
        assert await bindings(api, server_id) == (HERE, [THERE])
        await dest.tell(progress=(half,))  # it is not theirs to say
        last = MigrationProgress(order.operation_id, switching=True, memory_total=100, disk_total=300)
        await source.tell(progress=(last,))
        assert await bindings(api, server_id) == (THERE, [HERE])
        assert (await listed(api, server_id))[0]["status"] == "post-migrating"
        assert await state_of(api, server_id) == ("MIGRATING", "migrating", HERE)
        await source.pass_()
        await conductor.work()
        assert await state_of(api, server_id) == ("ACTIVE", None, THERE)
        assert await bindings(api, server_id) == (THERE, [])
        assert await promised(api) == {HERE: (0, 0), THERE: (512, 1)}
        assert await status_of(api) == "completed"
        assert await listed(api, server_id) == []
        assert (await api.as_("admin")("GET", one)).status == 404
        assert (await source.state()).servers == ()
        (told,) = (await dest.state()).servers
        assert (told.generation, told.operations, (await dest.state()).incoming) == (1, (), ())
        for host in (source, dest):
            await host.pass_()
        assert await state_of(api, server_id) == ("ACTIVE", None, THERE)
        timeline = (await api.as_("admin")("GET", f"/servers/{server_id}/os-pileus-timeline")).json
        steps = [entry["step"] for entry in timeline["timeline"] if "position" in entry]
        assert steps[-6:] == ["schedule", "prepare", "start", "migrating", "switching", "live-migration"]
        (moving,) = [entry for entry in timeline["timeline"] if entry["step"] == "migrating"]
        assert moving["detail"] == "57 %"
        actions = (await api("GET", f"/servers/{server_id}/os-instance-actions")).json["instanceActions"]
        assert (actions[0]["action"], actions[0]["message"]) == ("live-migration", None)

    tell(story, tmp_path, kind)


def test_managers_see_progress_and_no_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = Context(
        now=PEOPLE["alice"].now, user_id="u7", project_id=P1, roles=("manager", "member", "reader")
    )
    monkeypatch.setitem(PEOPLE, "manager", manager)

    async def story(api: Cloud) -> None:
        _, dest, server_id = await begin(api)
        await to_the_node(api, dest)
        asked = api.as_("manager")
        (one,) = (await asked("GET", f"/servers/{server_id}/migrations")).json["migrations"]
        (other,) = (await asked("GET", "/os-migrations")).json["migrations"]
        for shown in (one, other):
            places = ("source_compute", "source_node", "dest_compute", "dest_node", "dest_host")
            assert [shown[name] for name in places] == [None] * 5
            assert shown["status"] == "running"
        assert (await listed(api, server_id))[0]["source_compute"] == HERE

    tell(story, tmp_path)


def test_the_other_host_may_be_the_first_to_say_that_it_has_come(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        source, dest, server_id = await begin(api, host=THERE)
        await to_the_node(api, dest)
        (order,) = (await source.state()).servers[0].operations
        arrived = OperationReport(order.operation_id, None, {"arrived": True})
        stranger = await api.host("h3")
        await stranger.tell(operations=(arrived,))
        await api.conductor().work()
        assert await state_of(api, server_id) == ("MIGRATING", "migrating", HERE)
        await dest.tell(operations=(arrived,))
        assert (await dest.state()).incoming, "nobody has switched over yet: what has come is not taken away"
        await api.conductor().work()
        assert await state_of(api, server_id) == ("ACTIVE", None, THERE)
        assert await bindings(api, server_id) == (THERE, [])
        await source.tell(operations=(OperationReport(order.operation_id, "too late"),))
        assert await state_of(api, server_id) == ("ACTIVE", None, THERE)

    tell(story, tmp_path)


@pytest.mark.parametrize("when", ["prepare", "node", "switching"])
def test_it_fails_and_the_server_stays_where_it_was(tmp_path: Path, when: str) -> None:
    async def story(api: Cloud) -> None:
        source, dest, server_id = await begin(api)
        if when == "prepare":
            dest.fails = "no room on the disk"
            await to_the_node(api, dest)
        else:
            await to_the_node(api, dest)
            (order,) = (await source.state()).servers[0].operations
            if when == "switching":
                await source.tell(progress=(MigrationProgress(order.operation_id, switching=True),))
                assert await bindings(api, server_id) == (THERE, [HERE])
            source.refuses = "no room on the disk"
            await source.pass_()
            await api.conductor().work()
        assert await state_of(api, server_id) == ("ACTIVE", None, HERE)
        assert await bindings(api, server_id) == (HERE, [])
        assert await promised(api) == {HERE: (512, 1), THERE: (0, 0)}
        assert await status_of(api) == "error"
        assert (await dest.state()).incoming == ()
        assert (await source.state()).servers[0].operations == ()
        actions = (await api("GET", f"/servers/{server_id}/os-instance-actions")).json["instanceActions"]
        assert (actions[0]["action"], actions[0]["message"]) == ("live-migration", "Error")
        source.refuses = dest.fails = None
        await go(api, server_id)
        await to_the_node(api, dest)
        await source.pass_()
        await api.conductor().work()
        assert await state_of(api, server_id) == ("ACTIVE", None, THERE)

    tell(story, tmp_path)


def test_few_leave_a_host_at_the_same_time_and_who_waits_can_be_aborted(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        source, dest, first = await begin(api)
        dest.memory_mib = 1024
        await dest.heartbeat()
        others = [(await api.boot(source, f"vm{number}"))["id"] for number in range(2)]
        await to_the_node(api, dest)
        dest.memory_mib = 16384
        await dest.heartbeat()
        for other in others:
            api.clock.advance(1)
            await go(api, other)
            await api.conductor().work()
        shown = [(await listed(api, key))[0] for key in (first, *others)]
        assert [one["status"] for one in shown] == ["running", "queued", "queued"]
        path = f"/servers/{others[0]}/migrations/{shown[1]['id']}"
        refused = await api.as_("admin", "2.64")("DELETE", path)
        assert refused.status == 400 and "Cannot abort live migration while" in str(refused.json)
        assert (await api.as_("admin")("POST", f"{path}/action", {"force_complete": None})).status == 400
        assert (await api("DELETE", path)).status == 403
        assert (await api.as_("admin")("DELETE", path)).status == 202
        await api.conductor().work()
        assert await state_of(api, others[0]) == ("ACTIVE", None, HERE)
        assert await bindings(api, others[0]) == (HERE, [THERE, THERE])  # of the two others
        assert [one["status"] for one in await listed(api, others[1])] == ["queued"]
        assert (await api.as_("admin")("DELETE", path)).status == 409
        await source.pass_()
        await api.conductor().work()
        assert [one["status"] for one in await listed(api, others[1])] == ["preparing"]
        found = (await api.as_("admin")("GET", "/os-migrations")).json["migrations"]
        assert [one["status"] for one in found] == ["preparing", "cancelled", "completed"]

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_one_that_is_under_way_is_aborted_by_its_host(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud) -> None:
        source, dest, server_id = await begin(api)
        await to_the_node(api, dest)
        (shown,) = await listed(api, server_id)
        path = f"/servers/{server_id}/migrations/{shown['id']}"
        api.clock.advance(1)
        assert (await api.as_("admin", "2.23")("DELETE", path)).status == 404
        assert (await api.as_("admin")("DELETE", f"/servers/{server_id}/migrations/777")).status == 404
        assert (await api.as_("admin")("DELETE", path)).status == 202
        (order,) = (await source.state()).servers[0].operations
        assert order.arguments["order"] == "abort"
        await source.tell(operations=(OperationReport(order.operation_id, "operation was cancelled"),))
        await api.conductor().work()
        assert await state_of(api, server_id) == ("ACTIVE", None, HERE)
        assert await bindings(api, server_id) == (HERE, [])
        assert await status_of(api) == "cancelled"
        actions = (await api("GET", f"/servers/{server_id}/os-instance-actions")).json["instanceActions"]
        assert [one["action"] for one in actions[:2]] == ["live_migration_cancel", "live-migration"]

    tell(story, tmp_path, kind)


def test_one_that_does_not_come_to_its_end_is_forced_to(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        source, dest, server_id = await begin(api)
        await to_the_node(api, dest)
        (shown,) = await listed(api, server_id)
        path = f"/servers/{server_id}/migrations/{shown['id']}/action"
        for version, status in (("2.21", 400), ("2.22", 202)):
            answer = await api.as_("admin", version)("POST", path, {"force_complete": None})
            assert answer.status == status
        (order,) = (await source.state()).servers[0].operations
        assert order.arguments["order"] == "force"
        await source.pass_()
        await api.conductor().work()
        assert await state_of(api, server_id) == ("ACTIVE", None, THERE)

    tell(story, tmp_path)


def test_hosts_that_go_down_meanwhile(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        source, dest, server_id = await begin(api)
        await to_the_node(api, dest)
        api.clock.advance(api.parts.config.service_down_time_s + 1)
        await dest.heartbeat()
        await api.conductor().work()
        assert await state_of(api, server_id) == ("ACTIVE", None, HERE)
        assert await status_of(api) == "error"
        assert (await operation_of(api)).error == "Compute service of h1 is unavailable at this time."
        await source.heartbeat()
        await go(api, server_id)
        await api.conductor().work()
        api.clock.advance(api.parts.config.task_timeout_s + 1)
        await source.heartbeat()
        await api.conductor().work()
        assert (await operation_of(api)).error == "Compute service of h2 is unavailable at this time."
        assert await state_of(api, server_id) == ("ACTIVE", None, HERE)

    tell(story, tmp_path)


def test_a_paused_server_and_one_that_is_deleted_on_its_way(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        source, dest, server_id = await begin(api)
        await to_the_node(api, dest)
        await source.pass_()
        await api.conductor().work()
        assert (await api.act(server_id, "pause", None)).status == 202
        await dest.pass_()
        await go(api, server_id)
        assert await state_of(api, server_id) == ("MIGRATING", "migrating", THERE)
        for verb in ("unpause", "os-stop", "createImage", "shelve"):
            argument = {"name": "x"} if verb == "createImage" else None
            assert (await api.act(server_id, verb, argument)).status == 409, verb
        await to_the_node(api, source)
        await dest.pass_()
        await api.conductor().work()
        assert await state_of(api, server_id) == ("PAUSED", None, HERE)
        await go(api, server_id)
        await to_the_node(api, dest)
        assert (await api("DELETE", f"/servers/{server_id}")).status == 204
        assert (await dest.state()).incoming == ()
        await source.pass_()
        await api.conductor().work()
        assert (await api("GET", f"/servers/{server_id}")).status == 404
        assert await rows(api, "port_bindings") == []
        assert await promised(api) == {HERE: (0, 0), THERE: (0, 0)}
        assert {one.state for one in await rows(api, "operations")} == {"done", "failed"}

    tell(story, tmp_path)


def test_any_number_may_leave_where_the_settings_say_so(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        source = await api.host(HERE)
        await api.a_network()
        several = [(await api.boot(source, f"vm{number}"))["id"] for number in range(3)]
        await api.host(THERE)
        for key in several:
            await go(api, key)
        await api.conductor().work()
        assert [(await listed(api, key))[0]["status"] for key in several] == ["preparing"] * 3

    tell(story, tmp_path, config=ComputeConfig(max_concurrent_live_migrations=0))
