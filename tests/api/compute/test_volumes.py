"""Volumes of servers: attached, shown, detached, left by servers that go; and what is refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests import databases
from tests.api.compute.cloud import Cloud
from tests.api.compute.volume_cases import POOL, Volumes, tell

from pileus.services.volume.service import RESIZED
from pileus.store.event import Event
from pileus.store.events import newest_position
from pileus.wire import scopes

NOBODY = "11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_volume_is_attached_shown_and_detached(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host, volumes = await api.host(), Volumes(api)
        await volumes.set_up()
        server = await api.boot(host, networks="none")
        volume_id = await volumes.make()
        path = f"/servers/{server['id']}/os-volume_attachments"
        body = {"volumeAttachment": {"volumeId": volume_id, "device": "/dev/vdc", "tag": "data"}}
        answer = await api("POST", path, body)
        assert answer.status == 200, answer
        made = answer.json["volumeAttachment"]
        assert (made["volumeId"], made["device"], made["tag"]) == (volume_id, "/dev/vdb", "data")
        assert (await volumes.shown(volume_id))["status"] == "attaching"
        assert (await api("POST", path, body)).status == 400
        await volumes.go_on(host)
        volume = await volumes.shown(volume_id)
        assert volume["status"] == "in-use"
        (attached,) = volume["attachments"]
        assert (attached["server_id"], attached["device"]) == (server["id"], "/dev/vdb")
        shown = await api.server(server["id"])
        expected = [{"id": volume_id, "delete_on_termination": False}]
        assert shown["os-extended-volumes:volumes_attached"] == expected
        (wanted,) = (await host.state()).servers
        (one,) = wanted.volumes
        assert (one.volume_id, one.device, one.connection.kind) == (volume_id, "vdb", "file")
        listed = (await api("GET", path)).json["volumeAttachments"]
        assert [row["volumeId"] for row in listed] == [volume_id]
        old = (await api.at("2.1")("GET", f"{path}/{volume_id}")).json["volumeAttachment"]
        assert old == {"id": volume_id, "volumeId": volume_id, "serverId": server["id"], "device": "/dev/vdb"}
        # what a server lives by is taken from it here only
        deletion = f"/volume/v3/volumes/{volume_id}"
        assert (await api("DELETE", deletion)).status == 400
        detach = {"os-detach": {"attachment_id": attached["attachment_id"]}}
        assert (await api("POST", f"{deletion}/action", detach)).status == 409
        keep = {"volumeAttachment": {"volumeId": volume_id, "delete_on_termination": True}}
        assert (await api("PUT", f"{path}/{volume_id}", keep)).status == 202
        assert (await api("GET", f"{path}/{volume_id}")).json["volumeAttachment"]["delete_on_termination"]
        assert (await api("DELETE", f"{path}/{volume_id}")).status == 202
        assert (await volumes.shown(volume_id))["status"] == "detaching"
        await volumes.go_on(host)
        assert (await volumes.shown(volume_id))["status"] == "available"
        assert (await api("GET", path)).json == {"volumeAttachments": []}
        assert (await volumes.storage.state()).volumes[0].exports == ()

    tell(story, tmp_path, kind)


def test_a_server_keeps_a_volume_that_its_node_can_t_open_again(tmp_path: Path) -> None:
    """A node that has just started may not have its port yet: nobody pulls the disk out of a guest for it."""

    async def story(api: Cloud) -> None:
        host, volumes = await api.host(), Volumes(api)
        await volumes.set_up()
        server = await api.boot(host, networks="none")
        volume_id = await volumes.make()
        await volumes.attach(host, server["id"], volume_id)
        volumes.storage.refuses = "tgtd has no address"
        await volumes.storage.pass_()
        (wanted,) = (await host.state()).servers
        assert [one.volume_id for one in wanted.volumes] == [volume_id]
        assert (await volumes.shown(volume_id))["status"] == "in-use"
        volumes.storage.refuses = None
        await volumes.go_on(host)
        assert len((await host.state()).servers[0].volumes) == 1

    tell(story, tmp_path)


def test_a_server_that_goes_leaves_its_volumes(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host, volumes = await api.host(), Volumes(api)
        await volumes.set_up()
        server = await api.boot(host, networks="none")
        kept, gone = await volumes.make(), await volumes.make()
        for volume_id in (kept, gone):
            await volumes.attach(host, server["id"], volume_id)
        path = f"/servers/{server['id']}/os-volume_attachments/{gone}"
        body = {"volumeAttachment": {"volumeId": gone, "delete_on_termination": True}}
        assert (await api("PUT", path, body)).status == 202
        live = {"block_migration": "auto", "host": None}
        assert (await api.as_("admin").act(server["id"], "os-migrateLive", live)).status == 409
        coming = {"volumeAttachment": {"volumeId": await volumes.make()}}
        assert (await api("POST", f"/servers/{server['id']}/os-volume_attachments", coming)).status == 200
        for verb, argument in (("resize", {"flavorRef": "2"}), ("shelve", None), ("migrate", None)):
            person = api.as_("admin") if verb == "migrate" else api
            answer = await person.act(server["id"], verb, argument)
            assert (answer.status, "is connecting" in str(answer.json)) == (409, True), (verb, answer)
        await volumes.go_on(host)
        assert (await api("DELETE", f"/servers/{server['id']}")).status == 204
        await host.pass_(ports=False)
        await api.conductor().work()
        assert (await volumes.shown(kept))["status"] == "available"
        assert (await volumes.shown(gone))["status"] == "deleting"
        await volumes.storage.pass_()
        answer = await api("GET", "/volume/v3/volumes")
        assert {one["id"] for one in answer.json["volumes"]} == {kept, coming["volumeAttachment"]["volumeId"]}

    tell(story, tmp_path)


def test_what_can_not_be_attached_is_refused_and_stays_whole(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host, volumes = await api.host(), Volumes(api)
        await volumes.set_up()
        server = await api.boot(host, networks="none")
        path = f"/servers/{server['id']}/os-volume_attachments"
        mine, others = await volumes.make(), await volumes.make(api.as_("bob"))

        async def ask(volume_id: str) -> int:
            return (await api("POST", path, {"volumeAttachment": {"volumeId": volume_id}})).status

        assert await ask(NOBODY) == 404
        assert await ask(others) == 404
        assert await ask("x") == 400
        assert (await api.as_("reader")("POST", path, {"volumeAttachment": {"volumeId": mine}})).status == 403
        assert (await api.as_("bob")("GET", path)).status == 404
        assert (await api("DELETE", f"{path}/{mine}")).status == 404
        volumes.storage.refuses = "no port is free"
        assert await ask(mine) == 200
        await volumes.go_on(host)
        assert (await volumes.shown(mine))["status"] == "available"
        assert (await api("GET", path)).json == {"volumeAttachments": []}
        volumes.storage.refuses = None
        host.refuses = "the guest has no slot"
        api.clock.advance(1)
        assert await ask(mine) == 200
        await volumes.go_on(host)
        assert (await volumes.shown(mine))["status"] == "available"
        host.refuses = None
        api.clock.advance(1)
        await volumes.attach(host, server["id"], mine)
        host.refuses = "the guest holds it"
        api.clock.advance(1)
        assert (await api("DELETE", f"{path}/{mine}")).status == 202
        await volumes.go_on(host)
        assert (await volumes.shown(mine))["status"] == "in-use"
        assert (await api("GET", f"{path}/{mine}")).status == 200

    tell(story, tmp_path)


def test_a_volume_that_grows_while_it_is_open_is_told_to_its_server_host(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host, volumes = await api.host(), Volumes(api)
        await volumes.set_up()
        server = await api.boot(host, networks="none")
        volume_id = await volumes.make()
        await volumes.attach(host, server["id"], volume_id)
        headers = {"openstack-api-version": "volume 3.42"}
        path = f"/volume/v3/volumes/{volume_id}/action"
        answer = await api("POST", path, {"os-extend": {"new_size": 2}}, headers)
        assert answer.status == 202, answer
        await volumes.storage.pass_()
        conductor = api.conductor()
        before = await api.store.read(newest_position, {scopes.server(server["id"])})
        assert conductor.wakes([Event(kind=RESIZED, resource_id=volume_id, at=api.clock.now())])
        await conductor.work()
        assert await api.store.read(newest_position, {scopes.server(server["id"])}) > before
        ((one,),) = [wanted.volumes for wanted in (await host.state()).servers]
        assert one.size_gib == 2
        assert (await volumes.shown(volume_id))["status"] == "in-use"

    tell(story, tmp_path)


def test_a_server_that_is_on_no_host_gets_volumes_with_its_next(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host, volumes = await api.host(), Volumes(api)
        await volumes.set_up()
        server = await volumes.boot(host)
        api.clock.advance(1)
        assert (await api.act(server["id"], "shelve")).status == 202
        for _ in range(2):
            await host.pass_(ports=False)
            await api.conductor().work()
        assert (await api.server(server["id"]))["status"] == "SHELVED_OFFLOADED"
        path = f"/servers/{server['id']}/os-volume_attachments"
        kept, gone = await volumes.make(), await volumes.make()
        for volume_id in (kept, gone):
            api.clock.advance(1)
            answer = await api("POST", path, {"volumeAttachment": {"volumeId": volume_id}})
            assert answer.status == 200, answer
            volume = await volumes.shown(volume_id)
            assert (volume["status"], len(volume["attachments"])) == ("in-use", 1)
            assert (await volumes.storage.state((volume_id,))).volumes[0].exports == ()
        api.clock.advance(1)
        assert (await api("DELETE", f"{path}/{gone}")).status == 202
        assert (await volumes.shown(gone))["status"] == "available"
        root = server["os-extended-volumes:volumes_attached"][0]["id"]
        assert (await api("DELETE", f"{path}/{root}")).status == 403
        api.clock.advance(1)
        assert (await api.act(server["id"], "unshelve")).status == 202
        await volumes.go_on(host)
        shown = await api.server(server["id"])
        assert shown["status"] == "ACTIVE"
        assert [one["id"] for one in shown["os-extended-volumes:volumes_attached"]] == [root, kept]
        assert {(await volumes.shown(one))["status"] for one in (root, kept)} == {"in-use"}

    tell(story, tmp_path)


def test_several_servers_share_a_volume_of_a_type_that_lets_them(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host, volumes = await api.host(), Volumes(api)
        volumes.storage.pools = [msgspec.structs.replace(POOL, multiattach=True)]
        await volumes.set_up()
        admin = api.as_("admin")
        kind = {"volume_type": {"name": "shared", "extra_specs": {"multiattach": "<is> True"}}}
        assert (await admin("POST", "/volume/v3/types", kind)).status == 200
        body = {"volume": {"size": 1, "volume_type": "shared"}}
        volume_id = (await api("POST", "/volume/v3/volumes", body)).json["volume"]["id"]
        await volumes.storage.pass_()
        first, second = [await api.boot(host, name, networks="none") for name in ("one", "two")]
        old = api.at("2.59")
        path = f"/servers/{first['id']}/os-volume_attachments"
        answer = await old("POST", path, {"volumeAttachment": {"volumeId": volume_id}})
        assert (answer.status, "2.60" in str(answer.json)) == (400, True), answer
        for server in (first, second):
            api.clock.advance(1)
            await volumes.attach(host, server["id"], volume_id)
        assert len((await volumes.shown(volume_id))["attachments"]) == 2
        assert all(one.volumes[0].shared for one in (await host.state()).servers)
        api.clock.advance(1)
        assert (await api("DELETE", f"{path}/{volume_id}")).status == 202
        await volumes.go_on(host)
        volume = await volumes.shown(volume_id)
        assert (volume["status"], len(volume["attachments"])) == ("in-use", 1)

    tell(story, tmp_path)
