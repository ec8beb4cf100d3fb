"""Servers that begin from volumes, or are made with some: what they get, and what becomes of volumes that
can't be made, opened or paid for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests import databases
from tests.api.compute.cloud import IMAGE, OTHER_IMAGE, P1, Cloud
from tests.api.compute.volume_cases import POOL, Volumes, tell

from pileus.services.image.images.tables import image_properties
from pileus.store.tx import Tx

ROOT = {
    "source_type": "image",
    "destination_type": "volume",
    "uuid": IMAGE,
    "boot_index": 0,
    "volume_size": 2,
}
BLANK = {"source_type": "blank", "destination_type": "volume", "volume_size": 1}


async def ask(api: Cloud, *devices: dict[str, Any], **more: Any) -> str:
    values = {"imageRef": "", "networks": "none", "block_device_mapping_v2": list(devices), **more}
    answer = await api.ask_for(**values)
    assert answer.status == 202, answer
    return str(answer.json["server"]["id"])


async def volumes_there(api: Cloud) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await api("GET", "/volume/v3/volumes/detail")).json["volumes"]
    return sorted(found, key=lambda one: one["size"], reverse=True)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_server_boots_from_a_volume_that_is_made_of_an_image(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host, volumes = await api.host(), Volumes(api)
        await volumes.set_up()
        data = {**BLANK, "tag": "data", "disk_bus": "scsi", "boot_index": -1}
        server_id = await ask(api, {**ROOT, "delete_on_termination": True}, data)
        await api.conductor().work()
        shown = await api.as_("admin").server(server_id)
        assert shown["OS-EXT-STS:task_state"] == "block_device_mapping"
        root, blank = await volumes_there(api)
        assert [one["status"] for one in (root, blank)] == ["creating", "creating"]
        assert (root["bootable"], blank["name"]) == ("true", f"{server_id}-blank-vol")
        assert (await host.state()).servers == ()
        await volumes.storage.pass_()
        assert {one["status"] for one in await volumes_there(api)} == {"reserved"}
        await volumes.go_on(host)
        shown = await api.as_("admin").server(server_id)
        assert (shown["status"], shown["image"]) == ("ACTIVE", "")
        assert shown["OS-EXT-SRV-ATTR:root_device_name"] == "/dev/vda"
        assert [one["delete_on_termination"] for one in shown["os-extended-volumes:volumes_attached"]] == [
            True,
            False,
        ]
        assert {one["status"] for one in await volumes_there(api)} == {"in-use"}
        ((first, second),) = [one.volumes for one in (await host.state()).servers]
        assert (first.boot, first.device, first.volume_id) == (True, "vda", root["id"])
        assert (second.boot, second.device, second.bus) == (False, "sdb", "scsi")
        assert (await host.state()).servers[0].image is None
        assert (await api.at("2.86").act(server_id, "rescue", {"rescue_image_ref": IMAGE})).status == 400
        assert (await api.act(server_id, "rescue", {"rescue_image_ref": IMAGE})).status == 400
        answer = await api.at("2.92").act(server_id, "rebuild", {"imageRef": OTHER_IMAGE})
        assert (answer.status, "different image for a volume" in str(answer.json)) == (400, True)
        assert (await api.act(server_id, "rebuild", {"imageRef": IMAGE})).status == 400
        path = f"/servers/{server_id}/os-volume_attachments"
        assert (await api("GET", f"{path}/{blank['id']}")).json["volumeAttachment"]["tag"] == "data"
        assert (await api("DELETE", f"{path}/{root['id']}")).status == 403
        hosts = (await api.as_("admin").at("2.87")("GET", "/os-hypervisors/detail")).json["hypervisors"]
        assert hosts[0]["local_gb_used"] == 0
        assert (await api("DELETE", f"/servers/{server_id}")).status == 204
        await host.pass_(ports=False)
        await volumes.storage.pass_()
        assert [(one["id"], one["status"]) for one in await volumes_there(api)] == [
            (blank["id"], "available")
        ]

    tell(story, tmp_path, kind)


def test_a_volume_and_a_snapshot_that_are_there(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host, volumes = await api.host(), Volumes(api)
        await volumes.set_up()
        made = {"volume": {"size": 2, "imageRef": IMAGE}}
        volume_id = (await api("POST", "/volume/v3/volumes", made)).json["volume"]["id"]
        await volumes.storage.pass_()
        body = {"snapshot": {"volume_id": volume_id}}
        snapshot_id = (await api("POST", "/volume/v3/snapshots", body)).json["snapshot"]["id"]
        await volumes.storage.pass_()
        empty = await volumes.make()
        of_old: dict[str, Any] = {"block_device_mapping": [{"device_name": "vda", "volume_id": volume_id}]}
        answer = await api.ask_for(imageRef="", networks="none", **of_old)
        assert answer.status == 202, answer
        assert (await volumes.shown(volume_id))["status"] == "reserved"
        await volumes.go_on(host)
        shown = await api.server(answer.json["server"]["id"])
        assert shown["status"] == "ACTIVE"
        assert shown["os-extended-volumes:volumes_attached"][0]["id"] == volume_id
        body = {"server": {"name": "b", "flavorRef": "1", "networks": "none", **of_old}}
        old_path = await api("POST", "/os-volumes_boot", body)
        assert (old_path.status, "must be available" in str(old_path.json)) == (400, True), old_path
        again = await api.ask_for(imageRef="", networks="none", **of_old)
        assert (again.status, "must be available" in str(again.json)) == (400, True), again
        from_snapshot = {"source_type": "snapshot", "uuid": snapshot_id, "boot_index": 0}
        other = await ask(api, from_snapshot, min_count=2)
        await volumes.go_on(host)
        shown = await api.server(other)
        assert shown["status"] == "ACTIVE"
        fresh = await volumes.shown(shown["os-extended-volumes:volumes_attached"][0]["id"])
        assert (fresh["snapshot_id"], fresh["size"]) == (snapshot_id, 2)
        wrong = {"source_type": "volume", "uuid": empty, "boot_index": 0}
        answer = await api.ask_for(imageRef="", networks="none", block_device_mapping_v2=[wrong])
        assert (answer.status, "is not bootable" in str(answer.json)) == (400, True), answer
        answer = await api.ask_for(
            imageRef="", networks="none", block_device_mapping_v2=[{**BLANK, "boot_index": 0}]
        )
        assert (answer.status, "empty volume can't be booted" in str(answer.json)) == (400, True), answer
        foreign = await volumes.make(api.as_("bob"))
        answer = await api.ask_for(
            networks="none", block_device_mapping_v2=[{"source_type": "volume", "uuid": foreign}]
        )
        assert (answer.status, "failed to get volume" in str(answer.json)) == (400, True), answer
        small = {**from_snapshot, "volume_size": 1, "destination_type": "volume"}
        answer = await api.ask_for(imageRef="", networks="none", block_device_mapping_v2=[small])
        assert (answer.status, "can't hold the snapshot" in str(answer.json)) == (400, True), answer

    tell(story, tmp_path)


def test_a_volume_that_can_not_be_made_fails_its_server_with_the_reason(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host, volumes = await api.host(), Volumes(api)
        await volumes.set_up()
        volumes.storage.fails = "the disk is broken"
        server_id = await ask(api, {**ROOT, "delete_on_termination": True}, networks="none")
        await api.conductor().work()
        await volumes.storage.pass_()
        volumes.storage.fails = None
        await volumes.go_on(host)
        shown = await api.server(server_id)
        assert shown["status"] == "ERROR"
        assert "could not be made: the disk is broken" in shown["fault"]["message"]
        assert await api.count("allocations") == await api.count("server_volumes") == 0
        assert await volumes_there(api) == []
        volumes.storage.refuses = "no port is free"
        server_id = await ask(api, ROOT, BLANK)
        await volumes.go_on(host)
        shown = await api.server(server_id)
        assert (shown["status"], "no port is free" in shown["fault"]["message"]) == ("ERROR", True)
        assert {one["status"] for one in await volumes_there(api)} == {"available"}
        volumes.storage.refuses = None
        volumes.storage.pools = [msgspec.structs.replace(POOL, free_bytes=0)]
        await volumes.storage.heartbeat()
        too_large = await ask(api, ROOT)
        await volumes.go_on(host)
        shown = await api.server(too_large)
        assert (shown["status"], "No pool has room" in shown["fault"]["message"]) == ("ERROR", True)
        too_many = await ask(api, {**ROOT, "volume_size": 2000})
        await volumes.go_on(host)
        assert "quota" in (await api.server(too_many))["fault"]["message"]
        volumes.storage.pools = [POOL]
        await volumes.storage.heartbeat()
        host.fails = "it does not start"
        broken = await ask(api, {**ROOT, "delete_on_termination": True})
        await volumes.go_on(host)
        assert (await api.server(broken))["status"] == "ERROR"
        await volumes.storage.pass_()
        assert len(await volumes_there(api)) == 2

    tell(story, tmp_path)


def test_a_server_that_goes_while_its_volume_is_made_takes_it_along(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host, volumes = await api.host(), Volumes(api)
        await volumes.set_up()
        taken = await volumes.make()
        given = {"source_type": "volume", "uuid": taken}
        server_id = await ask(api, {**ROOT, "delete_on_termination": True}, given)
        await api.conductor().work()
        assert (await api("DELETE", f"/servers/{server_id}")).status == 204
        await host.pass_(ports=False)
        await api.conductor().work()
        await volumes.storage.pass_()
        assert [(one["id"], one["status"]) for one in await volumes_there(api)] == [(taken, "available")]

    tell(story, tmp_path)


def test_no_host_leaves_volumes_as_they_were(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.host()
        volumes = Volumes(api)
        await volumes.set_up()
        taken = await volumes.make()
        api.clock.advance(600)
        await volumes.storage.heartbeat()
        server_id = await ask(api, ROOT, {"source_type": "volume", "uuid": taken})
        await api.conductor().work()
        shown = await api.server(server_id)
        assert (shown["status"], shown["fault"]["code"]) == ("ERROR", 500)
        assert [(one["id"], one["status"]) for one in await volumes_there(api)] == [(taken, "available")]

    tell(story, tmp_path)


def test_an_image_of_a_volume_backed_server_names_snapshots_and_boots(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host, volumes = await api.host(), Volumes(api)
        await volumes.set_up()
        server_id = await ask(api, {**ROOT, "delete_on_termination": True}, BLANK)
        await volumes.go_on(host)
        api.clock.advance(1)
        backup = {"name": "b", "backup_type": "daily", "rotation": 1}
        answer = await api.act(server_id, "createBackup", backup)
        assert (answer.status, "not supported for volume-backed" in str(answer.json)) == (400, True)
        answer = await api.act(server_id, "createImage", {"name": "snap", "metadata": {"colour": "blue"}})
        assert answer.status == 202, answer
        image = await api.image(answer.json["image_id"])
        assert (image.status, image.size, image.disk_format) == ("active", 0, "raw")
        assert (await api.server(server_id))["OS-EXT-STS:task_state"] is None
        await volumes.storage.pass_()
        found = (await api("GET", "/volume/v3/snapshots")).json["snapshots"]
        assert [one["status"] for one in found] == ["available"] * 2
        assert {one["name"] for one in found} == {"snapshot for snap"}
        answer = await api.ask_for(imageRef=image.id, networks="none", flavorRef="1")
        assert answer.status == 202, answer
        await volumes.go_on(host)
        again = await api.server(answer.json["server"]["id"])
        assert (again["status"], again["image"]["id"]) == ("ACTIVE", image.id)
        first, second = again["os-extended-volumes:volumes_attached"]
        assert first["delete_on_termination"] and not second["delete_on_termination"]
        root = await volumes.shown(first["id"])
        assert root["snapshot_id"] in {one["id"] for one in found}
        wanted = (await host.state()).servers
        assert all(one.image is None for one in wanted)
        boot_too = {"source_type": "blank", "destination_type": "volume", "volume_size": 1, "boot_index": 0}
        answer = await api.ask_for(imageRef=image.id, networks="none", block_device_mapping_v2=[boot_too])
        assert (answer.status, "Boot sequence" in str(answer.json)) == (400, True), answer
        # whoever owns an image may write any id into it: even an administrator gets nobody's by it
        answer = await api.as_("admin").ask_for(imageRef=image.id, networks="none")
        assert (answer.status, "failed to get snapshot" in str(answer.json)) == (400, True), answer
        rows = image_properties
        for text, reason in (
            ("[1]", "can't be read"),
            ('[{"a": ' + "[" * 9999, "can't be read"),
            ('[{"source_type": "snapshot", "snapshot_id": "../x", "boot_index": 0}]', "can't be read"),
            ('[{"source_type": "volume", "boot_index": 0}]', "Missing device UUID."),
            (f'[{{"source_type": "snapshot", "snapshot_id": "{IMAGE}", "boot_index": 0}}]', "failed to get"),
        ):
            change = rows.update().where(rows.c.name == "block_device_mapping").values(value=text)
            await api.store.write(Tx.execute, change)
            answer = await api.ask_for(imageRef=image.id, networks="none")
            assert (answer.status, reason in str(answer.json)) == (400, True), answer
        limits = {"quota_set": {"snapshots": 2}}
        admin = api.as_("admin")
        assert (await admin("PUT", f"/volume/v3/os-quota-sets/{P1}", limits)).status == 200
        answer = await api.act(server_id, "createImage", {"name": "more"})
        assert (answer.status, "snapshots" in str(answer.json)) == (403, True), answer

    tell(story, tmp_path)


def test_volumes_are_reached_through_the_compute_api_of_old(tmp_path: Path) -> None:
    async def story(new: Cloud) -> None:
        await new.host()
        volumes, api = Volumes(new), new.at("2.35")
        await volumes.set_up()
        body = {"volume": {"size": "1", "display_name": "old", "metadata": {"a": "b"}}}
        answer = await api("POST", "/os-volumes", body)
        assert answer.status == 200, answer
        made = answer.json["volume"]
        assert (made["displayName"], made["size"], made["metadata"]) == ("old", 1, {"a": "b"})
        await volumes.storage.pass_()
        shown = (await api("GET", f"/os-volumes/{made['id']}")).json["volume"]
        assert (shown["status"], shown["attachments"]) == ("available", [{}])
        assert (await api("GET", "/os-volumes/detail?limit=1")).json["volumes"] == [shown]
        assert (await api("GET", "/os-volumes?offset=1")).json == {"volumes": []}
        asked = {"snapshot": {"volume_id": made["id"], "display_name": "s"}}
        snapshot = (await api("POST", "/os-snapshots", asked)).json["snapshot"]
        await volumes.storage.pass_()
        path = f"/os-snapshots/{snapshot['id']}"
        assert (await api("GET", path)).json["snapshot"]["status"] == "available"
        assert [one["id"] for one in (await api("GET", "/os-snapshots")).json["snapshots"]] == [
            snapshot["id"]
        ]
        assert (await api("DELETE", f"/os-volumes/{made['id']}")).status == 400
        assert (await api("DELETE", path)).status == 202
        await volumes.storage.pass_()
        assert (await api.as_("bob")("GET", f"/os-volumes/{made['id']}")).status == 404
        assert (await api("GET", "/os-volumes/summary")).status == 404
        assert (await api("DELETE", f"/os-volumes/{made['id']}")).status == 202
        for wrong in ({}, {"size": "0"}, {"size": "#$%"}, {"size": 1, "snapshot_id": IMAGE}):
            answer = await api("POST", "/os-volumes", {"volume": wrong})
            assert answer.status in (400, 404), (wrong, answer)
        assert (await api("GET", f"/os-volumes/{IMAGE}")).status == 404
        assert (await new.at("2.36")("GET", "/os-volumes")).status == 404

    tell(story, tmp_path)
