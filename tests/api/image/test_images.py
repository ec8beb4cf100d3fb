"""Images: made, shown, listed, changed, deleted; who sees which; and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.image.image_cloud import P1, P2, P3, Cloud, tell

from pileus.services.image.service import ImageConfig

NOBODY = "11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize("kind", databases.KINDS)
def test_an_image_from_making_to_deleting(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        answer = await api(
            "POST",
            "/v2/images",
            {
                "id": NOBODY,
                "name": "debian",
                "disk_format": "raw",
                "container_format": "bare",
                "min_disk": 2,
                "tags": ["b", "a", "b"],
                "os_distro": "debian",
            },
        )
        assert answer.status == 201
        assert answer.headers["location"] == f"http://cloud/image/v2/images/{NOBODY}"
        methods = "glance-direct,web-download,glance-download"
        assert answer.headers["openstack-image-import-methods"] == methods
        assert answer.json == {
            "id": NOBODY,
            "name": "debian",
            "status": "queued",
            "visibility": "shared",
            "protected": False,
            "os_hidden": False,
            "owner": P1,
            "disk_format": "raw",
            "container_format": "bare",
            "min_disk": 2,
            "min_ram": 0,
            "size": None,
            "virtual_size": None,
            "checksum": None,
            "os_hash_algo": None,
            "os_hash_value": None,
            "tags": ["a", "b"],
            "os_distro": "debian",
            "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z",
            "self": f"/v2/images/{NOBODY}",
            "file": f"/v2/images/{NOBODY}/file",
            "schema": "/v2/schemas/image",
        }
        assert (await api("GET", f"/v2/images/{NOBODY}")).json == answer.json
        assert (await api("GET", "/v2/images")).json == {
            "images": [answer.json],
            "first": "/v2/images",
            "schema": "/v2/schemas/images",
        }
        assert (await api("POST", "/v2/images", {"id": NOBODY})).status == 409

        api.clock.advance(60)
        changed = await api.patch(
            NOBODY,
            {"op": "replace", "path": "/name", "value": "sid"},
            {"op": "add", "path": "/hw_disk_bus", "value": "scsi"},
            {"op": "remove", "path": "/os_distro"},
            {"op": "replace", "path": "/tags", "value": ["c"]},
        )
        assert changed.status == 200
        shown = (await api("GET", f"/v2/images/{NOBODY}")).json
        assert changed.json == shown
        assert (shown["name"], shown["hw_disk_bus"], shown["tags"]) == ("sid", "scsi", ["c"])
        assert "os_distro" not in shown
        assert shown["updated_at"] == "2026-01-01T00:01:00Z"
        assert (await api.patch(NOBODY)).json == shown

        assert (await api("PUT", f"/v2/images/{NOBODY}/tags/d")).status == 204
        assert (await api("PUT", f"/v2/images/{NOBODY}/tags/d")).status == 204
        assert (await api("DELETE", f"/v2/images/{NOBODY}/tags/c")).status == 204
        assert (await api("DELETE", f"/v2/images/{NOBODY}/tags/c")).status == 404
        assert (await api("GET", f"/v2/images/{NOBODY}")).json["tags"] == ["d"]

        await api.patch(NOBODY, {"op": "replace", "path": "/protected", "value": True})
        assert (await api("DELETE", f"/v2/images/{NOBODY}")).status == 403
        await api.patch(NOBODY, {"op": "replace", "path": "/protected", "value": False})
        assert (await api("DELETE", f"/v2/images/{NOBODY}")).status == 204
        assert (await api("DELETE", f"/v2/images/{NOBODY}")).status == 404
        assert (await api("GET", f"/v2/images/{NOBODY}")).status == 404
        assert await api.ids() == []

    tell(story, tmp_path, kind)


def test_what_can_not_be_made(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        async def made(**values: Any) -> int:
            return (await api("POST", "/v2/images", values)).status

        for status, values in (
            (400, {"id": "x"}),
            (400, {"disk_format": "floppy"}),
            (400, {"container_format": "box"}),
            (400, {"min_ram": -1}),
            (400, {"min_disk": "much"}),
            (400, {"protected": "yes"}),
            (400, {"name": 5}),
            (400, {"name": "x" * 256}),
            (400, {"tags": ["x" * 256]}),
            (400, {"tags": "x"}),
            (400, {"visibility": "secret"}),
            (400, {"x": 5}),
            (400, {"x": "a\0b"}),
            (400, {"x" * 256: "1"}),
            (403, {"status": "active"}),
            (403, {"size": 5}),
            (403, {"checksum": "x"}),
            (403, {"self": "x"}),
            (403, {"os_glance_x": "1"}),
            (403, {"deleted": "true"}),
            (403, {"locations": []}),
            (403, {"visibility": "public"}),
            (403, {"owner": P2}),
            (413, {f"p{number}": "1" for number in range(129)}),
            (413, {"tags": [f"t{number}" for number in range(129)]}),
        ):
            assert await made(**values) == status, values
        for body in ([], "x", None):
            assert (await api("POST", "/v2/images", body)).status == 400
        assert await api.ids() == []
        assert (await api.as_("reader")("POST", "/v2/images", {})).status == 403
        assert (await api.as_("")("GET", "/v2/images")).status == 401
        assert (await api.as_("admin")("POST", "/v2/images", {"owner": P2})).json["owner"] == P2
        assert await made(visibility="community") == 201

        image = await api.make()
        for method, path, status in (
            ("GET", "/v2/images/", 404),
            ("DELETE", "/v2/images/", 404),
            ("DELETE", "/v2/images", 405),
            ("GET", f"/v2/images/{'x' * 3000}", 404),
            ("PUT", f"/v2/images/{image['id']}/tags/{'x' * 256}", 400),
            ("PUT", f"/v2/images/{NOBODY}/tags/x", 404),
            ("POST", f"/v2/images/{image['id']}/actions/explode", 404),
        ):
            assert (await api(method, path)).status == status, path
        owner = {"op": "replace", "path": "/owner", "value": P2}
        assert (await api.patch(image["id"], owner)).status == 403
        assert (await api.as_("admin").patch(image["id"], owner)).json["owner"] == P2
        assert (await api("GET", f"/v2/images/{image['id']}")).status == 404

    tell(story, tmp_path)


def test_a_patch_of_nothing_asks_the_policy_all_the_same(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        image = await api.make()
        for person, status in (("alice", 200), ("admin", 200), ("reader", 403)):
            assert (await api.as_(person).patch(image["id"])).status == status, person

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_who_sees_which(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin, bob, reader = api.as_("admin"), api.as_("bob"), api.as_("reader")
        private = (await api.make(visibility="private"))["id"]
        shared = (await api.make())["id"]
        community = (await api.make(visibility="community"))["id"]
        public = (await admin.make(visibility="public"))["id"]
        hidden = (await api.make(os_hidden=True))["id"]
        nobodys = (await admin.make(owner=None, visibility="private"))["id"]
        assert (await bob("POST", f"/v2/images/{shared}/members", {"member": P2})).status == 404
        assert (await api("POST", f"/v2/images/{shared}/members", {"member": P2})).status == 200

        assert set(await api.ids()) == {private, shared, community, public}
        assert set(await reader.ids()) == {private, shared, community, public}
        assert set(await api.ids("?os_hidden=true")) == {hidden}
        assert set(await bob.ids()) == {public}
        assert set(await bob.ids("?visibility=community")) == {community}
        assert set(await bob.ids("?visibility=all")) == {community, public}
        assert set(await bob.ids("?member_status=pending")) == {shared, public}
        assert set(await bob.ids("?visibility=shared&member_status=all")) == {shared}
        assert set(await bob.ids("?visibility=private")) == set()
        assert set(await admin.ids()) == {private, shared, public, nobodys}
        assert set(await admin.ids("?visibility=all")) == {private, shared, public, nobodys, community}

        async def seen(person: Cloud) -> set[str]:
            asked = (private, shared, community, public, hidden, nobodys)
            return {one for one in asked if (await person("GET", f"/v2/images/{one}")).status == 200}

        assert await seen(bob) == {shared, community, public}
        assert await seen(api) == {private, shared, community, public, hidden}
        assert await seen(admin) == {private, shared, community, public, hidden, nobodys}
        # seen and not to be changed is forbidden, not seen is not found
        for image_id, status in ((shared, 403), (community, 403), (public, 403), (private, 404)):
            assert (await bob("DELETE", f"/v2/images/{image_id}")).status == status
            change = {"op": "replace", "path": "/name", "value": "mine"}
            assert (await bob.patch(image_id, change)).status == status
            assert (await bob("PUT", f"/v2/images/{image_id}/tags/x")).status == status
            assert (await bob.upload(image_id, [b"x"])).status == status
        assert (await reader("DELETE", f"/v2/images/{private}")).status == 403
        public_please = {"op": "replace", "path": "/visibility", "value": "public"}
        assert (await api.patch(private, public_please)).status == 403
        assert (await admin.patch(private, public_please)).status == 200
        assert private in await bob.ids()

    tell(story, tmp_path, kind)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_lists(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        ids = {}
        for number, name in enumerate(("d", "a", "c", "b,x")):
            api.clock.advance(60)
            image = await api.make(
                b"x" * (number + 1) if number < 3 else None,
                name=name,
                tags=["all", name],
                os_distro="debian" if number % 2 else "fedora",
                min_ram=number,
                protected=number == 0,
                container_format="ova" if number == 1 else "bare",
            )
            ids[name] = image["id"]
        names = {image_id: name for name, image_id in ids.items()}

        async def found(query: str) -> str:
            return " ".join(names[one] for one in await api.ids(f"?{query}"))

        assert await found("") == "b,x c a d"
        assert await found("sort=name") == "d c b,x a"
        assert await found("sort=name:asc") == "a b,x c d"
        assert await found("sort_key=name&sort_dir=asc") == "a b,x c d"
        assert await found("sort=container_format:desc,name:asc") == "a b,x c d"
        assert await found("sort_key=container_format&sort_key=name&sort_dir=asc") == "b,x c d a"
        assert await found("sort=size:asc&status=active") == "d a c"
        assert await found("name=a") == "a"
        assert await found("name=in:a,c&sort=name:asc") == "a c"
        assert await found('name=in:"b,x",d&sort=name:asc') == "b,x d"
        assert await found(f"id=in:{ids['a']},{ids['d']}&sort=name:asc") == "a d"
        assert await found("status=queued") == "b,x"
        assert await found("size=2") == "a"
        assert await found("size_min=2&sort=name:asc") == "a c"
        assert await found("size_max=2&sort=name:asc") == "a d"
        assert await found("min_ram_min=2&sort=name:asc") == "b,x c"
        assert await found("protected=true") == "d"
        assert await found("container_format=ova") == "a"
        assert await found("disk_format=qcow2") == ""
        assert await found("tag=all&tag=c") == "c"
        assert await found("os_distro=fedora&sort=name:asc") == "c d"
        assert await found("os_distro=fedora&name=c") == "c"
        assert await found("never_set=1") == ""
        assert await found(f"owner={P1}&limit=1") == "b,x"
        assert await found(f"owner={P3}") == ""
        assert await found("created_at=2026-01-01T00:02:00Z") == "a"
        assert await found("created_at=gt:2026-01-01T00:02:00Z") == "b,x c"
        assert await found("created_at=lte:2026-01-01T00:02:00Z") == "a d"
        assert await found("created_at=neq:2026-01-01T00:02:00Z") == "b,x c d"
        assert await found("os_hash_algo=sha512&limit=0") == ""

        pages = []
        path = "/v2/images?limit=3&sort=name:asc"
        first = path.replace(":", "%3A")
        while path:
            answer = await api("GET", path)
            assert answer.json["first"] == first
            pages.append([image["name"] for image in answer.json["images"]])
            path = answer.json.get("next", "")
        assert pages == [["a", "b,x", "c"], ["d"]]

        for query in (
            "limit=x",
            "limit=-1",
            f"marker={NOBODY}",
            "sort=x",
            "sort=name:up",
            "sort=name&sort_key=name",
            "sort_key=owner",
            "sort_key=name&sort_dir=up",
            "sort_key=name&sort_dir=asc&sort_dir=asc",
            "visibility=secret",
            "member_status=x",
            "os_hidden=x",
            "protected=1",
            "size_min=x",
            "size=x",
            "created_at=yesterday",
            "created_at=about:2026-01-01T00:00:00Z",
            "name=like:x",
            'name=in:a"b',
        ):
            assert (await api("GET", f"/v2/images?{query}")).status == 400, query

    tell(story, tmp_path, kind)


def test_a_marker_is_an_image_that_the_caller_sees(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        bob = api.as_("bob")
        image = (await api.make(b"data"))["id"]
        foreign = await bob("GET", f"/v2/images?marker={image}")
        assert foreign.status == (await bob("GET", f"/v2/images?marker={NOBODY}")).status == 400
        # one that has been shared with him, and that a usual list does not show, is his to begin at
        assert (await api("POST", f"/v2/images/{image}/members", {"member": P2})).status == 200
        assert await bob.ids(f"?marker={image}") == await bob.ids()

    tell(story, tmp_path)


def test_a_list_costs_the_same_statements_however_long(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        counts = []
        for _ in range(2):
            for number in range(6):
                await api.make(name=f"n{number}", tags=["a", "b"], x="1", y="2")
            before = api.store.statements
            await api.ids("?tag=a&x=1")
            counts.append(api.store.statements - before)
        assert counts[0] == counts[1] <= 3

    tell(story, tmp_path)


def test_a_project_has_so_many_images(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.make()
        await api.make()
        assert (await api("POST", "/v2/images", {})).status == 413
        assert (await api.as_("bob")("POST", "/v2/images", {})).status == 201
        usage = (await api("GET", "/v2/info/usage")).json["usage"]
        assert usage["image_count_total"] == {"limit": 2, "usage": 2}

    tell(story, tmp_path, config=ImageConfig(project_images=2))


def test_what_the_api_says_of_itself(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        nobody = api.as_("")
        for path, status in (("", 300), ("/", 300), ("/versions", 200), ("/v2/", 300)):
            answer = await nobody("GET", path)
            assert answer.status == status
            versions = {one["id"]: one for one in answer.json["versions"]}
            assert versions["v2.15"]["status"] == "CURRENT"
            assert versions["v2.0"] == {
                "id": "v2.0",
                "status": "SUPPORTED",
                "links": [{"rel": "self", "href": "http://cloud/image/v2/"}],
            }
        methods = (await api("GET", "/v2/info/import")).json["import-methods"]["value"]
        assert methods == ["glance-direct", "web-download", "glance-download"]
        assert (await api("GET", "/v2/info/stores")).status == 404
        image = (await api("GET", "/v2/schemas/image")).json
        shown = await api.make()
        assert set(shown) == set(image["properties"])
        assert image["properties"]["disk_format"]["enum"][0] is None
        assert image["properties"]["status"]["readOnly"] is True
        images = (await api("GET", "/v2/schemas/images")).json
        assert images["properties"]["images"]["items"]["name"] == "image"
        member = (await api("GET", "/v2/schemas/member")).json
        assert member["properties"]["status"]["enum"] == ["pending", "accepted", "rejected"]
        assert (await api("GET", "/v2/schemas/members")).json["name"] == "members"
        assert (await api("GET", "/v2/schemas/metadefs")).status == 404

    tell(story, tmp_path)


def test_changes_leave_events(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        told: list[str] = []
        api.store.subscribe(lambda published: told.extend(one.kind for one in published.events))
        image = await api.make(b"x")
        await api("POST", f"/v2/images/{image['id']}/actions/deactivate")
        await api("POST", f"/v2/images/{image['id']}/members", {"member": P2})
        await api.patch(image["id"], {"op": "add", "path": "/a", "value": "b"})
        await api("DELETE", f"/v2/images/{image['id']}")
        assert told == [
            "image.create",
            "image.saving",
            "image.upload",
            "image.deactivate",
            "image.member.create",
            "image.update",
            "image.delete",
        ]

    tell(story, tmp_path)


def test_what_the_cloud_keeps_for_itself_is_not_everybodys(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        wanted = {"owner": None, "visibility": "private", "os_hidden": True}
        image = (await api.as_("admin")("POST", "/v2/images", wanted)).json
        assert image["owner"] is None
        assert (await api("GET", f"/v2/images/{image['id']}")).status == 404
        assert (await api.as_("admin")("GET", f"/v2/images/{image['id']}")).status == 200

    tell(story, tmp_path)
