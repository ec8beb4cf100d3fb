"""Backups: made whole and as sequels, put back, deleted, found again by their records."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.volume.cloud import IMAGE, P1, Cloud, StorageHost, pool, tell

from pileus.wire.hypervisor import OperationReport

NOBODY = "11111111-2222-3333-4444-555555555555"


async def _status(api: Cloud, backup_id: str) -> str:
    found = await api("GET", f"/backups/{backup_id}")
    return str(found.json["backup"]["status"]) if found.status == 200 else "gone"


def _last(host: StorageHost) -> Any:
    return host.asked[-1]


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_backup_from_making_to_deleting(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        volume = await api.make(host, 2, metadata={"a": "1"})
        answer = await api(
            "POST", "/backups", {"backup": {"volume_id": volume["id"], "name": "one", "metadata": {"k": "v"}}}
        )
        assert answer.status == 202, answer
        made = answer.json["backup"]
        assert (set(made), made["name"]) == ({"id", "name", "links"}, "one")
        assert (await api.volume(volume["id"]))["status"] == "backing-up"
        assert await _status(api, made["id"]) == "creating"
        assert (await api("DELETE", f"/backups/{made['id']}")).status == 400
        await host.pass_()
        asked = _last(host).backup
        assert (asked.backup_id, asked.container, asked.parent_id) == (made["id"], f"{P1}/volumes", None)
        shown = (await api("GET", f"/backups/{made['id']}")).json["backup"]
        assert {name: shown[name] for name in ("status", "size", "object_count", "is_incremental")} == {
            "status": "available",
            "size": 2,
            "object_count": 3,
            "is_incremental": False,
        }
        assert (shown["metadata"], shown["container"], shown["volume_id"]) == (
            {"k": "v"},
            "volumes",
            volume["id"],
        )
        assert "os-backup-project-attr:project_id" not in shown
        seen = (await api.as_("admin")("GET", "/backups/detail?all_tenants=1")).json["backups"]
        assert [one["os-backup-project-attr:project_id"] for one in seen] == [P1]
        assert (await api.volume(volume["id"]))["status"] == "available"
        changed = await api("PUT", f"/backups/{made['id']}", {"backup": {"name": "two", "description": "d"}})
        assert (changed.status, changed.json["backup"]["name"]) == (200, "two")
        assert (await api("PUT", f"/backups/{made['id']}", {"backup": {}})).status == 400
        assert (await api.at("3.8")("PUT", f"/backups/{made['id']}", {"backup": {"name": "x"}})).status == 404
        assert [one["name"] for one in (await api("GET", "/backups")).json["backups"]] == ["two"]
        assert (await api("DELETE", f"/backups/{made['id']}")).status == 202
        assert await _status(api, made["id"]) == "deleting"
        (going,) = (await host.state()).operations
        other = await api.host("h2", pool("far"))
        await other.tell(operations=(OperationReport(going.operation_id),))
        assert (await _status(api, made["id"]), (await other.state()).operations) == ("deleting", ())
        await host.pass_()
        assert await _status(api, made["id"]) == "gone"
        assert host.done == ["create", "backup", "delete_backup"]

    tell(story, tmp_path, kind)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_sequels_and_backups_of_snapshots(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        volume = await api.make(host)
        first = {"volume_id": volume["id"], "incremental": True}
        assert (await api("POST", "/backups", {"backup": first})).status == 400
        whole = await api.backup(host, volume["id"], container="mine")
        api.clock.advance(1)
        snapshot = await api.snapshot(host, volume["id"])
        api.clock.advance(1)
        second = await api.backup(host, volume["id"], incremental=True)
        assert (second["container"], second["is_incremental"]) == ("mine", True)
        assert _last(host).backup.parent_id == whole["id"]
        api.clock.advance(1)
        third = await api.backup(host, volume["id"], incremental=True, snapshot_id=snapshot["id"])
        assert (third["snapshot_id"], third["data_timestamp"]) == (snapshot["id"], snapshot["created_at"])
        assert (_last(host).snapshot_id, _last(host).backup.parent_id) == (snapshot["id"], whole["id"])
        assert (await api("GET", f"/snapshots/{snapshot['id']}")).json["snapshot"]["status"] == "available"
        assert (await api("GET", f"/backups/{whole['id']}")).json["backup"]["has_dependent_backups"] is True
        refused = await api("DELETE", f"/backups/{whole['id']}")
        assert (refused.status, "Incremental backups exist" in refused.json["badRequest"]["message"]) == (
            400,
            True,
        )
        for one in (second, third, whole):
            assert (await api("DELETE", f"/backups/{one['id']}")).status == 202
            await host.pass_()
        assert (await api("GET", "/backups")).json["backups"] == []
        other = await api.make(host)
        wrong = {"volume_id": other["id"], "snapshot_id": snapshot["id"]}
        assert (await api("POST", "/backups", {"backup": wrong})).status == 400

    tell(story, tmp_path, kind)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_backup_is_put_back(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        volume = await api.make(host, 1, imageRef=IMAGE, metadata={"a": "1"})
        await api.host("h2", pool("far", gib=1000))
        backup = await api.backup(host, volume["id"])
        path = f"/backups/{backup['id']}"
        answer = await api("POST", f"{path}/restore", {"restore": {"name": "again"}})
        assert answer.status == 202, answer
        said = answer.json["restore"]
        assert (said["backup_id"], said["volume_name"]) == (backup["id"], "again")
        assert await _status(api, backup["id"]) == "restoring"
        assert (await api("POST", f"{path}/restore", {"restore": {}})).status == 400
        await host.pass_()
        assert _last(host).source.backup.backup_id == backup["id"]
        restored = await api.as_("admin").volume(said["volume_id"])
        facts = {name: restored[name] for name in ("status", "bootable", "metadata", "os-vol-host-attr:host")}
        assert facts == {
            "status": "available",
            "bootable": "true",
            "metadata": {"a": "1"},
            "os-vol-host-attr:host": "h1@fast#fast",
        }
        assert await _status(api, backup["id"]) == "available"
        into = {"restore": {"volume_id": said["volume_id"]}}
        assert (await api("POST", f"{path}/restore", into)).status == 202
        assert (await api.volume(said["volume_id"]))["status"] == "restoring-backup"
        await host.pass_()
        assert (_last(host).kind, (await api.volume(said["volume_id"]))["status"]) == ("restore", "available")
        host.fails = "The disk is full."
        assert (await api("POST", f"{path}/restore", into)).status == 202
        await host.pass_()
        assert (await api.volume(said["volume_id"]))["status"] == "error_restoring"
        assert await _status(api, backup["id"]) == "available"
        messages = (await api("GET", "/messages?resource_type=VOLUME_BACKUP")).json["messages"]
        assert [one["user_message"] for one in messages] == ["restore backup:The disk is full."]
        host.fails = None
        new = await api.ask_for(None, backup_id=backup["id"])
        assert new.status == 202, new
        await host.pass_()
        assert (await api.volume(new.json["volume"]["id"]))["status"] == "available"
        assert await _status(api, backup["id"]) == "available"

    tell(story, tmp_path, kind)


def test_what_can_t_be_backed_up_or_put_back_is_refused(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        without = await api.host("h2", pool("bare", gib=1000, backups=False))
        bare = await api.make(without, 2)
        assert (await api("POST", "/backups", {"backup": {"volume_id": bare["id"]}})).status == 404
        without.pools = []
        await without.heartbeat()
        volume = await api.make(host, 2)
        for bad in (
            {"volume_id": NOBODY},
            {},
            {"volume_id": volume["id"], "container": "../x"},
            {"volume_id": volume["id"], "snapshot_id": NOBODY},
            {"volume_id": volume["id"], "availability_zone": "mars"},
        ):
            assert (await api("POST", "/backups", {"backup": bad})).status in (400, 404), bad
        assert (
            await api.as_("bob")("POST", "/backups", {"backup": {"volume_id": volume["id"]}})
        ).status == 404
        backup = await api.backup(host, volume["id"])
        path = f"/backups/{backup['id']}"
        for name in ("GET", "DELETE"):
            assert (await api.as_("bob")(name, path)).status == 404
        assert (await api.as_("bob")("POST", f"{path}/restore", {"restore": {}})).status == 404
        assert (await api.as_("bob").ask_for(None, backup_id=backup["id"])).status == 404
        small = await api.make(host, 1)
        for key in (small["id"], bare["id"]):
            assert (await api("POST", f"{path}/restore", {"restore": {"volume_id": key}})).status == 400
        reserved = {"attachment": {"volume_uuid": volume["id"]}}
        assert (await api("POST", "/attachments", reserved)).status == 200
        assert (await api("POST", "/backups", {"backup": {"volume_id": volume["id"]}})).status == 400
        admin = api.as_("admin")
        assert (await api("POST", f"{path}/action", {"os-reset_status": {"status": "error"}})).status == 403
        assert (
            await admin("POST", f"{path}/action", {"os-reset_status": {"status": "creating"}})
        ).status == 400
        assert (await admin("POST", f"{path}/action", {"os-reset_status": {"status": "error"}})).status == 202
        assert (await api("POST", f"{path}/restore", {"restore": {}})).status == 400
        assert (await admin("POST", f"{path}/action", {"os-force_delete": {}})).status == 202
        await host.pass_()
        assert await _status(api, backup["id"]) == "gone"

    tell(story, tmp_path)


def test_failures_and_deletions_midway_leave_nothing_busy(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host, admin = await api.host(), api.as_("admin")
        volume = await api.make(host)
        host.fails = "There is no room."
        made = (await api("POST", "/backups", {"backup": {"volume_id": volume["id"]}})).json["backup"]
        await host.pass_()
        shown = (await api("GET", f"/backups/{made['id']}")).json["backup"]
        assert (shown["status"], shown["fail_reason"]) == ("error", "There is no room.")
        assert (await api.volume(volume["id"]))["status"] == "available"
        assert (await api("DELETE", f"/backups/{made['id']}")).status == 202
        await host.pass_()
        shown = (await api("GET", f"/backups/{made['id']}")).json["backup"]
        assert (shown["status"], shown["fail_reason"]) == ("error", "There is no room.")
        host.fails = None
        assert (await api("DELETE", f"/backups/{made['id']}")).status == 202
        await host.pass_()
        made = (await api("POST", "/backups", {"backup": {"volume_id": volume["id"]}})).json["backup"]
        assert (await admin.act(volume["id"], "os-force_delete", {})).status == 202
        assert await _status(api, made["id"]) == "error"
        await host.pass_()
        assert (await api("GET", f"/volumes/{volume['id']}")).status == 404
        volume = await api.make(host)
        made = await api.backup(host, volume["id"])
        said = (await api("POST", f"/backups/{made['id']}/restore", {"restore": {}})).json["restore"]
        assert (await admin.act(said["volume_id"], "os-force_delete", {})).status == 202
        assert await _status(api, made["id"]) == "available"
        made = (await api("POST", "/backups", {"backup": {"volume_id": volume["id"]}})).json["backup"]
        api.clock.advance(2 * 86400)
        await api.late()
        assert await _status(api, made["id"]) == "error"
        assert (await api.volume(volume["id"]))["status"] == "available"

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_backups_count(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host, admin = await api.host(), api.as_("admin")
        volume = await api.make(host, 3)
        await api.backup(host, volume["id"])
        usage = (await api("GET", f"/os-quota-sets/{P1}?usage=true")).json["quota_set"]
        assert (usage["backups"]["in_use"], usage["backup_gigabytes"]["in_use"]) == (1, 3)
        assert (usage["gigabytes"]["in_use"], usage["volumes"]["in_use"]) == (3, 1)
        absolute = (await api("GET", "/limits")).json["limits"]["absolute"]
        assert (absolute["totalBackupsUsed"], absolute["totalBackupGigabytesUsed"]) == (1, 3)
        for limits, words in (
            ({"backup_gigabytes": 5}, "Requested backup exceeds allowed backup_gigabytes quota"),
            ({"backup_gigabytes": 1000, "backups": 1}, "Maximum number of backups allowed (1)"),
        ):
            put = await admin("PUT", f"/os-quota-sets/{P1}", {"quota_set": limits})
            assert put.status == 200, put
            refused = await api("POST", "/backups", {"backup": {"volume_id": volume["id"]}})
            assert refused.status == 413
            assert words in refused.json["overLimit"]["message"]
        assert (await api.volume(volume["id"]))["status"] == "available"

    tell(story, tmp_path, kind)


def _changed(record: dict[str, str], **changes: Any) -> dict[str, Any]:
    said = json.loads(base64.b64decode(record["backup_url"])) | changes
    return {"backup-record": {**record, "backup_url": base64.b64encode(json.dumps(said).encode()).decode()}}


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_record_makes_a_backup_known_again(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host, admin = await api.host(), api.as_("admin")
        volume = await api.make(host)
        backup = await api.backup(host, volume["id"], name="one")
        path = f"/backups/{backup['id']}/export_record"
        assert (await api("GET", path)).status == 403
        record = (await admin("GET", path)).json["backup-record"]
        assert (await api("POST", "/backups/import_record", {"backup-record": record})).status == 403
        for bad in (
            {"backup-record": record},
            {"backup-record": {**record, "backup_url": "?"}},
            {"backup-record": {**record, "backup_url": base64.b64encode(b'{"a":' + b"[" * 9999).decode()}},
            {"backup-record": {**record, "backup_service": "swift"}},
            _changed(record, id=NOBODY, location="../../etc"),
            _changed(record, id="x"),
            _changed(record, id=NOBODY, size=0),
            _changed(record, id=NOBODY, data_timestamp="2020-99-01"),
        ):
            assert (await admin("POST", "/backups/import_record", bad)).status == 400, bad
        assert (
            await admin("POST", "/backups/import_record", _changed(record, id=NOBODY, place="node/h9"))
        ).status == 404
        answer = await admin("POST", "/backups/import_record", _changed(record, id=NOBODY))
        assert (answer.status, answer.json["backup"]["id"]) == (201, NOBODY)
        host.results["verify_backup"] = {"object_count": 7}
        await host.pass_()
        assert (_last(host).kind, _last(host).backup.backup_id) == ("verify_backup", backup["id"])
        shown = (await admin("GET", f"/backups/{NOBODY}")).json["backup"]
        assert (shown["status"], shown["name"], shown["object_count"]) == ("available", "one", 7)
        assert (await api("DELETE", f"/backups/{backup['id']}")).status == 202
        assert await _status(api, backup["id"]) == "gone"
        assert "delete_backup" not in host.done, "its bytes are another's, too"
        assert (await admin("DELETE", f"/backups/{NOBODY}")).status == 202
        await host.pass_()
        assert host.done[-1] == "delete_backup"

    tell(story, tmp_path, kind)


def test_backups_of_a_place_that_nodes_share(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        one = await api.host("h1", pool("fast", backup_place="nfs"))
        volume = await api.make(one)
        backup = await api.backup(one, volume["id"])
        two = await api.host("h2", pool("far", gib=1000, backup_place="nfs"))
        said = (await api("POST", f"/backups/{backup['id']}/restore", {"restore": {}})).json["restore"]
        await two.pass_()
        assert two.done == ["create"]
        assert (await api.volume(said["volume_id"]))["status"] == "available"
        one.pools = []
        await one.heartbeat()
        assert (await api("DELETE", f"/backups/{backup['id']}")).status == 202
        await two.pass_()
        assert two.done == ["create", "delete_backup"]

    tell(story, tmp_path)
