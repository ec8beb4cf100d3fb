"""Whatever JSON, bytes or query comes: an answer in the service's shape, and never a 500."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.web.widgets import WIDGET, Client, widget_app

NAMES = st.sampled_from([*WIDGET.attributes, "tenant_id", "colour"])
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.sampled_from(["1", "true", "10.0.0.1", "::1", "\x00", "ü", "a" * 300, 2**63, -1])
)
JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | NAMES, inner, max_size=3)
    ),
    max_leaves=8,
)
OBJECT = st.dictionaries(NAMES, JSON, max_size=5).map(lambda one: {"size": 1, **one})
BODIES = st.one_of(
    OBJECT.map(lambda one: {"widget": one}),
    st.lists(OBJECT | JSON, max_size=3).map(lambda several: {"widgets": several}),
    JSON,
).map(lambda body: json.dumps(body).encode())
LANGUAGE = ["limit", "marker", "sort_key", "sort_dir", "fields", "page_reverse", "tags", "not-tags"]
WORDS = ["asc", "desc", "1", "0", "true", "9" * 30, "\x00", "ID"]
QUERIES = st.lists(
    st.tuples(NAMES | st.sampled_from(LANGUAGE), st.text(max_size=10) | NAMES | st.sampled_from(WORDS)),
    max_size=5,
)
BUSY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Cloud:
    """An app that stays open over the examples."""

    def __init__(self, folder: Path) -> None:
        self.runner = asyncio.Runner()
        self.opened = widget_app(folder)
        self.api = Client(self.runner.run(self.opened.__aenter__()), "admin")
        self.key = self("POST", "/widgets", {"widget": {"size": 1}}).json["widget"]["id"]

    def __call__(self, *request: Any, **more: Any) -> Any:
        reply = self.runner.run(self.api(*request, **more))
        assert reply.status < 500, reply.body
        if reply.status >= 400:
            assert set(reply.json["NeutronError"]) == {"type", "message", "detail"}
        return reply

    def close(self) -> None:
        self.runner.run(self.opened.__aexit__(None, None, None))
        self.runner.close()


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    cloud = Cloud(tmp_path)
    yield cloud
    cloud.close()


@BUSY
@given(body=BODIES | st.binary(max_size=40))
def test_any_body(cloud: Cloud, body: bytes) -> None:
    made = cloud("POST", "/widgets", raw=body)
    if made.status == 201:
        for one in made.json.get("widgets") or [made.json["widget"]]:
            assert cloud("GET", f"/widgets/{one['id']}").json["widget"]["size"] == one["size"]
    changed = cloud("PUT", f"/widgets/{cloud.key}", raw=body)
    if changed.status == 200:
        assert cloud("GET", f"/widgets/{cloud.key}").json == changed.json
    cloud("PUT", f"/widgets/{cloud.key}/tags", raw=body)


@BUSY
@given(query=QUERIES)
def test_any_query(cloud: Cloud, query: list[tuple[str, str]]) -> None:
    text = "&".join(
        f"{name}={quote(cloud.key if value == 'ID' else value, errors='replace')}" for name, value in query
    )
    cloud("GET", f"/widgets?{text}")


@BUSY
@given(path=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="?#"), max_size=20))
def test_any_path(cloud: Cloud, path: str) -> None:
    for method in ("GET", "DELETE", "PATCH"):
        cloud(method, f"/widgets/{path}")
