"""Groups of volumes: their types, what they have, what is kept of them at one moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.volume.cloud import P1, Cloud, StorageHost, pool, tell

from pileus.wire.hypervisor import OperationReport

NOBODY = "11111111-2222-3333-4444-555555555555"


async def _type(api: Cloud, name: str = "together", **values: Any) -> str:
    answer = await api.as_("admin")("POST", "/group_types", {"group_type": {"name": name, **values}})
    assert answer.status == 202, answer
    return str(answer.json["group_type"]["id"])


async def _group(api: Cloud, kind: str, *volume_types: str, **values: Any) -> str:
    body = {"group": {"group_type": kind, "volume_types": list(volume_types or ["__DEFAULT__"]), **values}}
    answer = await api("POST", "/groups", body)
    assert answer.status == 202, answer
    return str(answer.json["group"]["id"])


async def _shown(api: Cloud, group_id: str, kind: str = "group") -> dict[str, Any]:
    answer = await api(
        "GET", f"/{kind}s/{group_id}?list_volume=True" if kind == "group" else f"/{kind}s/{group_id}"
    )
    assert answer.status in (200, 404), answer
    found: dict[str, Any] = answer.json.get(kind) or {"status": "gone"}
    return found


async def _snapshot(api: Cloud, host: StorageHost, group_id: str) -> str:
    answer = await api("POST", "/group_snapshots", {"group_snapshot": {"group_id": group_id, "name": "all"}})
    assert answer.status == 202, answer
    await host.pass_()
    return str(answer.json["group_snapshot"]["id"])


@pytest.mark.parametrize("kind", databases.KINDS)
def test_group_types_and_their_specs(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        specs = {"consistent_group_snapshot_enabled": "<is> True"}
        key = await _type(api, "one", description="d", group_specs=specs)
        hidden = await _type(api, "hidden", is_public=False)
        path = f"/group_types/{key}"
        shown = (await admin("GET", path)).json["group_type"]
        assert (shown["name"], shown["group_specs"], shown["is_public"]) == ("one", specs, True)
        assert "group_specs" not in (await api("GET", path)).json["group_type"]
        assert [one["name"] for one in (await api("GET", "/group_types")).json["group_types"]] == ["one"]
        assert (await api("GET", f"/group_types/{hidden}")).status == 404
        listed = (await admin("GET", "/group_types?is_public=None&sort=name:asc")).json["group_types"]
        assert [one["name"] for one in listed] == ["hidden", "one"]
        assert (await admin("POST", "/group_types", {"group_type": {"name": "one"}})).status == 409
        assert (await api("POST", "/group_types", {"group_type": {"name": "two"}})).status == 403
        changed = await admin("PUT", path, {"group_type": {"name": "two", "description": "x"}})
        assert (changed.status, changed.json["group_type"]["name"]) == (200, "two")
        assert (await admin("PUT", path, {"group_type": {}})).status == 400
        every = f"{path}/group_specs"
        assert (await admin("POST", every, {"group_specs": {"a": "1", "b": "2"}})).status == 202
        assert (await admin("GET", f"{every}/a")).json == {"a": "1"}
        assert (await admin("PUT", f"{every}/a", {"a": "3"})).json == {"a": "3"}
        assert (await admin("PUT", f"{every}/a", {"b": "3"})).status == 400
        assert (await admin("GET", every)).json["group_specs"] == {**specs, "a": "3", "b": "2"}
        assert [(await admin("DELETE", f"{every}/a")).status for _ in range(2)] == [202, 404]
        assert (await admin("GET", f"{every}/a")).status == 404
        assert (await api("GET", every)).status == 403
        assert (await admin("GET", "/group_types/default")).status == 404
        assert (await admin.at("3.10")("GET", path)).status == 404
        await api.host()
        await _group(api, "two")
        assert (await admin("DELETE", path)).status == 400
        assert (await admin("DELETE", f"/group_types/{hidden}")).status == 202

    tell(story, tmp_path, kind)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_group_from_making_to_deleting(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host, other = await api.host(), await api.host("h2", pool("far", gib=500))
        await api.a_type("gold", extra_specs={"volume_backend_name": "fast"})
        group_type, group_id = await _type(api), ""
        group_id = await _group(api, group_type, "gold", "__DEFAULT__", name="one")
        shown = await _shown(api, group_id)
        assert (shown["status"], shown["group_type"], len(shown["volume_types"])) == (
            "available",
            group_type,
            2,
        )
        volume = await api.make(host, group_id=group_id)
        assert (volume["group_id"], (await _shown(api, group_id))["volumes"]) == (group_id, [volume["id"]])
        assert (await api("DELETE", f"/volumes/{volume['id']}")).status == 400
        assert (await api.act(volume["id"], "os-retype", {"new_type": "gold"})).status == 400
        loose, far = await api.make(host, volume_type="gold"), await api.make(other)
        await api.a_type("odd")
        odd = await api.make(other, volume_type="odd")
        for bad in (
            {"add_volumes": far["id"]},
            {"add_volumes": odd["id"]},
            {"add_volumes": NOBODY},
            {"remove_volumes": loose["id"]},
            {"add_volumes": loose["id"], "remove_volumes": loose["id"]},
            {},
        ):
            assert (await api("PUT", f"/groups/{group_id}", {"group": bad})).status == 400, bad
        body = {"group": {"name": "two", "add_volumes": loose["id"], "remove_volumes": volume["id"]}}
        assert (await api("PUT", f"/groups/{group_id}", body)).status == 202
        shown = await _shown(api, group_id)
        assert (shown["name"], shown["volumes"]) == ("two", [loose["id"]])
        assert (await api("GET", f"/volumes?group_id={group_id}")).json["volumes"][0]["id"] == loose["id"]
        assert (await api("POST", f"/groups/{group_id}/action", {"delete": {}})).status == 400
        go = {"delete": {"delete-volumes": True}}
        assert (await api("POST", f"/groups/{group_id}/action", go)).status == 202
        assert (await _shown(api, group_id))["status"] == "deleting"
        await host.pass_()
        assert (await _shown(api, group_id))["status"] == "gone"
        assert (await api("GET", f"/volumes/{loose['id']}")).status == 404
        empty = await _group(api, group_type)
        assert (
            await api("POST", f"/groups/{empty}/action", {"delete": {"delete-volumes": False}})
        ).status == 202
        assert (await _shown(api, empty))["status"] == "gone"

    tell(story, tmp_path, kind)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_all_volumes_are_kept_at_one_moment_and_come_again(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        group_id = await _group(api, await _type(api))
        assert (
            await api("POST", "/group_snapshots", {"group_snapshot": {"group_id": group_id}})
        ).status == 400
        mine = [await api.make(host, size, group_id=group_id) for size in (1, 2)]
        body = {"group_snapshot": {"group_id": group_id, "name": "all"}}
        answer = await api("POST", "/group_snapshots", body)
        assert answer.status == 202, answer
        key = answer.json["group_snapshot"]["id"]
        other = await api.host("h2", pool("far"))
        (asked,) = (await host.state()).operations
        await other.tell(operations=(OperationReport(asked.operation_id),))
        assert (await _shown(api, key, "group_snapshot"))["status"] == "creating"
        assert (await other.state()).operations == ()
        assert asked.kind == "snapshot_group"
        assert {one.volume_id for one in asked.members} == {one["id"] for one in mine}
        await host.pass_()
        assert (await _shown(api, key, "group_snapshot"))["status"] == "available"
        snapshots = (await api("GET", "/snapshots/detail")).json["snapshots"]
        assert {(one["status"], one["name"], one["group_snapshot_id"]) for one in snapshots} == {
            ("available", "all", key)
        }
        assert (await api("DELETE", f"/snapshots/{snapshots[0]['id']}")).status == 400
        go = {"delete": {"delete-volumes": True}}
        assert (await api("POST", f"/groups/{group_id}/action", go)).status == 400
        for source in ({"group_snapshot_id": key}, {"group_snapshot_id": None, "source_group_id": group_id}):
            answer = await api("POST", "/groups/action", {"create-from-src": {"name": "copy", **source}})
            assert answer.status == 202, answer
            copy = answer.json["group"]["id"]
            assert (await _shown(api, copy))["status"] == "creating"
            await host.pass_()
            shown = await _shown(api, copy)
            assert (shown["status"], len(shown["volumes"])) == ("available", 2)
            assert (await api("POST", f"/groups/{copy}/action", go)).status == 202
            await host.pass_()
            assert (await _shown(api, copy))["status"] == "gone"
        for bad in ({}, {"group_snapshot_id": key, "source_group_id": group_id}, {"source_group_id": NOBODY}):
            assert (await api("POST", "/groups/action", {"create-from-src": bad})).status in (400, 404)
        assert (await api("DELETE", f"/group_snapshots/{key}")).status == 202
        assert (await _shown(api, key, "group_snapshot"))["status"] == "deleting"
        await host.pass_()
        assert (await _shown(api, key, "group_snapshot"))["status"] == "gone"
        assert (await api("GET", "/snapshots")).json["snapshots"] == []

    tell(story, tmp_path, kind)


def test_what_fails_is_said_and_can_be_deleted(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host, admin = await api.host(), api.as_("admin")
        group_id = await _group(api, await _type(api))
        await api.make(host, group_id=group_id)
        host.fails = "It is open elsewhere."
        key = await _snapshot(api, host, group_id)
        assert (await _shown(api, key, "group_snapshot"))["status"] == "error"
        (snapshot,) = (await api("GET", "/snapshots/detail")).json["snapshots"]
        assert snapshot["status"] == "error"
        assert (await api("DELETE", f"/group_snapshots/{key}")).status == 202
        await host.pass_()
        assert (await _shown(api, key, "group_snapshot"))["status"] == "error_deleting"
        go = {"delete": {"delete-volumes": True}}
        host.fails = None
        assert (await api("DELETE", f"/group_snapshots/{key}")).status == 202
        await host.pass_()
        host.fails = "The disk is gone."
        assert (await api("POST", f"/groups/{group_id}/action", go)).status == 202
        await host.pass_()
        assert (await _shown(api, group_id))["status"] == "error_deleting"
        host.fails = None
        assert (await api("POST", f"/groups/{group_id}/action", go)).status == 202
        await host.pass_()
        assert (await _shown(api, group_id))["status"] == "gone"
        nowhere = await _group(api, "together", "__DEFAULT__")
        for status in ("creating", "error", "available"):
            reset = {"reset_status": {"status": status}}
            assert (await admin("POST", f"/groups/{nowhere}/action", reset)).status == 202
            assert (await _shown(api, nowhere))["status"] == status
        assert (
            await api("POST", f"/groups/{nowhere}/action", {"reset_status": {"status": "error"}})
        ).status == 403
        assert (
            await admin("POST", f"/groups/{nowhere}/action", {"reset_status": {"status": "x"}})
        ).status == 400
        assert (await api("POST", f"/groups/{nowhere}/action", {"enable_replication": {}})).status == 400

    tell(story, tmp_path)


def test_others_see_nothing_of_a_group_and_groups_count(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host, bob, admin = await api.host(), api.as_("bob"), api.as_("admin")
        kind = await _type(api)
        group_id = await _group(api, kind)
        await api.make(host, group_id=group_id)
        key = await _snapshot(api, host, group_id)
        for path in (f"/groups/{group_id}", f"/group_snapshots/{key}"):
            assert (await bob("GET", path)).status == 404
        assert (await bob("POST", f"/groups/{group_id}/action", {"delete": {}})).status == 404
        assert (await bob("PUT", f"/groups/{group_id}", {"group": {"name": "x"}})).status == 404
        assert (await bob("DELETE", f"/group_snapshots/{key}")).status == 404
        assert (
            await bob("POST", "/group_snapshots", {"group_snapshot": {"group_id": group_id}})
        ).status == 404
        assert (
            await bob("POST", "/groups/action", {"create-from-src": {"source_group_id": group_id}})
        ).status == 404
        assert (await bob.ask_for(1, group_id=group_id)).status == 404
        assert (await bob("GET", "/groups/detail")).json["groups"] == []
        listed = (await admin("GET", "/groups/detail?all_tenants=1")).json["groups"]
        assert [one["project_id"] for one in listed] == [P1]
        assert "project_id" not in (await api("GET", "/groups/detail")).json["groups"][0]
        assert (await admin("PUT", f"/os-quota-sets/{P1}", {"quota_set": {"groups": 1}})).status == 200
        body = {"group": {"group_type": kind, "volume_types": ["__DEFAULT__"]}}
        assert (await api("POST", "/groups", body)).status == 413
        reader = api.as_("reader")
        assert (await reader("POST", "/groups", body)).status == 403
        for bad in ({"group_type": kind}, {"group_type": kind, "volume_types": []}, {"volume_types": ["x"]}):
            assert (await api("POST", "/groups", {"group": bad})).status == 400

    tell(story, tmp_path)
