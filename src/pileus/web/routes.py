"""Routes are data: a method, a path, a handler, and what is checked before it is called.

``Route("POST", "/v2.0/ports", create_port, resource=PORT, action="create")``.
The router is a tree of dictionaries, walked a segment at a time; a literal
segment wins over ``{parameter}``, and both over ``{+rest}``, which is all segments that are left. Paths have
no trailing slash (a request's is ignored).
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from pileus.resource.declaration import Resource
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.web.reply import Reply

ANYBODY = "@"
"""The rule of a route that every caller with a token may take: the policy is not asked."""


NO_BODY = Type("no body", lambda value: value, {}, accepts_none=True)
"""The body of an operation that takes none, and the reply of one that gives none."""


class ByVersion:
    """A type that differs by microversion, made once for each."""

    def __init__(self, make: Callable[[Version], Type]) -> None:
        self.of = functools.cache(make)


@dataclass(frozen=True, slots=True)
class Action:
    """One verb of a route whose body names it: its argument, its rule, the versions that have it."""

    argument: Type | ByVersion
    handler: Callable[..., Awaitable[Reply]]
    rule: str | None = None
    versions: tuple[str, str] = ("", "")
    reply: Type | ByVersion | None = None
    status: int = 202
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """One verb on one path.

    ``action`` is create, list, get, update or delete where ``resource`` is shown
    or taken in that form (for OpenAPI); ``authenticated=False`` opens the route to
    callers without a token (a token that comes nevertheless is checked);
    ``versions`` is the window of microversions, both ends included, ``""`` for open;
    ``body`` and ``reply`` are the types of bodies that are no resource's (:class:`ByVersion` where they
    differ by microversion); ``stream`` hands the body over unread (``request.stream()``), and says
    that a reply may be one; ``status`` is that of success. ``rule`` is the policy's, ANYBODY where every
    caller with a token may. ``actions`` are the verbs of a body that names one (``{"os-start": null}``).
    ``statements`` bounds the SQL statements that a request may take, however many things it is about: tests
    of the API fail beyond it. ``query`` are parameters that are no filters of a resource (for OpenAPI).
    """

    method: str
    path: str
    handler: Callable[..., Awaitable[Reply]]
    resource: Resource | None = None
    action: str = ""
    authenticated: bool = True
    versions: tuple[str, str] = ("", "")
    body: Type | ByVersion | None = None
    reply: Type | ByVersion | None = None
    stream: bool = False
    status: int = 200
    summary: str = ""
    rule: str | None = None
    actions: Mapping[str, Action] = field(default_factory=dict)
    statements: int | None = None
    query: Mapping[str, Type] = field(default_factory=dict)


@dataclass(slots=True)
class _Node:
    literal: dict[str, _Node] = field(default_factory=dict)
    parameter: _Node | None = None
    rest: _Node | None = None
    leaf: Leaf | None = None


@dataclass(slots=True)
class Leaf:
    """The routes of one path: ``methods`` maps a verb to its routes (several where versions differ)."""

    owner: Any
    names: tuple[str, ...]
    methods: dict[str, list[Route]] = field(default_factory=dict)

    @property
    def allow(self) -> str:
        """The ``Allow`` header."""
        verbs = set(self.methods) | {"OPTIONS"}
        if "GET" in verbs:
            verbs.add("HEAD")
        return ", ".join(sorted(verbs))


class Router:
    """Finds the leaf of a path."""

    def __init__(self) -> None:
        self._root = _Node()

    def add(self, owner: Any, prefix: str, routes: Iterable[Route], *, either_spelling: bool = False) -> None:
        """Hang routes below ``prefix``; ``owner`` comes back with a match. ValueError for a doubled route.

        ``either_spelling``: collections (``/v2.0/address-groups``) are also found where the dashes of their
        names are underscores, and the other way round.
        """
        collection = len(segments(prefix)) + 1
        for route in routes:
            node = self._root
            names = []
            for place, segment in enumerate(segments(prefix + route.path)):
                if segment.startswith("{+"):
                    names.append(segment.strip("{+}"))
                    node.rest = node.rest or _Node()
                    node = node.rest
                    continue
                if segment.startswith("{"):
                    names.append(segment.strip("{}"))
                    if node.parameter is None:
                        node.parameter = _Node()
                    node = node.parameter
                    continue
                child = node.literal.setdefault(segment, _Node())
                if either_spelling and place == collection:
                    for other in (segment.replace("-", "_"), segment.replace("_", "-")):
                        node.literal.setdefault(other, child)
                node = child
            if node.leaf is None:
                node.leaf = Leaf(owner, tuple(names))
            elif node.leaf.names != tuple(names):
                raise ValueError(f"{route.path}: its parameters are called {node.leaf.names} elsewhere")
            same = node.leaf.methods.setdefault(route.method, [])
            if any(other.versions == route.versions for other in same):
                raise ValueError(f"{route.method} {prefix}{route.path} is declared twice")
            same.append(route)

    def find(self, path: str) -> tuple[Leaf, Mapping[str, str]] | None:
        """The leaf, and the values of its parameters by name."""
        values: list[str] = []
        leaf = _walk(self._root, segments(path), 0, values)
        return None if leaf is None else (leaf, dict(zip(leaf.names, values, strict=True)))


def segments(path: str) -> list[str]:
    """``/v2.0//ports/`` as ``["v2.0", "ports"]``: clients put addresses together with a slash too many."""
    return [part for part in path.split("/") if part]


def routed_path(scope: Mapping[str, Any]) -> str:
    """The path of a request for routing: a slash that was escaped separates nothing, and stays escaped."""
    raw: bytes = scope.get("raw_path") or b""
    if b"%2f" not in raw.lower():
        return str(scope["path"])
    parts = [unquote(part.decode("latin-1")) for part in raw.split(b"/")]
    return "/".join(part.replace("/", "%2F") for part in parts)


def _walk(node: _Node, parts: list[str], position: int, values: list[str]) -> Leaf | None:
    if position == len(parts):
        return node.leaf
    part = parts[position]
    child = node.literal.get(part)
    if child is not None:
        found = _walk(child, parts, position + 1, values)
        if found is not None:
            return found
    if node.parameter is not None and part:
        values.append(part)
        found = _walk(node.parameter, parts, position + 1, values)
        if found is not None:
            return found
        values.pop()
    if node.rest is not None:
        values.append("/".join(parts[position:]))
        return node.rest.leaf
    return None
