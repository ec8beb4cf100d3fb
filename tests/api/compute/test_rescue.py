"""Rescue: what is asked, what the node is told, what a server is meanwhile and afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import databases
from tests.api.compute.cloud import IMAGE, OTHER_IMAGE, Cloud, tell
from tests.api.compute.test_snapshots import set_properties


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_server_is_rescued_and_comes_back(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        server_id = (await api.boot(host, networks="none"))["id"]
        answer = await api.act(server_id, "rescue", {"adminPass": "open", "rescue_image_ref": OTHER_IMAGE})
        assert (answer.status, answer.json) == (200, {"adminPass": "open"})
        server = await api.server(server_id)
        assert (server["status"], server["OS-EXT-STS:task_state"]) == ("ACTIVE", "rescuing")
        (told,) = (await host.state()).servers
        assert told.rescue.image.image_id == OTHER_IMAGE and told.image.image_id == IMAGE
        assert (told.rescue.stable, told.rescue.device, told.rescue.bus) == (False, "disk", "")
        assert [one.kind for one in told.operations] == ["rescue"]
        await host.pass_()
        for _ in range(2):  # further reports change nothing
            server = await api.server(server_id)
            assert (server["status"], server["OS-EXT-STS:task_state"]) == ("RESCUE", None)
            assert server["OS-EXT-STS:vm_state"] == "rescued"
            await host.pass_()
        assert [one["id"] for one in (await api("GET", "/servers?status=RESCUE")).json["servers"]] == [
            server_id
        ]
        (told,) = (await host.state()).servers
        assert told.rescue is not None and told.operations == ()
        for verb, argument in (
            ("rescue", None),
            ("reboot", {"type": "HARD"}),
            ("rebuild", {"imageRef": IMAGE}),
            ("createImage", {"name": "x"}),
            ("pause", None),
        ):
            assert (await api.act(server_id, verb, argument)).status == 409, verb
        assert (await api.act(server_id, "unrescue", None)).status == 202
        (told,) = (await host.state()).servers
        assert [one.kind for one in told.operations] == ["unrescue"]
        await host.pass_()
        server = await api.server(server_id)
        assert (server["status"], server["OS-EXT-STS:task_state"]) == ("ACTIVE", None)
        (told,) = (await host.state()).servers
        assert told.rescue is None
        assert (await api.act(server_id, "unrescue", None)).status == 409

    tell(story, tmp_path, kind)


def test_one_that_is_off_is_rescued_and_runs_afterwards(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        server_id = (await api.boot(host, networks="none"))["id"]
        await api.act(server_id, "os-stop", None)
        await host.pass_()
        answer = await api.act(server_id, "rescue", None)
        assert len(answer.json["adminPass"]) == 12
        (told,) = (await host.state()).servers
        assert told.rescue.image.image_id == IMAGE, "its own image, where none is named"
        await host.pass_()
        assert (await api.server(server_id))["status"] == "RESCUE"
        await api.act(server_id, "unrescue", None)
        await host.pass_()
        assert (await api.server(server_id))["status"] == "ACTIVE"

    tell(story, tmp_path)


def test_what_the_node_could_not_do_leaves_all_as_it_was(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        server_id = (await api.boot(host, networks="none"))["id"]
        await api.act(server_id, "os-stop", None)
        await host.pass_()
        host.refuses = "No space left on device"
        await api.act(server_id, "rescue", None)
        await host.pass_()
        server = await api.server(server_id)
        assert (server["status"], server["OS-EXT-STS:task_state"]) == ("SHUTOFF", None)
        (told,) = (await host.state()).servers
        assert (told.wanted, told.rescue) == ("stopped", None)
        host.refuses = None
        await api.act(server_id, "rescue", None)
        await host.pass_()
        host.refuses = "libvirt is away"
        await api.act(server_id, "unrescue", None)
        await host.pass_()
        server = await api.server(server_id)
        assert (server["status"], server["OS-EXT-STS:task_state"]) == ("RESCUE", None)
        assert (await host.state()).servers[0].rescue is not None
        host.refuses = None
        assert (await api("DELETE", f"/servers/{server_id}")).status == 204

    tell(story, tmp_path)


def test_images_say_where_they_hang_and_nonsense_is_refused(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        server_id = (await api.boot(host, networks="none"))["id"]
        missing = "20000000-0000-4000-8000-000000000009"
        for argument, status in (
            ({"rescue_image_ref": "x"}, 400),
            ({"rescue_image_ref": missing}, 400),
            ({"colour": "blue"}, 400),
            ({"adminPass": 5}, 400),
        ):
            assert (await api.act(server_id, "rescue", argument)).status == status, argument
        assert (await api.as_("reader").act(server_id, "rescue", None)).status == 403
        assert (await api.as_("bob").act(server_id, "rescue", None)).status == 404
        await set_properties(api, OTHER_IMAGE, hw_rescue_device="cdrom", hw_rescue_bus="virtio")
        refused = await api.act(server_id, "rescue", {"rescue_image_ref": OTHER_IMAGE})
        assert refused.status == 400 and "is not supported" in refused.message
        assert (await api.server(server_id))["OS-EXT-STS:task_state"] is None
        await set_properties(api, IMAGE, hw_rescue_device="cdrom")
        await api.act(server_id, "rescue", None)
        (told,) = (await host.state()).servers
        assert (told.rescue.stable, told.rescue.device, told.rescue.bus) == (True, "cdrom", "sata")

    tell(story, tmp_path)
