"""Attachments and the actions of old; transfers; and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import databases
from tests.api.volume.cloud import P1, P2, Cloud, tell

from pileus.services.volume.service import VolumeConfig

SERVER = "22222222-2222-4222-8222-222222222222"
NOBODY = "11111111-2222-3333-4444-555555555555"
CONNECTOR = {"host": "h9", "initiator": "iqn.2026-01.example:h9", "ip": "192.0.2.9"}


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_volume_is_reserved_opened_attached_and_left(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        volume = await api.make(host)
        body = {"attachment": {"volume_uuid": volume["id"], "instance_uuid": SERVER}}
        answer = await api("POST", "/attachments", body)
        assert answer.status == 200, answer
        made = answer.json["attachment"]
        assert (made["status"], made["connection_info"]) == ("reserved", {})
        assert (await api.volume(volume["id"]))["status"] == "reserved"
        assert (await api("POST", "/attachments", body)).status == 400
        path = f"/attachments/{made['id']}"
        update = {"attachment": {"connector": CONNECTOR}}
        answer = await api.while_asked(api("PUT", path, update), host)
        assert answer.status == 200, answer
        info = answer.json["attachment"]["connection_info"]
        assert (info["driver_volume_type"], info["data"]["host"]) == ("nbd", "192.0.2.1")
        assert (await api.volume(volume["id"]))["status"] == "attaching"
        assert (await api("POST", f"{path}/action", {"os-complete": None})).status == 204
        seen = await api.volume(volume["id"])
        assert seen["status"] == "in-use"
        (attached,) = seen["attachments"]
        assert (attached["attachment_id"], attached["server_id"]) == (made["id"], SERVER)
        assert attached["host_name"] is None
        assert (await api.as_("admin").volume(volume["id"]))["attachments"][0]["host_name"] == "h9"
        assert (await api("DELETE", f"/volumes/{volume['id']}")).status == 400
        listed = (await api("GET", f"/attachments?volume_id={volume['id']}")).json["attachments"]
        assert [one["id"] for one in listed] == [made["id"]]
        assert (await api.as_("bob")("GET", path)).status == 404
        assert (await api.as_("bob")("DELETE", path)).status == 404
        answer = await api("DELETE", path)
        assert (answer.status, answer.json) == (200, {"attachments": []})
        assert (await api.volume(volume["id"]))["status"] == "available"
        (details,) = (await host.state()).volumes
        assert details.exports == ()

    tell(story, tmp_path, kind)


def test_a_host_that_can_not_open_a_volume_or_says_nothing(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        volume = await api.make(host)
        made = (await api("POST", "/attachments", {"attachment": {"volume_uuid": volume["id"]}})).json
        path = f"/attachments/{made['attachment']['id']}"
        answer = await api("PUT", path, {"attachment": {"connector": CONNECTOR}})
        assert answer.status == 503
        host.refuses = "no port is free"
        answer = await api.while_asked(api("PUT", path, {"attachment": {"connector": CONNECTOR}}), host)
        assert answer.status == 409
        assert "no port is free" in answer.json["conflictingRequest"]["message"]
        for connector in ({}, {"host": "x\ny"}, {"host": "h", "ip": "nonsense"}, {"host": "h" * 300}):
            assert (await api("PUT", path, {"attachment": {"connector": connector}})).status == 400
        assert (await api("DELETE", path)).status == 200
        assert (await api.volume(volume["id"]))["status"] == "available"
        assert (await api("POST", "/attachments", {"attachment": {"volume_uuid": NOBODY}})).status == 404

    tell(story, tmp_path, config=VolumeConfig(connection_wait_s=0.05))


def test_what_a_server_lives_by_only_compute_takes_away(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        volume = await api.make(host)
        body = {"attachment": {"volume_uuid": volume["id"], "instance_uuid": SERVER}}
        made = (await api("POST", "/attachments", body)).json["attachment"]
        answer = await api("DELETE", f"/attachments/{made['id']}")
        assert answer.status == 409
        assert SERVER in answer.json["conflictingRequest"]["message"]

    tell(story, tmp_path, config=VolumeConfig(holders=lambda tx, ids: dict.fromkeys(ids, SERVER)))


def test_one_volume_of_several_servers(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        await api.a_type("shared", extra_specs={"multiattach": "<is> True"})
        volume = await api.make(host, volume_type="shared")
        ids = []
        for _ in range(2):
            body = {"attachment": {"volume_uuid": volume["id"], "instance_uuid": SERVER, "mode": "ro"}}
            made = (await api("POST", "/attachments", body)).json["attachment"]
            ids.append(made["id"])
            assert (await api("POST", f"/attachments/{made['id']}/action", {"os-complete": {}})).status == 204
        assert len((await api.volume(volume["id"]))["attachments"]) == 2
        assert len((await api("DELETE", f"/attachments/{ids[0]}")).json["attachments"]) == 1
        assert (await api.volume(volume["id"]))["status"] == "in-use"
        assert (await api("DELETE", f"/attachments/{ids[1]}")).status == 200
        assert (await api.volume(volume["id"]))["status"] == "available"

    tell(story, tmp_path)


def test_the_actions_of_old(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        key = (await api.make(host))["id"]

        async def status() -> str:
            return str((await api.volume(key))["status"])

        assert (await api.act(key, "os-reserve")).status == 202
        assert (await status(), (await api.act(key, "os-reserve")).status) == ("attaching", 400)
        assert (await api.act(key, "os-unreserve")).status == 202
        assert await status() == "available"
        answer = await api.while_asked(
            api.act(key, "os-initialize_connection", {"connector": CONNECTOR}), host
        )
        assert answer.status == 200, answer
        assert answer.json["connection_info"]["driver_volume_type"] == "nbd"
        assert (await api("GET", "/attachments")).json == {"attachments": []}
        attach = {"instance_uuid": SERVER, "mountpoint": "/dev/vdc"}
        assert (await api.act(key, "os-attach", attach)).status == 202
        assert await status() == "in-use"
        assert (await api.volume(key))["attachments"][0]["device"] == "/dev/vdc"
        assert (await api.act(key, "os-attach", attach)).status == 400
        assert (await api.act(key, "os-begin_detaching")).status == 202
        assert (await api.act(key, "os-roll_detaching")).status == 202
        assert await status() == "in-use"
        assert (await api.act(key, "os-detach", {"attachment_id": NOBODY})).status == 400
        assert (await api.act(key, "os-force_detach", {})).status == 403
        assert (await api.act(key, "os-detach", {})).status == 202
        assert await status() == "available"
        assert len((await host.state()).volumes[0].exports) == 1
        assert (await api.act(key, "os-terminate_connection", {"connector": CONNECTOR})).status == 202
        assert (await host.state()).volumes[0].exports == ()

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_volume_goes_to_another_project(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host, bob = await api.host(), api.as_("bob")
        volume = await api.make(host, 2)
        snapshot = await api.snapshot(host, volume["id"])
        body = {"transfer": {"volume_id": volume["id"], "name": "gift"}}
        answer = await api("POST", "/volume-transfers", body)
        assert answer.status == 202, answer
        made = answer.json["transfer"]
        assert (await api.volume(volume["id"]))["status"] == "awaiting-transfer"
        assert (await api("POST", "/os-volume-transfer", body)).status == 400
        path = f"/volume-transfers/{made['id']}"
        assert (await api("GET", path)).json["transfer"]["source_project_id"] == P1
        assert (await bob("GET", path)).status == 404
        assert (await bob("DELETE", path)).status == 404
        assert (await bob("GET", "/volume-transfers")).json == {"transfers": []}
        assert (await bob("POST", f"{path}/accept", {"accept": {"auth_key": "wrong"}})).status == 400
        accept = {"accept": {"auth_key": made["auth_key"]}}
        quotas = {"quota_set": {"volumes": 0}}
        assert (await api.as_("admin")("PUT", f"/os-quota-sets/{P2}", quotas)).status == 200
        assert (await bob("POST", f"{path}/accept", accept)).status == 413
        await api.as_("admin")("DELETE", f"/os-quota-sets/{P2}")
        assert (await bob("POST", f"{path}/accept", accept)).status == 202
        assert (await bob.volume(volume["id"]))["status"] == "available"
        assert (await bob("GET", f"/snapshots/{snapshot['id']}")).status == 200
        assert (await api("GET", f"/volumes/{volume['id']}")).status == 404
        assert (await bob("POST", f"{path}/accept", accept)).status == 404
        own = await api.make(host)
        body = {"transfer": {"volume_id": own["id"]}}
        old = (await api("POST", "/os-volume-transfer", body)).json["transfer"]
        assert (await api("GET", "/os-volume-transfer/detail")).json["transfers"][0]["id"] == old["id"]
        assert (await api("DELETE", f"/os-volume-transfer/{old['id']}")).status == 202
        assert (await api.volume(own["id"]))["status"] == "available"

    tell(story, tmp_path, kind)
