"""Metadata definitions: namespaces and what is in them, who sees and who changes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.image.image_cloud import P1, P3, Cloud, tell

BASE = "/v2/metadefs/namespaces"
SIZES = {"title": "Size", "type": "string", "enum": ["small", "large"]}
WHOLE: dict[str, Any] = {
    "namespace": "My::Own",
    "display_name": "Mine",
    "description": "Properties of ours",
    "visibility": "public",
    "resource_type_associations": [{"name": "OS::Glance::Image", "prefix": "my_"}],
    "properties": {"size": SIZES},
    "objects": [
        {"name": "thing", "required": ["colour"], "properties": {"colour": {"title": "C", "type": "string"}}}
    ],
    "tags": [{"name": "new"}],
}
NOW = "2026-01-01T00:00:00Z"


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_namespace_is_made_with_what_is_in_it_and_goes_with_it(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        made = await admin("POST", BASE, WHOLE)
        assert made.status == 201, made
        assert made.headers["location"].endswith(f"/image{BASE}/My::Own")
        assert made.json["self"] == f"{BASE}/My::Own"
        assert made.json["tags"] == [{"name": "new"}]
        shown = (await api("GET", f"{BASE}/My::Own")).json
        assert shown == {
            "namespace": "My::Own",
            "display_name": "Mine",
            "description": "Properties of ours",
            "visibility": "public",
            "protected": False,
            "owner": P3,
            "created_at": NOW,
            "updated_at": NOW,
            "self": f"{BASE}/My::Own",
            "schema": "/v2/schemas/metadefs/namespace",
            "resource_type_associations": [
                {"name": "OS::Glance::Image", "prefix": "my_", "created_at": NOW, "updated_at": NOW}
            ],
            "properties": {"size": SIZES},
            "objects": [
                {
                    **WHOLE["objects"][0],
                    "created_at": NOW,
                    "updated_at": NOW,
                    "self": f"{BASE}/My::Own/objects/thing",
                    "schema": "/v2/schemas/metadefs/object",
                }
            ],
            "tags": [{"name": "new"}],
        }
        # as an image of this type has them
        prefixed = (await api("GET", f"{BASE}/My::Own?resource_type=OS::Glance::Image")).json
        assert list(prefixed["properties"]) == ["my_size"]
        assert prefixed["objects"][0]["required"] == ["my_colour"]
        assert list(prefixed["objects"][0]["properties"]) == ["my_colour"]

        again = await admin("POST", BASE, WHOLE)
        assert again.status == 409
        assert again.json["message"] == "The metadata definition namespace=My::Own already exists."
        assert (await admin("DELETE", f"{BASE}/My::Own")).status == 204
        assert (await admin("GET", f"{BASE}/My::Own")).status == 404
        assert (await admin("POST", BASE, {"namespace": "My::Own"})).status == 201
        assert "properties" not in (await admin("GET", f"{BASE}/My::Own")).json

    tell(story, tmp_path, kind)


def test_who_sees_and_who_changes(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin, bob = api.as_("admin"), api.as_("bob")
        await admin("POST", BASE, {"namespace": "theirs", "owner": P1})
        await admin("POST", BASE, {"namespace": "open", "visibility": "public"})
        assert (await api("GET", f"{BASE}/theirs")).status == 200
        assert (await bob("GET", f"{BASE}/theirs")).status == 404
        for part in ("objects", "properties", "tags", "resource_types"):
            assert (await bob("GET", f"{BASE}/theirs/{part}")).status == 404, part
            assert (await bob("GET", f"{BASE}/open/{part}")).status == 200, part
        listed = (await bob("GET", f"{BASE}?limit=100")).json["namespaces"]
        assert {"open"} == {one["namespace"] for one in listed} & {"open", "theirs"}
        assert (await api("POST", BASE, {"namespace": "mine"})).status == 403
        assert (await api("PUT", f"{BASE}/theirs", {"namespace": "theirs"})).status == 403
        assert (await api("DELETE", f"{BASE}/theirs")).status == 403
        assert (await api("POST", f"{BASE}/theirs/tags/x")).status == 403
        assert (await api("POST", f"{BASE}/theirs/objects", {"name": "x"})).status == 403
        assert (await bob("POST", f"{BASE}/theirs/objects", {"name": "x"})).status == 404

    tell(story, tmp_path)


def test_what_openstack_ships_is_there_once(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        first = (await api("GET", f"{BASE}?sort_key=namespace&sort_dir=asc&limit=20")).json
        assert len(first["namespaces"]) == 20
        assert first["namespaces"][0]["namespace"] == "CIM::ProcessorAllocationSettingData"
        assert first["first"] == f"{BASE}?sort_key=namespace&sort_dir=asc&limit=20"
        second = (await api("GET", first["next"])).json
        names = [one["namespace"] for one in (*first["namespaces"], *second["namespaces"])]
        assert names == sorted(set(names))
        assert len(names) == 33
        assert "next" not in second
        flavors = (await api("GET", f"{BASE}?resource_types=OS::Trove::Instance")).json["namespaces"]
        assert [one["namespace"] for one in flavors] == ["OS::Software::DBMS"]
        watchdog = (await api("GET", f"{BASE}/OS::Compute::Watchdog?resource_type=OS::Nova::Flavor")).json
        assert watchdog["properties"]["hw:watchdog_action"]["enum"][1] == "reset"
        kinds = [
            one["name"] for one in (await api("GET", "/v2/metadefs/resource_types")).json["resource_types"]
        ]
        assert "OS::Cinder::Volume" in kinds
        # protected until somebody says otherwise, and what was deleted does not come back
        path = f"{BASE}/OS::Compute::Watchdog"
        refused = await admin("DELETE", path)
        assert refused.status == 403
        assert refused.json["message"] == (
            "Metadata definition namespace OS::Compute::Watchdog is protected and cannot be deleted."
        )
        assert (await admin("DELETE", f"{path}/properties/watchdog_action")).status == 403
        assert (await admin("DELETE", f"{path}/properties")).status == 403
        assert (await admin("DELETE", f"{path}/resource_types/OS::Nova::Flavor")).status == 403
        unprotected = {"namespace": "OS::Compute::Watchdog", "visibility": "public"}
        assert (await admin("PUT", path, unprotected)).json["protected"] is False
        assert (await admin("DELETE", path)).status == 204
        await api.images.start(api.store)
        assert (await admin("GET", path)).status == 404

    tell(story, tmp_path)


ITEMS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "objects": ({"name": "one", "description": "D"}, {"name": "two"}),
    "properties": ({"name": "one", **SIZES}, {"name": "two", "title": "T", "type": "integer", "minimum": 1}),
}


@pytest.mark.parametrize("part", ITEMS)
def test_objects_and_properties(part: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        await admin("POST", BASE, {"namespace": "N"})
        path, (one, two) = f"{BASE}/N/{part}", ITEMS[part]
        made = await admin("POST", path, one)
        assert (made.status, made.json | one) == (201, made.json)
        taken = await admin("POST", path, one)
        kind = {"objects": "object", "properties": "property"}[part]
        assert (taken.status, taken.json["message"]) == (
            409,
            f"A metadata definition {kind} with name=one already exists in namespace=N.",
        )
        assert (await admin("POST", path, two)).status == 201
        assert (await admin("PUT", f"{path}/one", two)).status == 409
        moved = await admin("PUT", f"{path}/one", {**one, "name": "other"})
        assert (moved.status, moved.json["name"]) == (200, "other")
        assert (await admin("GET", f"{path}/one")).status == 404
        assert (await admin("GET", f"{path}/other")).json["name"] == "other"
        listed = (await admin("GET", path)).json[part]
        names = list(listed) if part == "properties" else [item["name"] for item in listed]
        assert names == ["other", "two"]
        assert (await admin("DELETE", f"{path}/two")).status == 204
        assert (await admin("DELETE", f"{path}/two")).status == 404
        assert (await admin("DELETE", path)).status == 204
        assert not (await admin("GET", path)).json[part]

    tell(story, tmp_path)


def test_names_may_have_any_character_but_a_slash(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        for name in ("a b", "ä\u2603", "x\r\nSet-Cookie: a=b", "?#%"):
            made = await admin("POST", BASE, {"namespace": name, "objects": [{"name": name}]})
            assert made.status == 201, (name, made)
            location = made.headers["location"]
            assert location.isascii() and location.isprintable() and " " not in location
            assert location.endswith(made.json["self"])
            shown = (await admin("GET", made.json["self"])).json
            assert shown["namespace"] == name
            assert (await admin("GET", shown["objects"][0]["self"])).json["name"] == name
            assert (await admin("DELETE", made.json["self"])).status == 204

    tell(story, tmp_path)


def test_tags(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        await admin("POST", BASE, {"namespace": "N"})
        path = f"{BASE}/N/tags"

        async def names(query: str = "") -> list[str]:
            return [one["name"] for one in (await admin("GET", f"{path}{query}")).json["tags"]]

        made = await admin("POST", f"{path}/a")
        assert (made.status, made.json["name"]) == (201, "a")
        assert (await admin("POST", f"{path}/A")).status == 409
        several = await admin("POST", path, {"tags": [{"name": "b"}, {"name": "c"}]})
        assert (several.status, several.json) == (201, {"tags": [{"name": "b"}, {"name": "c"}]})
        assert await names() == ["b", "c"]
        more = await admin("POST", path, {"tags": [{"name": "d"}]}, {"X-Openstack-Append": "True"})
        assert more.status == 201
        assert await names() == ["b", "c", "d"]
        assert await names("?limit=1&marker=b") == ["c"]
        assert (await admin("POST", path, {"tags": [{"name": "x"}, {"name": "X"}]})).status == 409
        assert await names() == ["b", "c", "d"]
        assert (await admin("PUT", f"{path}/B", {"name": "B"})).json["name"] == "B"
        assert (await admin("GET", f"{path}/b")).json["name"] == "B"
        assert (await admin("GET", f"{path}/z")).status == 404
        assert (await admin("DELETE", f"{path}/b")).status == 204
        assert (await admin("DELETE", path)).status == 204
        assert await names() == []

    tell(story, tmp_path)


def test_resource_types_of_a_namespace(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        await admin("POST", BASE, {"namespace": "N", "properties": {"size": SIZES}})
        path = f"{BASE}/N/resource_types"
        made = await admin("POST", path, {"name": "My::Type", "prefix": "p:", "properties_target": "image"})
        assert (made.status, made.json["prefix"], made.json["properties_target"]) == (201, "p:", "image")
        assert (await admin("POST", path, {"name": "My::Type"})).status == 409
        found = (await admin("GET", f"{BASE}/N/properties/p:size?resource_type=My::Type")).json
        assert found["name"] == "size"
        assert (await admin("GET", f"{BASE}/N/properties/size?resource_type=My::Type")).status == 404
        assert (await admin("GET", f"{BASE}/N/properties/size?resource_type=Other")).status == 404
        assert (await admin("DELETE", f"{path}/My::Type")).status == 204
        gone = await admin("DELETE", f"{path}/My::Type")
        assert (gone.status, gone.json["message"]) == (404, "Failed to find resource type My::Type to delete")
        assert (await admin("GET", path)).json == {"resource_type_associations": []}

    tell(story, tmp_path)


BAD: list[tuple[str, str, Any, int]] = [
    ("POST", BASE, {}, 400),
    ("POST", BASE, [], 400),
    ("POST", BASE, {"namespace": 5}, 400),
    ("POST", BASE, {"namespace": ""}, 400),
    ("POST", BASE, {"namespace": "a/b"}, 400),
    ("POST", BASE, {"namespace": "x", "properties": {"a/b": SIZES}}, 400),
    ("POST", BASE, {"namespace": "x" * 81}, 400),
    ("POST", BASE, {"namespace": "x", "visibility": "shared"}, 400),
    ("POST", BASE, {"namespace": "x", "colour": "red"}, 400),
    ("POST", BASE, {"namespace": "x", "self": "y"}, 403),
    ("POST", BASE, {"namespace": "x", "properties": {"a": {"title": "t"}}}, 400),
    ("POST", BASE, {"namespace": "x", "properties": {"a" * 81: SIZES}}, 400),
    ("POST", BASE, {"namespace": "x", "objects": [{"name": "a"}, {"name": "a"}]}, 409),
    ("POST", BASE, {"namespace": "x", "tags": [{"name": "a"}, {"name": "A"}]}, 409),
    (
        "POST",
        BASE,
        {"namespace": "x", "resource_type_associations": [{"name": "a"}, {"name": "a"}]},
        409,
    ),
    ("POST", f"{BASE}/N/properties", {"name": "a", "title": "t", "type": "text"}, 400),
    ("POST", f"{BASE}/N/properties", {"name": "a", "title": "t", "type": "string", "pattern": "("}, 400),
    ("POST", f"{BASE}/N/properties", {"name": "a", "title": "t", "type": "string", "minLength": -1}, 400),
    ("POST", f"{BASE}/N/properties", {"name": "a", "title": "t", "type": "integer", "minimum": "1"}, 400),
    ("POST", f"{BASE}/N/objects", {"name": "a", "required": ["b", "b"]}, 400),
    ("POST", f"{BASE}/N/objects", {"name": "a", "created_at": "2026"}, 403),
    ("POST", f"{BASE}/N/tags", {"tags": ["a"]}, 400),
    ("POST", f"{BASE}/N/tags/{'a' * 81}", None, 400),
    ("POST", f"{BASE}/nothing/tags/a", None, 404),
    ("GET", f"{BASE}?limit=x", None, 400),
    ("GET", f"{BASE}?limit=-1", None, 400),
    ("GET", f"{BASE}?sort_dir=up", None, 400),
    ("GET", f"{BASE}?sort_key=id", None, 400),
    ("GET", f"{BASE}?visibility=all", None, 400),
    ("GET", f"{BASE}?marker=nothing", None, 404),
    ("GET", f"{BASE}/N/objects?marker=nothing", None, 404),
    ("GET", "/v2/schemas/metadefs/nothing", None, 404),
]


def test_refusals_leave_nothing_behind(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        await admin("POST", BASE, {"namespace": "N"})
        before = (await admin("GET", f"{BASE}?limit=100")).json
        for method, path, body, status in BAD:
            answer = await admin(method, path, body)
            assert answer.status == status, (method, path, body, answer)
        assert (await admin("GET", f"{BASE}?limit=100")).json == before
        for part in ("objects", "properties", "tags"):
            assert not (await admin("GET", f"{BASE}/N/{part}")).json[part]

    tell(story, tmp_path)


def test_every_schema_is_shown(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        singular = ("namespace", "object", "property", "tag", "resource_type")
        for name in (*singular, "namespaces", "objects", "properties", "tags", "resource_types"):
            schema = (await api("GET", f"/v2/schemas/metadefs/{name}")).json
            assert schema["properties"], name
        namespace = (await api("GET", "/v2/schemas/metadefs/namespace")).json
        assert namespace["required"] == ["namespace"]
        assert namespace["properties"]["visibility"]["enum"] == ["public", "private"]
        assert (await api("GET", "/v2/schemas/metadefs/properties")).json["properties"]["properties"][
            "type"
        ] == "object"

    tell(story, tmp_path)
