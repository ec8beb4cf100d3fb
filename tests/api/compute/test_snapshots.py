"""Images of servers: what is asked, what the node is told, and what is left however it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tests import databases
from tests.api.compute.cloud import IMAGE, P1, P2, Cloud, tell

from pileus.services.image.images.tables import image_properties, images
from pileus.services.image.service import ImageConfig


async def properties_of(api: Cloud, image_id: str) -> dict[str, str]:
    c = image_properties.c
    rows = await api.store.read(
        lambda tx: tx.rows(select(c.name, c.value).where(c.image_id == image_id).order_by(c.name))
    )
    return {row.name: row.value for row in rows}


async def set_properties(api: Cloud, image_id: str, **properties: str) -> None:
    rows = [{"image_id": image_id, "name": name, "value": value} for name, value in properties.items()]
    await api.store.write(lambda tx: tx.insert(image_properties, rows))


@pytest.mark.parametrize("kind", databases.KINDS)
def test_an_image_of_a_server_from_the_request_to_the_bytes(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        server_id = (await api.boot(host, networks="none"))["id"]
        await set_properties(
            api, IMAGE, os_type="linux", cache_in_nova="True", img_signature="x", os_require_quiesce="yes"
        )
        asked = {
            "name": "made",
            "metadata": {"purpose": "test", "instance_uuid": "a lie", "image_type": "own"},
        }
        answer = await api.act(server_id, "createImage", asked)
        assert answer.status == 202
        image_id = answer.json["image_id"]
        server = await api.server(server_id)
        assert (server["status"], server["OS-EXT-STS:task_state"]) == ("ACTIVE", "image_snapshot")
        image = await api.image(image_id)
        assert (image.status, image.name, image.owner, image.visibility) == ("queued", "made", P1, "private")
        assert (image.disk_format, image.container_format, image.min_disk) == ("qcow2", "bare", 1)
        assert await properties_of(api, image_id) == {
            "base_image_ref": IMAGE,
            "image_location": "snapshot",
            "image_state": "available",
            "image_type": "own",
            "instance_uuid": server_id,
            "os_require_quiesce": "yes",
            "os_type": "linux",
            "owner_id": P1,
            "purpose": "test",
            "user_id": "u1",
        }
        ((told,),) = [one.operations for one in (await host.state()).servers]
        assert told.kind == "snapshot"
        assert told.arguments == {
            "image_id": image_id,
            "quiesce": True,
            "upload": f"/image/{image_id}?ticket=u",
            "download": f"/image/{image_id}?ticket=t",
        }
        # one after the other
        assert (await api.act(server_id, "createImage", asked)).status == 409
        await host.pass_()
        await api.conductor().work()
        server = await api.server(server_id)
        assert (server["status"], server["OS-EXT-STS:task_state"]) == ("ACTIVE", None)
        assert (await api.image(image_id)).status == "active"
        assert [one.operations for one in (await host.state()).servers] == [()]
        (action,) = (
            one
            for one in (await api("GET", f"/servers/{server_id}/os-instance-actions")).json["instanceActions"]
            if one["action"] == "createImage"
        )
        assert action["message"] is None

    tell(story, tmp_path, kind)


def test_the_reply_is_a_location_before_2_45(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        server_id = (await api.boot(host, networks="none"))["id"]
        answer = await api.at("2.44").act(server_id, "createImage", {"name": "x"})
        assert (answer.status, answer.body) == (202, b"")
        (image_id,) = [one.id for one in await _snapshots(api)]
        assert answer.headers["location"].endswith(f"/image/v2/images/{image_id}")

    tell(story, tmp_path)


async def _snapshots(api: Cloud) -> list[Any]:
    return list(await api.store.read(lambda tx: tx.rows(images.select().where(images.c.owner == P1))))


def test_what_the_node_could_not_do_leaves_no_image(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        server_id = (await api.boot(host, networks="none"))["id"]
        host.refuses = "No space left on device"
        await api.act(server_id, "createImage", {"name": "x"})
        await host.pass_()
        await api.conductor().work()
        assert await _snapshots(api) == []
        server = await api.server(server_id)
        assert (server["status"], server["OS-EXT-STS:task_state"]) == ("ACTIVE", None)
        path = f"/servers/{server_id}/os-instance-actions"
        actions = (await api.as_("admin")("GET", path)).json["instanceActions"]
        assert [one["message"] for one in actions if one["action"] == "createImage"] == ["Error"]

    tell(story, tmp_path)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_server_that_is_deleted_meanwhile_takes_its_beginning_along(tmp_path: Path, at_once: bool) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        server_id = (await api.boot(host, networks="none"))["id"]
        await api.act(server_id, "createImage", {"name": "x"})
        assert (await api("DELETE", f"/servers/{server_id}")).status == 204
        if at_once:
            host.refuses = "the machine is gone"
            await host.pass_()
        else:
            api.clock.advance(api.compute.config.service_down_time_s + 1)
        for _ in range(3):
            await api.conductor().work()
        assert (await api("GET", f"/servers/{server_id}")).status == 404
        assert await _snapshots(api) == []

    tell(story, tmp_path)


def test_an_image_that_is_deleted_meanwhile_harms_nobody(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        server_id = (await api.boot(host, networks="none"))["id"]
        image_id = (await api.act(server_id, "createImage", {"name": "x"})).json["image_id"]
        await api.store.write(lambda tx: tx.execute(images.delete().where(images.c.id == image_id)))
        host.refuses = "The server refuses it: status 404"
        await host.pass_()
        await api.conductor().work()
        assert (await api.server(server_id))["OS-EXT-STS:task_state"] is None

    tell(story, tmp_path)


def test_backups_are_kept_up_to_their_number_by_type(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        servers = [(await api.boot(host, name, networks="none"))["id"] for name in ("one", "two")]
        made: dict[tuple[int, str], list[str]] = {}
        for which, backup_type, rotation in (
            (0, "daily", 2),
            (0, "weekly", 1),
            (1, "daily", 1),
            (0, "daily", 2),
            (0, "daily", 2),
        ):
            api.clock.advance(1)
            asked = {"name": "b", "backup_type": backup_type, "rotation": rotation}
            answer = await api.act(servers[which], "createBackup", asked)
            assert answer.status == 202
            made.setdefault((which, backup_type), []).append(answer.json["image_id"])
            assert (await api.server(servers[which]))["OS-EXT-STS:task_state"] == "image_backup"
            await host.pass_()
            await api.conductor().work()
        left = {one.id for one in await _snapshots(api)}
        assert left == {*made[0, "daily"][1:], *made[0, "weekly"], *made[1, "daily"]}
        assert api.files.deleted == [f"{made[0, 'daily'][0]}.data"]
        assert (await properties_of(api, made[0, "weekly"][0]))["backup_type"] == "weekly"
        # none are to be kept
        last = {"name": "b", "backup_type": "daily", "rotation": 0}
        await api.act(servers[0], "createBackup", last)
        await host.pass_()
        await api.conductor().work()
        assert {one.id for one in await _snapshots(api)} == {*made[0, "weekly"], *made[1, "daily"]}

    tell(story, tmp_path)


def test_what_is_refused(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        server_id = (await api.boot(host, networks="none"))["id"]
        many = {f"k{n}": "y" for n in range(129)}
        for verb, argument, person, version, status in (
            ("createImage", {"name": "x" * 256}, "alice", "", 400),
            ("createImage", {"name": ""}, "alice", "", 400),
            ("createImage", {}, "alice", "", 400),
            ("createImage", None, "alice", "", 400),
            ("createImage", {"name": "x", "metadata": {"": "y"}}, "alice", "", 400),
            ("createImage", {"name": "x", "metadata": {"k": "y" * 256}}, "alice", "", 400),
            ("createImage", {"name": "x", "metadata": {"owner": P2}}, "alice", "", 400),
            ("createImage", {"name": "x", "metadata": {"visibility": "public"}}, "alice", "", 400),
            ("createImage", {"name": "x", "metadata": many}, "alice", "2.38", 403),
            ("createImage", {"name": "x", "metadata": many}, "alice", "", 403),
            ("createImage", {"name": "x"}, "reader", "", 403),
            ("createImage", {"name": "x"}, "bob", "", 404),
            ("createBackup", {"name": "x", "backup_type": "daily", "rotation": -1}, "alice", "", 400),
            ("createBackup", {"name": "x", "rotation": 1}, "alice", "", 400),
            ("createBackup", {"name": "x", "backup_type": 5, "rotation": 1}, "alice", "", 400),
        ):
            answer = await api.as_(person, version or None).act(server_id, verb, argument)
            assert answer.status == status, (verb, argument, person, json.loads(answer.body))
        assert await _snapshots(api) == []
        assert (await api.server(server_id))["OS-EXT-STS:task_state"] is None
        # one that is cut off is not taken out by its owner in an image
        assert (await api.as_("admin").act(server_id, "os-pileus-quarantine", {"reason": "r"})).status == 202
        assert (await api.act(server_id, "createImage", {"name": "x"})).status == 409
        assert (await api.as_("admin").act(server_id, "createImage", {"name": "x"})).status == 202

    tell(story, tmp_path)


def test_no_more_images_than_a_project_may_have(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        server_id = (await api.boot(host, networks="none"))["id"]
        api.files.config = ImageConfig(project_images=0)
        answer = await api.act(server_id, "createImage", {"name": "x"})
        assert answer.status == 403, answer
        assert (await api.server(server_id))["OS-EXT-STS:task_state"] is None

    tell(story, tmp_path)
