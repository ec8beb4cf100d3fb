"""Volumes are written anew from images."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import databases
from tests.api.volume.cloud import IMAGE, Cloud, tell

NOBODY = "11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_volume_is_written_anew(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        volume = await api.make(host, 2)
        assert (volume["bootable"], volume.get("volume_image_metadata")) == ("false", None)
        body = {"image_id": IMAGE}
        assert (await api.at("3.67").act(volume["id"], "os-reimage", body)).status == 400
        assert (await api.act(volume["id"], "os-reimage", body)).status == 202
        assert (await api.volume(volume["id"]))["status"] == "downloading"
        assert (await api.act(volume["id"], "os-reimage", body)).status == 400
        await host.pass_()
        asked = host.asked[-1]
        assert asked.kind == "rewrite"
        assert asked.source is not None and asked.source.image is not None
        assert asked.source.image.image_id == IMAGE
        shown = await api.volume(volume["id"])
        assert (shown["status"], shown["bootable"]) == ("available", "true")
        assert shown["volume_image_metadata"]["image_id"] == IMAGE
        reserved = {"attachment": {"volume_uuid": volume["id"]}}
        made = (await api("POST", "/attachments", reserved)).json["attachment"]
        assert (await api.act(volume["id"], "os-reimage", body)).status == 400
        again = {**body, "reimage_reserved": True}
        assert (await api.act(volume["id"], "os-reimage", again)).status == 202
        # nobody else gets it meanwhile
        assert (await api("POST", "/attachments", reserved)).status == 400
        await host.pass_()
        assert (await api.volume(volume["id"]))["status"] == "reserved"
        assert (await api.act(volume["id"], "os-reimage", again)).status == 202
        assert (await api("DELETE", f"/attachments/{made['id']}")).status == 200
        assert (await api.volume(volume["id"]))["status"] == "downloading"
        await host.pass_()
        assert (await api.volume(volume["id"]))["status"] == "available"

    tell(story, tmp_path, kind)


def test_what_can_t_be_written_anew(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        volume = await api.make(host)
        assert (await api.act(volume["id"], "os-reimage", {"image_id": NOBODY})).status == 404
        assert (await api.act(volume["id"], "os-reimage", {"image_id": "x"})).status == 400
        assert (await api.act(volume["id"], "os-reimage", {})).status == 400
        assert (await api.as_("bob").act(volume["id"], "os-reimage", {"image_id": IMAGE})).status == 404
        assert (await api.as_("reader").act(volume["id"], "os-reimage", {"image_id": IMAGE})).status == 403
        host.fails = "The image is not what it is said to be."
        assert (await api.act(volume["id"], "os-reimage", {"image_id": IMAGE})).status == 202
        await host.pass_()
        assert (await api.volume(volume["id"]))["status"] == "error"
        (message,) = (await api("GET", "/messages")).json["messages"]
        assert message["user_message"] == "reimage volume:The image is not what it is said to be."
        host.fails = None
        assert (await api.act(volume["id"], "os-reimage", {"image_id": IMAGE})).status == 202
        await host.pass_()
        assert (await api.volume(volume["id"]))["status"] == "available"
        assert (await api.act(volume["id"], "os-reimage", {"image_id": IMAGE})).status == 202
        assert (await api.as_("admin").act(volume["id"], "os-force_delete", {})).status == 202
        await host.pass_()
        assert (await api("GET", f"/volumes/{volume['id']}")).status == 404

    tell(story, tmp_path)
