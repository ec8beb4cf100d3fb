"""Attacks by nodes and by users of volumes: what nodes say, what readers see, what actions of old undo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.api.volume.cloud import Cloud, StorageHost, pool, tell

from pileus.services.volume.service import VolumeConfig
from pileus.services.volume.uses.image import images_of
from pileus.wire.volume import ExportReport, VolumeConnection

SERVER = "22222222-2222-4222-8222-222222222222"
CONNECTOR: dict[str, Any] = {"host": "h9", "initiator": "iqn.2026-01.example:h9", "ip": "192.0.2.9"}
EVERY = {**CONNECTOR, "protocols": ["file", "block", "rbd", "nbd", "iscsi"]}
ISCSI = VolumeConnection(
    "iscsi", address="192.0.2.1", port=3260, name="iqn.x:1", username="chap-name", password="chap-secret"
)
SOON = VolumeConfig(connection_wait_s=0.02)


async def _attachment(api: Cloud, host: StorageHost, connector: dict[str, Any]) -> str:
    """An attachment with a connector that its node has not answered yet; its id."""
    volume = await api.make(host)
    made = await api("POST", "/attachments", {"attachment": {"volume_uuid": volume["id"]}})
    key = str(made.json["attachment"]["id"])
    answer = await api("PUT", f"/attachments/{key}", {"attachment": {"connector": connector}})
    assert answer.status == 503  # nobody has said anything within the time
    return key


@pytest.mark.parametrize(
    "connection",
    [
        VolumeConnection("file", path="/etc/shadow"),
        VolumeConnection("block", path="/dev/sda"),
        VolumeConnection("nbd", disk_format="qcow2", address="192.0.2.1", port=10809, name="x"),
        VolumeConnection("odd", path="/etc/shadow"),
    ],
)
def test_a_node_names_no_files_of_other_hosts(connection: VolumeConnection, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        key = await _attachment(api, host, EVERY)
        await host.tell(exports=(ExportReport(key, connection),))
        shown = (await api("GET", f"/attachments/{key}")).json["attachment"]
        assert shown["connection_info"] == {}
        answer = await api("PUT", f"/attachments/{key}", {"attachment": {"connector": EVERY}})
        assert answer.status == 503
        await host.tell(exports=(ExportReport(key, ISCSI),))
        shown = (await api("GET", f"/attachments/{key}")).json["attachment"]
        assert shown["connection_info"]["driver_volume_type"] == "iscsi"

    tell(story, tmp_path, config=SOON)


def test_a_node_opens_a_volume_in_none_but_the_ways_that_were_asked_for(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        key = await _attachment(api, host, {"host": "h1", "protocols": ["nbd"]})
        await host.tell(exports=(ExportReport(key, VolumeConnection("file", path="/pools/fast/x")),))
        assert (await api("GET", f"/attachments/{key}")).json["attachment"]["connection_info"] == {}

    tell(story, tmp_path, config=SOON)


def test_who_reads_alone_is_not_told_the_password(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        key = await _attachment(api, host, EVERY)
        await host.tell(exports=(ExportReport(key, ISCSI),))
        for path in (f"/attachments/{key}", "/attachments/detail"):
            assert "chap-secret" in str((await api("GET", path)).json), path
            answer = await api.as_("reader")("GET", path)
            assert answer.status == 200
            assert key in str(answer.json)
            assert "chap" not in str(answer.json), path

    tell(story, tmp_path, config=SOON)


def test_a_volume_that_was_given_away_is_open_to_its_old_owner_no_more(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host, bob = await api.host(), api.as_("bob")
        volume = await api.make(host)
        asking = api.act(volume["id"], "os-initialize_connection", {"connector": CONNECTOR})
        assert (await api.while_asked(asking, host)).status == 200
        made = await api("POST", "/volume-transfers", {"transfer": {"volume_id": volume["id"]}})
        transfer = made.json["transfer"]
        accept = {"accept": {"auth_key": transfer["auth_key"]}}
        assert (await bob("POST", f"/volume-transfers/{transfer['id']}/accept", accept)).status == 202
        (details,) = (await host.state()).volumes
        assert details.exports == ()

    tell(story, tmp_path)


def test_actions_of_old_take_no_volume_that_is_kept_for_a_server(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        key = await _attachment(api, host, CONNECTOR)
        volume = (await api("GET", f"/attachments/{key}")).json["attachment"]["volume_id"]
        assert (await api.volume(volume))["status"] == "attaching"
        assert (await api.act(volume, "os-unreserve")).status == 202
        assert (await api.volume(volume))["status"] == "attaching"
        attach = {"instance_uuid": SERVER, "mountpoint": "/dev/vdc"}
        assert (await api.act(volume, "os-attach", attach)).status == 400
        assert (await api("POST", f"/attachments/{key}/action", {"os-complete": None})).status == 204
        assert (await api.as_("admin").act(volume, "os-force_delete")).status == 400
        assert (await api.volume(volume))["status"] == "in-use"

    tell(story, tmp_path, config=SOON)


def test_a_pool_says_plain_things_of_itself(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        nested: list[Any] = []
        for _ in range(300):
            nested = [nested]
        await api.host("h1", pool("fast", configurations={"deep": nested, "kinds": ["ssd", 1], "hot": True}))
        (found,) = (await api.as_("admin")("GET", "/scheduler-stats/get_pools?detail=True")).json["pools"]
        assert found["capabilities"]["kinds"] == ["ssd", 1] and found["capabilities"]["hot"] is True
        assert "deep" not in found["capabilities"]

    tell(story, tmp_path)


def test_metadata_grow_to_a_bound(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        key = (await api.make(host))["id"]

        def items(start: int, many: int) -> dict[str, Any]:
            return {"metadata": {f"k{number}": "v" for number in range(start, start + many)}}

        path = f"/volumes/{key}/metadata"
        assert (await api("POST", path, items(0, 513))).status == 400
        assert (await api("POST", path, items(0, 512))).status == 200
        assert (await api("POST", path, items(512, 1))).status == 400
        assert (await api("PUT", f"{path}/new", {"meta": {"new": "v"}})).status == 400
        assert (await api("POST", path, items(5, 1))).status == 200
        assert (await api.act(key, "os-set_image_metadata", items(0, 512))).status == 200
        assert (await api.act(key, "os-set_image_metadata", items(512, 1))).status == 400

    tell(story, tmp_path)


def test_a_snapshot_that_goes_is_not_said_to_be_there(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        volume = await api.make(host)
        key = (await api.snapshot(host, volume["id"]))["id"]
        assert (await api("DELETE", f"/snapshots/{key}")).status == 202
        for status in ("available", "creating"):
            said = {"os-update_snapshot_status": {"status": status}}
            assert (await api("POST", f"/snapshots/{key}/action", said)).status == 400
        assert (await api.ask_for(None, snapshot_id=key)).status == 400

    tell(story, tmp_path)


def test_a_volume_that_is_left_while_it_grows_is_free_when_it_has_grown(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        for verb, argument in (
            ("os-extend", {"new_size": 3}),
            ("os-volume_upload_image", {"image_name": "copy", "force": True}),
        ):
            volume = await api.make(host)
            made = await api("POST", "/attachments", {"attachment": {"volume_uuid": volume["id"]}})
            path = f"/attachments/{made.json['attachment']['id']}"
            assert (await api("POST", f"{path}/action", {"os-complete": None})).status == 204
            assert (await api.act(volume["id"], verb, argument)).status == 202
            busy = (await api.volume(volume["id"]))["status"]
            assert (await api("DELETE", path)).status == 200
            assert (await api.volume(volume["id"]))["status"] == busy
            await host.pass_()
            assert (await api.volume(volume["id"]))["status"] == "available", verb

    tell(story, tmp_path)


def test_no_metadata_of_a_volume_become_an_images_own_attributes(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        key = (await api.make(host))["id"]
        said = {"locations": "file:///etc/shadow", "owner": "somebody", "file": "/x", "kind": "mine"}
        assert (await api.act(key, "os-set_image_metadata", {"metadata": said})).status == 200
        answer = await api.act(key, "os-volume_upload_image", {"image_name": "copy"})
        image_id = answer.json["os-volume_upload_image"]["image_id"]
        image = (await api.store.read(images_of, [image_id]))[image_id]
        assert image["properties"] == {"kind": "mine"}

    tell(story, tmp_path)
