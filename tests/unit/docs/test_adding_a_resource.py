"""docs/adding-a-resource.md does what it says: its code is run, its requests are sent."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.unit.web.widgets import Client, authenticate

from pileus.store import Store
from pileus.store.schema import metadata

PAGE = (Path(__file__).parents[3] / "docs" / "adding-a-resource.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.S)


@pytest.fixture(scope="module")
def example() -> Iterator[dict[str, Any]]:
    """The module that the page's Python blocks are."""
    before = set(metadata.tables)
    names: dict[str, Any] = {"__name__": "example"}
    try:
        for kind, text in BLOCKS:
            if kind == "python":
                exec(compile(text, "adding-a-resource.md", "exec"), names)
        yield names
    finally:
        for name in set(metadata.tables) - before:
            metadata.remove(metadata.tables[name])


def exchanges() -> Iterator[tuple[str, str, Any, int, Any]]:
    for kind, text in BLOCKS:
        if kind == "http":
            asked, answered = (part.split("\n", 1) for part in text.strip().split("\n\n"))
            method, path = asked[0].split()
            body = json.loads(asked[1]) if len(asked) > 1 else None
            yield method, path, body, int(answered[0]), json.loads(answered[1]) if len(answered) > 1 else None


def assert_shows(got: Any, promised: Any, where: str) -> None:
    """All that the page shows is there; null on the page stands for "not shown"."""
    if isinstance(promised, dict):
        assert isinstance(got, dict), where
        for key, value in promised.items():
            if value is None:
                assert key not in got, f"{where}.{key}"
            else:
                assert_shows(got.get(key), value, f"{where}.{key}")
    elif isinstance(promised, list):
        assert len(got) == len(promised), where
        for one, other in zip(got, promised, strict=True):
            assert_shows(one, other, where)
    else:
        assert got == promised, where


def test_the_page(example: dict[str, Any], tmp_path: Path) -> None:
    async def main() -> int:
        url = f"sqlite:///{tmp_path / 'example.sqlite'}"
        databases.make_tables(url)
        store = await Store.open(url)
        api = Client(example["build"](store, authenticate), base="")
        key = "none yet"
        seen = 0
        try:
            for method, path, body, status, promised in exchanges():
                reply = await api(method, path.replace("ID", key), body)
                where = f"{method} {path}"
                assert reply.status == status, f"{where}: {reply.body!r}"
                if promised is not None:
                    if key == "none yet" and '"ID"' in json.dumps(promised):
                        key = reply.json["lockers"][0]["id"]
                    assert_shows(reply.json, json.loads(json.dumps(promised).replace("ID", key)), where)
                seen += 1
            assert (await api("GET", "/networking")).json["versions"][0]["id"] == "v2.0"
        finally:
            await store.close()
        return seen

    assert asyncio.run(main()) == 12
