"""Snapshots: made, listed, changed, gone back to, deleted with their volumes; and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import databases
from tests.api.volume.cloud import Cloud, tell

NOBODY = "11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_snapshot_from_making_to_deleting(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        volume = await api.make(host, 2)
        body = {"snapshot": {"volume_id": volume["id"], "name": "s", "metadata": {"a": "1"}}}
        answer = await api("POST", "/snapshots", body)
        assert answer.status == 202, answer
        made = answer.json["snapshot"]
        assert (made["status"], made["size"], made["volume_id"]) == ("creating", 2, volume["id"])
        await host.pass_()
        path = f"/snapshots/{made['id']}"
        found = (await api("GET", path)).json["snapshot"]
        assert found["status"] == "available"
        assert found["os-extended-snapshot-attributes:progress"] == "100%"
        (details,) = (await host.state()).volumes
        assert [one.snapshot_id for one in details.snapshots] == [made["id"]]
        answer = await api("PUT", path, {"snapshot": {"name": "t"}})
        assert (answer.status, answer.json["snapshot"]["name"]) == (200, "t")
        for query in ("name=t", f"volume_id={volume['id']}", "status=available", "metadata={'a':'1'}"):
            listed = (await api("GET", f"/snapshots?{query}")).json["snapshots"]
            assert [one["id"] for one in listed] == [made["id"]], query
        assert (await api("GET", f"/snapshots?volume_id={NOBODY}")).json == {"snapshots": []}
        assert (await api("GET", f"{path}/metadata")).json == {"metadata": {"a": "1"}}
        assert (await api.as_("bob")("GET", path)).status == 404
        assert (await api.as_("reader")("DELETE", path)).status == 403
        assert (await api("DELETE", f"/volumes/{volume['id']}")).status == 400
        assert (await api("DELETE", path)).status == 202
        await host.pass_()
        assert (await api("GET", path)).status == 404
        assert host.done == ["create", "snapshot", "delete_snapshot"]

    tell(story, tmp_path, kind)


def test_a_volume_goes_with_its_snapshots_or_back_to_the_newest(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        volume = await api.make(host)
        first = await api.snapshot(host, volume["id"])
        api.clock.advance(1)
        second = await api.snapshot(host, volume["id"])
        assert (await api.act(volume["id"], "revert", {"snapshot_id": first["id"]})).status == 400
        assert (await api.act(volume["id"], "revert", {"snapshot_id": second["id"]})).status == 202
        assert (await api.volume(volume["id"]))["status"] == "reverting"
        await host.pass_()
        assert (await api.volume(volume["id"]))["status"] == "available"
        assert (await api.at("3.39").act(volume["id"], "revert", {"snapshot_id": first["id"]})).status == 400
        assert (await api("DELETE", f"/volumes/{volume['id']}?cascade=true")).status == 202
        listed = (await api("GET", "/snapshots")).json["snapshots"]
        assert {one["status"] for one in listed} == {"deleting"}
        await host.pass_()
        assert (await api("GET", "/snapshots")).json == {"snapshots": []}
        assert (await api("GET", "/volumes")).json == {"volumes": []}

    tell(story, tmp_path)


def test_states_of_snapshots(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host, admin = await api.host(), api.as_("admin")
        volume = await api.make(host)
        key = (await api.snapshot(host, volume["id"]))["id"]
        path = f"/snapshots/{key}/action"
        assert (await api("POST", path, {"os-reset_status": {"status": "error"}})).status == 403
        assert (await admin("POST", path, {"os-reset_status": {"status": "creating"}})).status == 202
        status = {"os-update_snapshot_status": {"status": "error", "progress": "80%"}}
        assert (await api("POST", path, status)).status == 202
        found = (await api("GET", f"/snapshots/{key}")).json["snapshot"]
        assert (found["status"], found["os-extended-snapshot-attributes:progress"]) == ("error", "80%")
        assert (await api("POST", path, status)).status == 400
        assert (await api.ask_for(None, snapshot_id=key)).status == 400
        await admin("POST", path, {"os-reset_status": {"status": "deleting"}})
        assert (await api("DELETE", f"/snapshots/{key}")).status == 400
        assert (await admin("POST", path, {"os-force_delete": {}})).status == 202
        host.fails = "busy"
        await host.pass_()
        assert (await api("GET", f"/snapshots/{key}")).json["snapshot"]["status"] == "error_deleting"
        assert (await api("POST", "/snapshots", {"snapshot": {"volume_id": NOBODY}})).status == 404
        assert (await api("POST", "/snapshots", {"snapshot": {}})).status == 400

    tell(story, tmp_path)
