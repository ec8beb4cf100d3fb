"""Each service's shapes: errors, statuses, lists, refusals."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Boolean, Column, Integer, Table
from tests.unit.web.widgets import Client, widget_app

from pileus.core.errors import Conflict, Fault, Forbidden, NotFound, OverQuota, Unauthenticated
from pileus.policy import Rule
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource, fresh_hex_id
from pileus.store.schema import Id, Name, metadata
from pileus.web.crud import change_plain, crud, insert_plain, remove_plain
from pileus.web.dialects import Dialect
from pileus.web.dialects.cinder import CINDER_API
from pileus.web.dialects.glance import GLANCE_API
from pileus.web.dialects.keystone import KEYSTONE_API
from pileus.web.dialects.neutron import NEUTRON_API
from pileus.web.dialects.nova import NOVA_API
from pileus.web.faults import BodyTooLarge, MethodNotAllowed
from pileus.web.microversions import Microversions
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route
from pileus.web.service import ApiVersion, Service

gadgets = Table(
    "test_gadgets",
    metadata,
    Column("id", Id, primary_key=True),
    Column("domain_id", Id, nullable=False),
    Column("name", Name, nullable=False),
    Column("size", Integer, nullable=False),
    Column("enabled", Boolean, nullable=False),
)


def gadget(dialect: Dialect, rules: dict[str, str] | None = None) -> Resource:
    return Resource(
        "gadget",
        table=gadgets,
        wording=dialect,
        rules=rules,
        attributes=(
            Attribute("id", types.uuid, default=fresh_hex_id, filter=True, sort=True),
            Attribute("domain_id", types.string(), default="default", create=True, filter=True),
            Attribute(
                "name",
                types.string(9, minimum=1),
                create=True,
                update=True,
                required=True,
                filter=True,
                sort=True,
            ),
            Attribute("size", types.integer(0, 99), default=0, create=True, filter=True, sort=True),
            Attribute("enabled", types.strict_boolean, default=True, create=True, update=True, filter=True),
            Attribute("password", types.string(), create=True, visible=False),
            Attribute("shine", types.string(), compute=lambda one: one["size"] * 2, versions=("2.2", "")),
        ),
    )


def service(dialect: Dialect, **more: Any) -> Service:
    resource = gadget(dialect)
    rules = {resource.rule(action) for action in ("create", "get", "list", "update", "delete")}
    routes = (
        *crud(
            resource,
            "/v3/gadgets",
            create=insert_plain(resource),
            update=change_plain(resource),
            delete=remove_plain(resource),
        ),
        *more.pop("routes", ()),
    )
    declared = [
        Rule(rule, "role:admin" if "list" in rule or "index" in rule else "") for rule in sorted(rules)
    ]
    return Service(
        name="gadgets",
        type="compute",
        dialect=dialect,
        prefix="/x",
        nouns=(Noun(name="gadget", routes=routes, rules=declared),),
        versions=(ApiVersion("v3.14", "/v3", updated="2020-04-07T00:00:00Z", status="stable"),),
        **more,
    )


def neutron(code: str, message: str) -> Any:
    return {"NeutronError": {"type": code, "message": message, "detail": ""}}


def keystone(status: int, title: str, message: str) -> Any:
    return {"error": {"code": status, "title": title, "message": message}}


@pytest.mark.parametrize(
    ("dialect", "fault", "status", "body"),
    [
        (NEUTRON_API, OverQuota(overs=["p"]), 409,
         neutron("OverQuota", "Quota exceeded for resources: ['p'].")),
        (NOVA_API, OverQuota("Too many"), 403, {"forbidden": {"code": 403, "message": "Too many"}}),
        (CINDER_API, OverQuota("Too many"), 413, {"overLimit": {"code": 413, "message": "Too many"}}),
        (NOVA_API, NotFound("gone"), 404, {"itemNotFound": {"code": 404, "message": "gone"}}),
        (NOVA_API, Conflict("no"), 409, {"conflictingRequest": {"code": 409, "message": "no"}}),
        (NOVA_API, MethodNotAllowed("m"), 405, {"badMethod": {"code": 405, "message": "m"}}),
        (NOVA_API, Fault("oops"), 500, {"computeFault": {"code": 500, "message": "oops"}}),
        (KEYSTONE_API, NotFound("gone"), 404, keystone(404, "Not Found", "gone")),
        (NEUTRON_API, NotFound("gone"), 404, neutron("HTTPNotFound", "gone")),
        (NEUTRON_API, BodyTooLarge("big"), 413, neutron("HTTPRequestEntityTooLarge", "big")),
        (GLANCE_API, Forbidden("no"), 403, {"message": "no", "code": "403 Forbidden", "title": "Forbidden"}),
        (NEUTRON_API, Unauthenticated("who"), 401, keystone(401, "Unauthorized", "who")),
    ],
)  # fmt: skip
def test_a_fault(dialect: Dialect, fault: Fault, status: int, body: Any) -> None:
    assert dialect.status(fault) == status
    assert dialect.error(status, fault, "req-1") == body


@pytest.mark.parametrize(
    ("dialect", "names", "words"),
    [
        (KEYSTONE_API, ["identity:create_gadget", "identity:get_gadget", "identity:list_gadgets"],
         "You are not authorized to perform the requested action: identity:list_gadgets."),
        (NOVA_API, [f"os_compute_api:gadgets:{verb}" for verb in ("create", "show", "index")],
         "Policy doesn't allow os_compute_api:gadgets:index to be performed."),
        (CINDER_API, ["volume:create", "volume:get", "volume:get_all"],
         "Policy doesn't allow volume:get_all to be performed."),
        (GLANCE_API, ["add_gadget", "get_gadget", "get_gadgets"],
         "You are not authorized to complete get_gadgets action."),
        (NEUTRON_API, ["create_gadget", "get_gadget", "get_gadget"],
         "rule:get_gadget is disallowed by policy"),
    ],
)  # fmt: skip
def test_rules_and_refusals(dialect: Dialect, names: list[str], words: str) -> None:
    resource = gadget(dialect)
    assert [resource.rule(action) for action in ("create", "get", "list")] == names
    assert dialect.refused(names[-1:], "reason").text == words


def test_keystone(tmp_path: Path) -> None:
    async def main() -> None:
        async with widget_app(tmp_path, service(KEYSTONE_API)) as app:
            api = Client(app, "admin", "/x/v3")
            for name in ("alpha", "Beta", "al_ph"):
                made = await api("POST", "/gadgets", {"gadget": {"name": name, "password": "p"}})
                assert made.status == 201
            one = made.json["gadget"]
            assert "password" not in one
            assert one["links"] == {"self": f"http://cloud:8080/x/v3/gadgets/{one['id']}"}

            async def names(query: str) -> list[str]:
                reply = await api("GET", f"/gadgets?{query}")
                assert reply.status == 200, reply.body
                return sorted(gadget["name"] for gadget in reply.json["gadgets"])

            assert await names("name__contains=l_p") == ["al_ph"]
            assert await names("name__startswith=al") == ["al_ph", "alpha"]
            assert await names("name__iequals=BETA") == ["Beta"]
            assert await names("name__iendswith=TA&enabled") == ["Beta"]
            assert await names("enabled=false") == []
            assert await names("nonsense=1") == ["Beta", "al_ph", "alpha"]
            listed = (await api("GET", "/gadgets?enabled=true")).json
            assert listed["links"] == {
                "next": None,
                "self": "http://cloud:8080/x/v3/gadgets?enabled=true",
                "previous": None,
            }
            assert (await api.as_("bob")("GET", "/gadgets")).status == 403
            wrong = await api("POST", "/gadgets", {"gadget": {"name": ""}})
            assert wrong.json["error"]["message"] == "Invalid input for field 'name': '' is too short"
            assert (await api("PATCH", f"/gadgets/{one['id']}", {"gadget": {"enabled": "yes"}})).status == 400
            changed = await api("PATCH", f"/gadgets/{one['id']}", {"gadget": {"enabled": False}})
            assert changed.json["gadget"]["enabled"] is False
            missing = await api("GET", "/gadgets/nobody")
            assert missing.json["error"]["message"] == "Could not find gadget: nobody."
            versions = await api.as_(None)("GET", "/..")
            assert versions.status == 404
            root = await Client(app, None, "/x")("GET", "")
            assert root.status == 300
            (version,) = root.json["versions"]["values"]
            assert version["id"] == "v3.14"
            assert version["links"] == [{"rel": "self", "href": "http://cloud:8080/x/v3/"}]
            assert (await Client(app, None, "/x")("GET", "/v3/")).json["version"]["id"] == "v3.14"

    asyncio.run(main())


def test_paged(tmp_path: Path) -> None:
    async def main() -> None:
        async with widget_app(tmp_path, service(NOVA_API)) as app:
            api = Client(app, "admin", "/x/v3")
            for size in range(5):
                body = {"gadget": {"name": f"g{size}", "size": size}}
                assert (await api("POST", "/gadgets", body)).status == 200
            first = await api("GET", "/gadgets?limit=2&sort_key=size&sort_dir=asc&unknown=1")
            assert [one["size"] for one in first.json["gadgets"]] == [0, 1]
            (link,) = first.json["gadgets_links"]
            assert link["rel"] == "next"
            query = link["href"].split("?")[1]
            second = await api("GET", f"/gadgets?{query}")
            assert [one["size"] for one in second.json["gadgets"]] == [2, 3]
            assert (await api("GET", "/gadgets?sort=size:desc,name:asc&limit=1")).json["gadgets"][0][
                "size"
            ] == 4
            assert (await api("GET", "/gadgets?limit=0")).json["gadgets"] == []
            marker = await api("GET", "/gadgets?marker=zzz")
            assert marker.json == {"badRequest": {"code": 400, "message": "marker [zzz] not found"}}
            for query in ("limit=-1", "limit=x", "sort_key=password", "sort_key=size&sort_dir=up"):
                assert (await api("GET", f"/gadgets?{query}")).status == 400, query
            media = await api("POST", "/gadgets", raw=b"{}", headers={"content-type": "text/plain"})
            assert media.status == 415 and "badMediaType" in media.json
            wrong = await api("POST", "/gadgets", {"gadget": {"name": "n", "size": 100}})
            assert (
                wrong.json["badRequest"]["message"] == "Invalid input for field/attribute size. Value: 100. "
                "100 is greater than the maximum of 99"
            )

    asyncio.run(main())


def test_glance(tmp_path: Path) -> None:
    async def main() -> None:
        async with widget_app(tmp_path, service(GLANCE_API)) as app:
            api = Client(app, "admin", "/x/v3")
            made = await api("POST", "/gadgets", {"name": "bare"})
            assert made.status == 201 and made.json["name"] == "bare"
            for number in range(30):
                await api("POST", "/gadgets", {"name": f"n{number}"})
            page = (await api("GET", "/gadgets")).json
            assert len(page["gadgets"]) == 25
            assert page["first"] == "/v3/gadgets"
            assert page["next"] == f"/v3/gadgets?marker={page['gadgets'][-1]['id']}"
            assert len((await api("GET", page["next"].removeprefix("/v3"))).json["gadgets"]) == 6

    asyncio.run(main())


def test_microversions(tmp_path: Path) -> None:
    async def old(request: Request) -> Reply:
        return Reply.json({"said": "old", "version": str(request.version)})

    async def new(request: Request) -> Reply:
        return Reply.json({"said": "new"})

    versions = Microversions(
        "compute",
        [("2.1", "The first."), ("2.2", "Gadgets shine."), ("2.10", "New words.")],
        legacy_header="X-OpenStack-Nova-API-Version",
    )
    routes = (
        Route("GET", "/v3/words", old, versions=("", "2.2")),
        Route("GET", "/v3/words", new, versions=("2.10", "")),
        Route("GET", "/v3/late", new, versions=("2.10", "")),
    )

    async def main() -> None:
        chosen = service(NOVA_API, microversions=versions, routes=routes)
        async with widget_app(tmp_path, chosen) as app:
            api = Client(app, "admin", "/x/v3")

            async def words(path: str = "/words", **headers: str) -> Any:
                return await api(
                    "GET", path, headers={key.replace("_", "-"): text for key, text in headers.items()}
                )

            plain = await words()
            assert plain.json == {"said": "old", "version": "2.1"}
            assert plain.headers["openstack-api-version"] == "compute 2.1"
            assert plain.headers["x-openstack-nova-api-version"] == "2.1"
            assert plain.headers["vary"] == "OpenStack-API-Version, X-OpenStack-Nova-API-Version"
            assert (await words(OpenStack_API_Version="compute 2.10")).json == {"said": "new"}
            assert (await words(OpenStack_API_Version="volume 3.1, compute latest")).json == {"said": "new"}
            assert (await words(OpenStack_API_Version="volume 3.1")).json["version"] == "2.1"
            assert (await words(X_OpenStack_Nova_API_Version="2.2")).json["version"] == "2.2"
            assert (await words("/late")).status == 404
            assert (await words("/late", OpenStack_API_Version="compute 2.10")).status == 200
            far = await words(OpenStack_API_Version="compute 2.11")
            assert far.status == 406
            assert far.json["computeFault"]["message"] == (
                "Version 2.11 is not supported by the API. Minimum is 2.1 and maximum is 2.10."
            )
            for wrong in ("compute", "compute two", "compute 2.01", "compute 2.1 x"):
                assert (await words(OpenStack_API_Version=wrong)).status == 400, wrong
            made = (await api("POST", "/gadgets", {"gadget": {"name": "n", "size": 4}})).json["gadget"]
            assert "shine" not in made
            shown = await words(f"/gadgets/{made['id']}", OpenStack_API_Version="compute 2.2")
            assert shown.json["gadget"]["shine"] == 8

    asyncio.run(main())


def test_what_nobody_foresaw_is_told_in_the_services_own_words() -> None:
    assert {one.name: one.internal_message for one in (NEUTRON_API, NOVA_API, KEYSTONE_API, GLANCE_API)} == {
        "neutron": "Request Failed: internal server error while processing your request.",
        "nova": "Unexpected API Error. Please report this with the request id of the reply.",
        "keystone": "An unexpected error prevented the server from fulfilling your request.",
        "glance": "The server has either erred or is incapable of performing the requested operation.",
    }
