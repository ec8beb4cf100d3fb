"""What the rows of the network API's lists are made of."""

from __future__ import annotations

from typing import Any

from tests.api.network.cloud import Cloud
from tests.api.reference.runner import Example, Parameters

SORT = "sort_dir=asc&sort_key="


def paged(*keys: str, marker: str = "", key: str = "id") -> dict[str, str | Example]:
    """What each list can do; ``keys`` are the documented keys of its order."""
    asked: dict[str, str | Example] = {
        f"sort_key={name}": Example(f"{SORT}{name}&limit=1", without=f"sort_dir=desc&sort_key={name}&limit=1")
        for name in (*keys, key)
    }
    asked["limit"] = "limit=1"
    asked["fields"] = f"fields={key}"
    if marker:
        asked["marker"] = Example(f"{SORT}{key}&marker={{{marker}}}", without=f"{SORT}{key}")
    return asked


def tags() -> dict[str, str | Example]:
    """The words that things are found by: of two things, one is blue."""
    return {
        "tags": "tags=blue",
        "tags-any": "tags-any=blue,green",
        "not-tags": "not-tags=blue",
        "not-tags-any": "not-tags-any=blue",
    }


def by(person: str, parameters: Parameters, path: str = "") -> Parameters:
    """The examples as a person asks them, at a path."""
    found: dict[str, str | Example] = {}
    for name, one in parameters.items():
        example = Example(one) if isinstance(one, str) else one
        found[name] = example._replace(person=example.person or person, path=example.path or path)
    return found


async def posted(person: Cloud, path: str, kind: str, **values: Any) -> dict[str, Any]:
    """Make one of ``kind`` where its path is not its name; its view."""
    answer = await person("POST", path, {kind: values})
    assert answer.status == 201, answer
    made: dict[str, Any] = answer.json[kind]
    return made
