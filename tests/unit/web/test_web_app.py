"""What is found when an app is made, and the OpenAPI that it serves."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from sqlalchemy import text
from tests.unit.web.widgets import SERVICE, Client, service_with, widget_app

from pileus.store import Tx
from pileus.web.accept import HTML, JSON, preferred
from pileus.web.client import Proxies
from pileus.web.openapi import openapi
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route, Router, routed_path
from pileus.web.service import Service


async def nothing(request: Request) -> Reply:
    return Reply.empty()


def test_nothing_ends_a_header() -> None:
    reply = Reply.empty().header("X-Name", "a\r\nb\x00\x7f\t\u20acé")
    assert reply.headers == [(b"x-name", b"a??b????\xe9")]


def refused(folder: Path, service: Service) -> str:
    async def main() -> None:
        async with widget_app(folder, service):
            pass

    with pytest.raises(ValueError) as caught:
        asyncio.run(main())
    return str(caught.value)


def test_a_rule_that_nobody_declared(tmp_path: Path) -> None:
    rules = [rule for rule in SERVICE.rules if rule.name != "get_widget:widget:host"]
    said = refused(tmp_path, service_with(rules=rules))
    assert said.endswith("no service declares the rule get_widget:widget:host")


def test_a_route_declared_twice(tmp_path: Path) -> None:
    routes = [*SERVICE.routes, Route("GET", "/v2.0/widgets", nothing)]
    assert "declared twice" in refused(tmp_path, service_with(routes=routes))


def test_a_literal_segment_wins_and_the_parameter_is_tried_after_it() -> None:
    router = Router()
    router.add(
        None,
        "/p",
        [
            Route("GET", "/things/detail", nothing),
            Route("GET", "/things/{id}", nothing),
            Route("GET", "/things/{id}/parts/{part}", nothing),
        ],
    )

    def found(path: str) -> Any:
        match = router.find(path)
        return match and dict(match[1])

    assert found("/p/things/detail") == {}
    assert found("/p/things/detail/") == {}
    assert found("/p/things/x") == {"id": "x"}
    assert found("/p/things/detail/parts/3") == {"id": "detail", "part": "3"}
    assert found("/p/things") is None and found("/things/x") is None and found("/p/things//") is None
    with pytest.raises(ValueError, match="parameters"):
        router.add(None, "/p", [Route("PUT", "/things/{name}", nothing)])


def test_a_statement_that_takes_too_long_is_answered_with_when_to_ask_again(tmp_path: Path) -> None:
    def for_ever(tx: Tx) -> None:
        tx.rows(text("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"))

    async def slow(request: Request) -> Reply:
        await request.read(for_ever)
        return Reply.empty()

    async def main() -> None:
        service = service_with(routes=[*SERVICE.routes, Route("GET", "/v2.0/slow", slow)])
        async with widget_app(tmp_path, service, statement_timeout_s=0.1) as app:
            client = Client(app, "admin")
            answer = await client("GET", "/slow")
            assert answer.status == 503 and answer.headers["retry-after"] == "5"
            assert "too long" in answer.json["NeutronError"]["message"]
            assert (await client("GET", "/widgets")).status == 200

    asyncio.run(main())


def test_slashes_too_many_separate_nothing_more(tmp_path: Path) -> None:
    async def main() -> None:
        async with widget_app(tmp_path) as app:
            api = Client(app, base="")
            made = await api("POST", "/widgets//v2.0///widgets/", {"widget": {"size": 1}})
            assert made.status == 201
            key = made.json["widget"]["id"]
            for path in (f"/widgets/v2.0//widgets//{key}", f"/widgets//v2.0/widgets/{key}//"):
                assert (await api("GET", path)).json["widget"]["id"] == key
            assert (await api("DELETE", f"/widgets/v2.0//widgets/{key}")).status == 204
            assert (await api("GET", "/widgets/v2.0//coffees")).status == 404

    asyncio.run(main())


def test_a_slash_that_was_escaped_is_a_character() -> None:
    def routed(raw: bytes, path: str) -> str:
        return routed_path({"path": path, "raw_path": raw})

    assert routed(b"/ports/%2F", "/ports//") == "/ports/%2F"
    assert routed(b"/ports/..%2f%C3%BC", "/ports/../\u00fc") == "/ports/..%2F\u00fc"
    assert routed(b"/ports//x%20y", "/ports//x y") == "/ports//x y"
    assert routed_path({"path": "/ports"}) == "/ports"


@pytest.mark.parametrize("path", ["/healthcheck", "/widgets/healthcheck", "/widgets//healthcheck/"])
def test_health(path: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with widget_app(tmp_path) as app:
            api = Client(app, None, base="")
            plain = await api("GET", path)
            assert (plain.status, plain.body) == (200, b"OK")
            assert plain.headers["content-type"].startswith("text/plain")
            told = await api("GET", path, headers={"Accept": "application/json"})
            assert told.json == {"detailed": False, "reasons": ["OK"]}
            page = await api("GET", path, headers={"Accept": "text/html"})
            assert page.headers["content-type"].startswith("text/html") and b"OK" in page.body
            assert (await api("HEAD", path)).status == 204
            assert (await api("POST", path)).status == 405

    asyncio.run(main())


def test_the_page_at_the_root(tmp_path: Path) -> None:
    async def main() -> None:
        async with widget_app(tmp_path) as app:
            api = Client(app, None, base="")
            page = await api("GET", "/")
            assert page.status == 200 and page.headers["content-type"].startswith("text/html")
            for link in ("http://cloud:8080/widgets/", "http://cloud:8080/openapi.json"):
                assert f'href="{link}"'.encode() in page.body
            odd = await api("GET", "/", headers={"host": '"><script>'})
            assert b"<script>" not in odd.body
            told = (await api("GET", "/", headers={"Accept": "application/json"})).json
            assert told["services"][0]["href"] == "http://cloud:8080/widgets/"
            assert told["health"] == "http://cloud:8080/healthcheck"
            described = (await api("GET", "/openapi.json")).json
            assert described["servers"] == [{"url": "/"}]
        async with widget_app(tmp_path, public_url="https://cloud.example/") as app:
            described = (await Client(app, None, base="")("GET", "/openapi.json")).json
            assert described["servers"] == [{"url": "https://cloud.example"}]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (None, HTML),
        ("", HTML),
        ("*/*", HTML),
        ("application/json", JSON),
        ("application/json, text/html", HTML),
        ("text/html;q=0.8, application/json", JSON),
        ("application/*", JSON),
        ("text/*;q=0.1, */*;q=0.5", JSON),
        ("text/html;q=0, */*", JSON),
        ("image/png", None),
        ("application/octet-stream", None),
        ("no media type", HTML),
    ],
)
def test_what_is_accepted(accept: str | None, wanted: str | None) -> None:
    assert preferred(accept, (HTML, JSON)) == wanted


def test_openapi_is_whole() -> None:
    document = openapi([SERVICE])
    schemathesis.openapi.from_dict(document).validate()
    assert document["openapi"].startswith("3.1")
    schemas = document["components"]["schemas"]
    operations: list[str] = []

    def check(value: Any) -> None:
        if isinstance(value, dict):
            if "$ref" in value:
                assert value["$ref"].removeprefix("#/components/schemas/") in schemas
            for inner in value.values():
                check(inner)
        elif isinstance(value, list):
            for inner in value:
                check(inner)

    check(document)
    for path, verbs in document["paths"].items():
        assert path.startswith("/widgets/v2.0/widgets")
        for verb, operation in verbs.items():
            operations.append(operation["operationId"])
            assert operation["responses"] and operation["summary"], (verb, path)
            assert operation["security"] == [{"token": []}]
            parameters = [(one["in"], one["name"]) for one in operation.get("parameters", ())]
            assert len(set(parameters)) == len(parameters)
            named = {name for where, name in parameters if where == "path"}
            assert named == {part.strip("{}") for part in path.split("/") if part.startswith("{")}
    assert len(set(operations)) == len(operations) == 12
    taken = schemas["widget.widget.create"]
    assert taken["required"] == ["size"] and taken["additionalProperties"] is False
    assert taken["properties"]["size"] == {"type": "integer", "minimum": 1, "maximum": 10}
    assert "id" not in taken["properties"] and "size" not in schemas["widget.widget.update"]["properties"]
    assert {"id", "tenant_id", "widget:host"} <= set(schemas["widget.widget"]["properties"])


def test_openapi_is_served_to_everybody(tmp_path: Path) -> None:
    async def main() -> None:
        async with widget_app(tmp_path) as app:
            reply = await Client(app, None, "")("GET", "/openapi.json")
            assert reply.status == 200 and reply.json == openapi([SERVICE])

    asyncio.run(main())


def test_links_are_where_the_client_is(tmp_path: Path) -> None:
    async def main() -> None:
        async def link(api: Client, **headers: str) -> str:
            named = {key.replace("_", "-"): text for key, text in headers.items()}
            reply = await api("GET", "", headers=named)
            return str(reply.json["versions"][0]["links"][0]["href"])

        async with widget_app(tmp_path) as app:
            api = Client(app, None, "/widgets")
            assert await link(api) == "http://cloud:8080/widgets/v2.0/"
            proxied = await link(api, X_Forwarded_Proto="https", X_Forwarded_Host="api.example.org")
            assert proxied == "http://cloud:8080/widgets/v2.0/", "nobody named this proxy"
        async with widget_app(tmp_path, proxies=Proxies(["unix"])) as app:
            api = Client(app, None, "/widgets")
            proxied = await link(api, X_Forwarded_Proto="https", X_Forwarded_Host="api.example.org")
            assert proxied == "https://api.example.org/widgets/v2.0/"
        async with widget_app(tmp_path, public_url="https://cloud.example.org/") as app:
            assert await link(Client(app, None, "/widgets")) == "https://cloud.example.org/widgets/v2.0/"

    asyncio.run(main())


def test_replies_are_what_the_schema_says(tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema_rs")
    document = openapi([SERVICE])

    async def main() -> None:
        async with widget_app(tmp_path) as app:
            api = Client(app)
            made = await api("POST", "/widgets", {"widget": {"size": 1, "address": "10.0.0.1"}})
            listed = await api("GET", "/widgets")
            for reply, verb in ((made, "post"), (listed, "get")):
                operation = document["paths"]["/widgets/v2.0/widgets"][verb]
                content = operation["responses"][str(reply.status)]["content"]
                schema = {**content["application/json"]["schema"], "components": document["components"]}
                jsonschema.validator_for(schema).validate(reply.json)

    asyncio.run(main())
