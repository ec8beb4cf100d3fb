"""Each query parameter that the API reference documents is obeyed, or refused with 400; none is ignored.

A service has a module ``SERVICE_table.py`` here with these names::

    OPERATIONS = {             # by the path of the route
        "/v2/images": {        # by parameter: examples of requests
            "limit": "limit=1",
            "sort_dir": Example("sort_dir=asc", without="sort_dir=desc"),
            "marker": "marker={second}",             # {names} are facts of the scene
        },
        "/v2/images/{image_id}/members": {},         # a list without parameters
    }
    NO_LISTS = {"/v2/info/usage"}                    # one document each
    scene(folder)              # a context manager: an app with things in it, as a Scene

An example changes the answer: it differs from that of the same request without it, or is a 400.
Things in a scene differ in whatever a parameter asks for, so that it can.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from pileus.web.service import Service


class Example(NamedTuple):
    """A query, the query that its answer is compared with, and who asks (a person of the scene)."""

    query: str
    without: str = ""
    person: str = ""
    version: str = ""
    path: str = ""
    """In the place of the operation's own, where its parameters have other values."""


class Scene(NamedTuple):
    """A running service with things in it.

    ``ask(person, version, path)`` answers with a status and JSON; ``facts`` fill the ``{names}``
    of paths and queries.
    """

    service: Service
    ask: Callable[[str, str, str], Awaitable[tuple[int, Any]]]
    facts: Mapping[str, str]


Parameters = Mapping[str, str | Example]
Operations = Mapping[str, Parameters]


class Table(Protocol):
    """A module of this folder."""

    OPERATIONS: Operations
    NO_LISTS: set[str]

    def scene(self, folder: Path) -> contextlib.AbstractAsyncContextManager[Scene]: ...


def lists_of(service: Service) -> set[str]:
    """The paths that may be lists: GET, no parameter at the end, and not taken out of the API."""
    return {
        route.path
        for route in service.routes
        if route.method == "GET" and route.path and not route.path.endswith("}") and route.status != 410
    }


async def faults(table: Table, scene: Scene) -> list[str]:
    """The examples that changed nothing, each as a line."""
    found = []
    for path, parameters in table.OPERATIONS.items():
        for name, example in parameters.items():
            one = Example(example) if isinstance(example, str) else example
            fault = await _fault(scene, path, one)
            if fault:
                found.append(f"{path} {name}: {fault}")
    return found


async def _fault(scene: Scene, path: str, example: Example) -> str:
    target = (example.path or path).format_map(scene.facts)
    answers = []
    for query in (example.without, example.query):
        asked = target + (f"?{query.format_map(scene.facts)}" if query else "")
        answers.append((asked, *await scene.ask(example.person, example.version, asked)))
    (plain, plain_status, before), (asked, status, after) = answers
    if plain_status != 200:
        return f"GET {plain} -> {plain_status} {before}"
    if status == 400:
        return ""
    if status != 200:
        return f"GET {asked} -> {status} {after}"
    return "" if _content(after) != _content(before) else f"GET {asked} answers as GET {plain} does"


def _content(document: Any) -> Any:
    """A list without its links, which repeat the query."""
    if isinstance(document, Mapping):
        return {
            key: value
            for key, value in document.items()
            if key not in ("links", "first", "next") and not key.endswith("_links")
        }
    return document
