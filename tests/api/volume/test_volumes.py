"""Volumes: made, shown, listed, changed, grown, deleted; who sees which; and what is refused."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.volume.cloud import IMAGE, P1, Cloud, pool, tell

from pileus.wire.hypervisor import OperationReport

NOBODY = "11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_volume_from_making_to_deleting(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        answer = await api.ask_for(2, name="data", description="of mine", metadata={"for": "work"})
        assert answer.status == 202
        made = answer.json["volume"]
        assert (made["status"], made["size"], made["volume_type"]) == ("creating", 2, "__DEFAULT__")
        assert made["links"][0]["href"] == f"http://cloud/volume/v3/volumes/{made['id']}"
        assert "os-vol-host-attr:host" not in made
        state = await host.state()
        assert [(one.volume_id, one.pool, one.ready) for one in state.volumes] == [
            (made["id"], "fast", False)
        ]
        await host.pass_()
        volume = await api.volume(made["id"])
        assert volume["status"] == "available"
        assert volume["metadata"] == {"for": "work"}
        assert volume["os-vol-tenant-attr:tenant_id"] == P1
        seen = await api.as_("admin").volume(made["id"])
        assert seen["os-vol-host-attr:host"] == "h1@fast#fast"
        answer = await api("PUT", f"/volumes/{made['id']}", {"volume": {"name": "other", "metadata": {}}})
        assert (answer.status, answer.json["volume"]["name"]) == (200, "other")
        answer = await api.act(made["id"], "os-extend", {"new_size": 5})
        assert answer.status == 202
        assert (await api.volume(made["id"]))["status"] == "extending"
        await host.pass_()
        volume = await api.volume(made["id"])
        assert (volume["status"], volume["size"]) == ("available", 5)
        assert (await api("DELETE", f"/volumes/{made['id']}")).status == 202
        assert (await api.volume(made["id"]))["status"] == "deleting"
        await host.pass_()
        assert (await api("GET", f"/volumes/{made['id']}")).status == 404
        assert host.done == ["create", "extend", "delete"]
        assert (await host.state()).volumes == ()

    tell(story, tmp_path, kind)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_lists_are_filtered_ordered_and_cut_into_pages(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        ids = []
        for name, zone in (("a", "x"), ("b", "y"), ("c", "x")):
            api.clock.advance(1)
            ids.append((await api.make(host, name=name, metadata={"zone": zone}))["id"])

        async def names(query: str, path: str = "/volumes") -> list[str]:
            answer = await api("GET", f"{path}{query}")
            assert answer.status == 200, answer
            return [one["name"] for one in answer.json["volumes"]]

        assert await names("") == ["c", "b", "a"]
        assert await names("?sort=name:asc", "/volumes/detail") == ["a", "b", "c"]
        assert await names("?sort_key=created_at&sort_dir=asc&limit=2") == ["a", "b"]
        assert await names(f"?marker={ids[1]}") == ["a"]
        assert await names("?offset=2") == ["a"]
        assert await names("?name=b") == ["b"]
        assert await names("?name~=b") == ["b"]
        assert await names("?metadata={'zone':'x'}") == ["c", "a"]
        for odd in ("{[1]:2}", "{{1}}", "{'\\ud800':'x'}", "[1]", "(" * 3000):
            assert (await api("GET", f"/volumes?metadata={odd}")).status == 400, odd
        assert await names("?status=error") == []
        assert await names("?bootable=true") == []
        assert await names("?created_at=gt:2030-01-01T00:00:00") == []
        answer = await api("GET", "/volumes?limit=1")
        assert "marker=" in answer.json["volumes_links"][0]["href"]
        assert (await api("GET", f"/volumes?marker={NOBODY}")).status == 404
        assert (await api("GET", "/volumes?nonsense=1")).status == 400
        assert (await api.at("3.30")("GET", "/volumes?nonsense=1")).status == 200
        assert (await api("GET", "/volumes?limit=-1")).status == 400
        assert (await api("GET", "/volumes?sort=nonsense")).status == 400
        answer = await api("GET", "/volumes/summary")
        assert answer.json["volume-summary"] == {
            "total_count": 3,
            "total_size": 3,
            "metadata": {"zone": ["x", "y"]},
        }

    tell(story, tmp_path, kind)


def test_others_do_not_see_a_volume_and_readers_do_not_change_it(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        volume = await api.make(host)
        path = f"/volumes/{volume['id']}"
        bob, reader, admin = api.as_("bob"), api.as_("reader"), api.as_("admin")
        for method, body in (("GET", None), ("PUT", {"volume": {"name": "x"}}), ("DELETE", None)):
            assert (await bob(method, path, body)).status == 404
        assert (await bob.act(volume["id"], "os-extend", {"new_size": 9})).status == 404
        assert (await bob("GET", f"{path}/metadata")).status == 404
        assert (await bob("GET", "/volumes")).json == {"volumes": []}
        assert (await bob.ask_for(source_volid=volume["id"])).status == 404
        assert (await reader("GET", path)).status == 200
        for method, body in (("PUT", {"volume": {"name": "x"}}), ("DELETE", None)):
            assert (await reader(method, path, body)).status == 403
        assert (await reader.ask_for()).status == 403
        assert (await admin("GET", "/volumes")).json == {"volumes": []}
        answer = await admin("GET", "/volumes?all_tenants=1")
        assert [one["id"] for one in answer.json["volumes"]] == [volume["id"]]
        assert (await bob("GET", "/volumes?all_tenants=1")).json == {"volumes": []}
        for verb, argument in (("os-reset_status", {"status": "error"}), ("os-force_delete", {})):
            assert (await api.act(volume["id"], verb, argument)).status == 403

    tell(story, tmp_path)


@pytest.mark.parametrize(
    "values",
    [
        {"size": 0},
        {"size": -1},
        {"size": "#"},
        {"size": None},
        {"size": 1, "nonsense": 1},
        {"size": 1, "metadata": {"a": "x" * 256}},
        {"size": 1, "availability_zone": "nowhere"},
        {"size": 1, "multiattach": True},
        {"size": 1, "snapshot_id": NOBODY, "imageRef": IMAGE},
        {"size": 1, "source_replica": "x"},
        {"size": 1, "name": "x" * 256},
    ],
)
def test_what_can_not_be_made_is_refused(values: dict[str, object], tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.host()
        answer = await api("POST", "/volumes", {"volume": values})
        assert answer.status == 400, answer
        assert answer.json["badRequest"]["message"]
        assert (await api("GET", "/volumes")).json == {"volumes": []}

    tell(story, tmp_path)


def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.host()
        several: tuple[dict[str, Any], ...] = (
            {"snapshot_id": NOBODY},
            {"source_volid": NOBODY},
            {"imageRef": NOBODY},
            {"volume_type": "none"},
        )
        for values in several:
            assert (await api.ask_for(**values)).status == 404, values
        assert (await api("GET", "/volumes/x")).status == 404
        assert (await api("DELETE", f"/volumes/{NOBODY}")).status == 404
        assert (await api.act(NOBODY, "os-extend", {"new_size": 5})).status == 404
        volume = (await api.ask_for()).json["volume"]
        assert (await api.act(volume["id"], "os-nonsense", {})).status == 400

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_volumes_begin_from_images_volumes_and_snapshots(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host("h1", pool("fast"), pool("slow"))
        await api.host("h2", pool("large", 1000))
        host2 = await api.host("h2", pool("large", 1000))
        answer = await api.ask_for(2, imageRef=IMAGE, name="root")
        root = answer.json["volume"]
        (details,) = (await host2.state()).volumes
        source = details.operations[0].source
        assert source is not None and source.image is not None
        assert (source.image.image_id, source.image.disk_format) == (IMAGE, "qcow2")
        await host2.pass_()
        volume = await api.volume(root["id"])
        assert (volume["bootable"], volume["status"]) == ("true", "available")
        assert volume["volume_image_metadata"]["image_name"] == "small"
        snapshot = await api.snapshot(host2, root["id"], name="s")
        answer = await api.ask_for(None, snapshot_id=snapshot["id"])
        assert answer.status == 202, answer
        clone = answer.json["volume"]
        assert (clone["size"], clone["bootable"], clone["snapshot_id"]) == (2, "true", snapshot["id"])
        details = next(one for one in (await host2.state()).volumes if one.volume_id == clone["id"])
        source = details.operations[0].source
        assert source is not None
        assert (source.volume_id, source.snapshot_id) == (root["id"], snapshot["id"])
        await host2.pass_()
        answer = await api.ask_for(3, source_volid=clone["id"])
        copy = answer.json["volume"]
        assert (copy["source_volid"], copy["size"]) == (clone["id"], 3)
        seen = await api.as_("admin").volume(copy["id"])
        assert seen["os-vol-host-attr:host"] == "h2@large#large"
        assert (await api.ask_for(1, source_volid=root["id"])).status == 400
        assert (await api.ask_for(1, snapshot_id=snapshot["id"])).status == 400
        assert host.done == []

    tell(story, tmp_path, kind)


def test_pools_are_chosen_by_room_types_and_zones(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        await api.host("h1", pool("fast", 10, configurations={"kind": "ssd"}), pool("slow", 50))
        await api.host("h2", pool("far", 30, availability_zone="west"))
        await api.a_type("ssd", extra_specs={"volume_backend_name": "fast", "kind": "<is> SSD"})

        async def place(size: int, **values: object) -> str | None:
            answer = await api.ask_for(size, **values)
            assert answer.status == 202, answer
            found = (await admin.volume(answer.json["volume"]["id"]))["os-vol-host-attr:host"]
            return None if found is None else str(found)

        assert await place(1) == "h1@slow#slow"
        assert await place(1, volume_type="ssd") == "h1@fast#fast"
        assert await place(1, availability_zone="west") == "h2@far#far"
        assert await place(40) == "h1@slow#slow"
        assert await place(10, volume_type="ssd") is None
        volumes = (await api("GET", "/volumes/detail?status=error")).json["volumes"]
        assert [one["size"] for one in volumes] == [10]
        (message,) = (await api("GET", "/messages")).json["messages"]
        assert message["resource_uuid"] == volumes[0]["id"]
        assert message["event_id"] == "VOLUME_VOLUME_001_002"
        assert message["user_message"].startswith("schedule allocate volume:")
        assert (await api.as_("bob")("GET", "/messages")).json == {"messages": []}
        assert (await api("DELETE", f"/messages/{message['id']}")).status == 204
        assert (await api("DELETE", f"/volumes/{volumes[0]['id']}")).status == 202
        assert (await api("GET", f"/volumes/{volumes[0]['id']}")).status == 404
        pair = {"host": "h1@slow", "binary": "cinder-volume"}
        assert (await admin("PUT", "/os-services/disable", pair)).status == 200
        assert await place(1) != "h1@slow#slow"
        api.clock.advance(3600)
        assert await place(1) is None

    tell(story, tmp_path)


def test_a_pool_that_fails_or_says_nothing_leaves_an_error_and_a_message(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        good = await api.make(host)
        host.fails = "the disk is full"
        bad = (await api.ask_for()).json["volume"]
        await host.pass_()
        assert (await api.volume(bad["id"]))["status"] == "error"
        (message,) = (await api("GET", "/messages")).json["messages"]
        assert message["user_message"] == "create volume from backend storage:the disk is full"
        await api.act(good["id"], "os-extend", {"new_size": 2})
        await host.pass_()
        volume = await api.volume(good["id"])
        assert (volume["status"], volume["size"]) == ("error_extending", 1)
        await api("DELETE", f"/volumes/{good['id']}")
        await host.pass_()
        assert (await api.volume(good["id"]))["status"] == "error_deleting"
        late = (await api.ask_for()).json["volume"]
        api.clock.advance(dt.timedelta(hours=2).total_seconds())
        await api.late()
        assert (await api.volume(late["id"]))["status"] == "error"
        host.fails = None
        await host.pass_()
        assert (await api.volume(late["id"]))["status"] == "error"
        for one in (good, bad, late):
            assert (await api("DELETE", f"/volumes/{one['id']}")).status == 202
        await host.pass_()
        assert (await api("GET", "/volumes")).json == {"volumes": []}

    tell(story, tmp_path)


def test_a_node_speaks_of_its_own_volumes_only(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        volume = (await api.ask_for()).json["volume"]
        other = await api.host("h2", pool("tiny", 0))
        (details,) = (await host.state()).volumes
        assert (await other.state((volume["id"],))).volumes == ()
        await other.tell(operations=(OperationReport(details.operations[0].operation_id),))
        assert (await api.volume(volume["id"]))["status"] == "creating"
        await host.pass_()
        assert (await api.volume(volume["id"]))["status"] == "available"

    tell(story, tmp_path)


def test_administrators_say_states_and_delete_by_force(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host, admin = await api.host(), api.as_("admin")
        volume = await api.make(host)
        for status in ("error", "maintenance", "creating"):
            assert (await admin.act(volume["id"], "os-reset_status", {"status": status})).status == 202
            assert (await api.volume(volume["id"]))["status"] == status
        assert (await admin.act(volume["id"], "os-reset_status", {"status": "odd"})).status == 400
        assert (await admin.act(volume["id"], "os-reset_status", {})).status == 400
        assert (await api("DELETE", f"/volumes/{volume['id']}")).status == 400
        assert (await admin.act(volume["id"], "os-force_delete", {})).status == 202
        await host.pass_()
        assert (await api("GET", f"/volumes/{volume['id']}")).status == 404

    tell(story, tmp_path)


def test_read_only_bootable_and_image_metadata(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        key = (await api.make(host))["id"]
        assert (await api.act(key, "os-update_readonly_flag", {"readonly": True})).status == 202
        assert (await api.volume(key))["metadata"] == {"readonly": "True"}
        assert (await api.act(key, "os-set_bootable", {"bootable": True})).status == 200
        assert (await api.volume(key))["bootable"] == "true"
        answer = await api.act(key, "os-set_image_metadata", {"metadata": {"os": "debian", "v": "12"}})
        assert answer.json == {"metadata": {"os": "debian", "v": "12"}}
        assert (await api.act(key, "os-unset_image_metadata", {"key": "v"})).status == 200
        assert (await api.act(key, "os-unset_image_metadata", {"key": "v"})).status == 404
        assert (await api.act(key, "os-show_image_metadata", None)).json == {"metadata": {"os": "debian"}}
        assert (await api.volume(key))["volume_image_metadata"] == {"os": "debian"}
        path = f"/volumes/{key}/metadata"
        assert (await api("POST", path, {"metadata": {"a": "1"}})).json == {"metadata": {"a": "1"}}
        assert (await api("PUT", f"{path}/b", {"meta": {"b": "2"}})).json == {"meta": {"b": "2"}}
        assert (await api("PUT", f"{path}/b", {"meta": {"c": "2"}})).status == 400
        assert (await api("GET", path)).json == {"metadata": {"a": "1", "b": "2"}}
        assert (await api("DELETE", f"{path}/a")).status == 200
        assert (await api("DELETE", f"{path}/a")).status == 404
        assert (await api("PUT", path, {"metadata": {"z": "0"}})).json == {"metadata": {"z": "0"}}
        assert (await api("GET", f"{path}/z")).json == {"meta": {"z": "0"}}

    tell(story, tmp_path)


def test_a_volume_becomes_an_image(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        key = (await api.make(host))["id"]
        answer = await api.act(key, "os-volume_upload_image", {"image_name": "copy", "disk_format": "qcow2"})
        assert answer.status == 202, answer
        image = answer.json["os-volume_upload_image"]
        assert (image["image_name"], image["status"], image["visibility"]) == ("copy", "uploading", "private")
        (details,) = (await host.state()).volumes
        wanted = details.operations[0].image
        assert wanted is not None
        assert (wanted.image_id, wanted.disk_format) == (image["image_id"], "qcow2")
        host.fails = "no room"
        await host.pass_()
        assert (await api.volume(key))["status"] == "available"
        answer = await api.act(key, "os-volume_upload_image", {"image_name": "x", "visibility": "public"})
        assert answer.status == 403
        answer = await api.act(key, "os-volume_upload_image", {"image_name": "x", "disk_format": "odd"})
        assert answer.status == 400

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_names_of_nodes_and_pools_may_be_long(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        node, name = "n" * 250, "p" * 64
        host = await api.host(node, pool(name))
        volume = await api.make(host)
        shown = await api.as_("admin").volume(volume["id"])
        assert shown["os-vol-host-attr:host"] == f"{node}@{name}#{name}"
        services = (await api.as_("admin")("GET", "/os-services?binary=cinder-volume")).json["services"]
        assert [one["host"] for one in services] == [f"{node}@{name}"]

    tell(story, tmp_path, kind)


def test_fields_of_later_versions_are_passed_over(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.host()
        for version, later in (("3.12", {"group_id": {"a": 1}}), ("3.46", {"backup_id": NOBODY})):
            answer = await api.at(version).ask_for(1, colour="red", **later)
            assert answer.status == 202, answer
            assert (await api.at("3.13").ask_for(1, group_id=NOBODY)).status == 404

    tell(story, tmp_path)
