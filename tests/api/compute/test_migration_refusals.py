"""Migrations and evacuations that are refused: by policy, by their arguments, by what hosts are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.api.compute.cloud import P1, PEOPLE, Cloud, tell

from pileus.core.context import Context
from pileus.services.compute.service import ComputeConfig


def test_what_is_wrong_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = Context(
        now=PEOPLE["alice"].now, user_id="u7", project_id=P1, roles=("manager", "member", "reader")
    )
    monkeypatch.setitem(PEOPLE, "manager", manager)

    async def story(api: Cloud) -> None:
        host = await api.host()
        server_id = (await api.boot(host, networks="none"))["id"]
        live = {"block_migration": "auto", "host": None}
        old = {"block_migration": True, "host": None, "disk_over_commit": False}
        cases: list[tuple[str, Any, str, str, int]] = [
            ("migrate", None, "alice", "", 403),
            ("migrate", {"host": "h1"}, "manager", "", 403),
            ("migrate", {"colour": "blue"}, "admin", "", 400),
            ("os-migrateLive", {**live, "host": "h1"}, "manager", "", 403),
            ("os-migrateLive", {**live, "host": "h1"}, "admin", "", 400),
            ("os-migrateLive", {**live, "host": "h9"}, "admin", "", 400),
            ("os-migrateLive", live, "alice", "", 403),
            ("os-migrateLive", {"host": None}, "admin", "", 400),
            ("os-migrateLive", {**live, "force": True}, "admin", "2.67", 400),
            ("os-migrateLive", {**live, "force": True}, "admin", "2.68", 400),
            ("os-migrateLive", {**live, "disk_over_commit": False}, "admin", "2.25", 400),
            ("os-migrateLive", live, "admin", "2.24", 400),
            ("os-migrateLive", old, "admin", "2.24", 400),
            ("os-migrateLive", {**live, "block_migration": True}, "admin", "2.33", 400),
            ("evacuate", {"host": "h1"}, "manager", "", 403),
            ("evacuate", {}, "admin", "2.13", 400),
        ]
        for verb, argument, person, version, status in cases:
            answer = await api.as_(person, version or None).act(server_id, verb, argument)
            assert answer.status == status, (verb, argument, person, answer)
        assert (await api.as_("manager").act(server_id, "os-migrateLive", live)).status == 202

    tell(story, tmp_path)


def _sentence(answer: Any) -> str:
    assert answer.status == 400, answer
    return str(answer.json["badRequest"]["message"])


def test_up_to_2_33_why_a_server_can_not_go_live_is_said_at_once(tmp_path: Path) -> None:
    """Whatever hosts may promise, memory and disk must be free on the other one."""

    async def story(api: Cloud) -> None:
        here, there = await api.host("h1"), await api.host("h2", memory_mib=512)
        server_id = (await api.boot(here, networks="none"))["id"]
        admin = api.as_("admin", "2.30")

        async def why(**asked: Any) -> str:
            argument = {"block_migration": True, "host": "h2", **asked}
            return _sentence(await admin.act(server_id, "os-migrateLive", argument))

        assert "is not on shared storage" in await why(block_migration=False)
        assert "Can't force" in await why(host=None, force=True)
        assert await why(host="h9") == "Compute host h9 could not be found."
        assert await why(host="h1") == f"Unable to migrate instance ({server_id}) to current host (h1)."
        await api.store.write(_fill, server_id)  # another one is there: with over-commit there would be room
        assert "memory" in await why(host=None)
        assert "h2" in await why(force=True)
        there.memory_mib, there.certificate = 16384, ""
        await there.heartbeat()
        assert await why() == "Migration pre-check error: Host h2 takes no part in live migrations."
        assert "Host h2 takes no part in live migrations." in await why(host=None)
        api.clock.advance(3600)
        await there.heartbeat()
        assert await why() == "Compute service of h1 is unavailable at this time."
        assert (await api.server(server_id))["status"] == "ACTIVE"
        assert await api.count("server_migrations") == 0

    tell(story, tmp_path, config=ComputeConfig(ram_ratio=4.0))


def _fill(tx: Any, server_id: str) -> None:
    from pileus.services.compute.tables.servers import servers

    row = dict(tx.first(servers.select().where(servers.c.id == server_id))._mapping)
    row = {column.key: row[column.name] for column in servers.c}
    other = "20000000-0000-4000-8000-000000000001"
    tx.insert(servers, [{**row, "id": other, "host": "h2", "node": "h2", "name": "other"}])
    from pileus.services.compute.tables.servers import allocations

    claim = {"server_id": other, "host": "h2", "project_id": row["project_id"]}
    tx.insert(allocations, [{**claim, "vcpus": 1, "memory_mib": 512, "disk_gib": 1}])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"hypervisor_type": "Xen"}, "The supplied hypervisor type of is invalid."),
        ({"virtualisation": "kvm"}, "The supplied hypervisor type of is invalid."),
        ({"hypervisor_version": 7001000}, "The instance requires a newer hypervisor version"),
        ({"cpu_info": {"arch": "aarch64"}}, "Unacceptable CPU info: CPU arch is aarch64, and not x86_64"),
    ],
)
def test_a_host_that_can_not_go_on_with_it(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    from pileus.services.compute.tables.nodes import compute_nodes

    async def story(api: Cloud) -> None:
        here = await api.host("h1")
        await api.host("h2")
        server_id = (await api.boot(here, networks="none"))["id"]
        where = compute_nodes.c.host == "h2"
        await api.store.write(lambda tx: tx.execute(compute_nodes.update().where(where).values(**changes)))
        argument = {"block_migration": True, "host": "h2"}
        answer = await api.as_("admin", "2.33").act(server_id, "os-migrateLive", argument)
        assert reason in _sentence(answer)
        api.clock.advance(1)
        later = await api.as_("admin").act(server_id, "os-migrateLive", {**argument, "host": None})
        assert later.status == 202
        assert (await api.server(server_id))["status"] == "MIGRATING"
        await api.conductor().work()
        server = await api.server(server_id)
        assert (server["status"], server["OS-EXT-STS:task_state"]) == ("ACTIVE", None)
        path = f"/servers/{server_id}/os-instance-actions"
        admin = api.as_("admin")
        newest = (await admin("GET", path)).json["instanceActions"][0]
        assert (newest["action"], newest["message"]) == ("live-migration", "Error")
        one = (await admin("GET", f"{path}/{newest['request_id']}")).json["instanceAction"]
        assert reason in one["events"][0]["details"]

    tell(story, tmp_path)
