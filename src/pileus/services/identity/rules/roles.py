"""The roles that follow from those granted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec


class RoleRef(msgspec.Struct, frozen=True):
    """A role as tokens name it."""

    id: str
    name: str


class RoleGraph(msgspec.Struct, frozen=True):
    """All roles by id, and which role implies which: ``implications[prior]`` are the implied ids.

    ``domain_specific`` are the roles of a domain: they bring the roles that they imply and are
    themselves not in tokens (Keystone's "domain specific roles").
    """

    names: Mapping[str, str]
    domain_specific: frozenset[str]
    implications: Mapping[str, tuple[str, ...]]


def closure(graph: RoleGraph, granted: Iterable[str]) -> dict[str, str | None]:
    """Every role that the granted ones amount to, with the role that brought it (None for those granted)."""
    found: dict[str, str | None] = {role: None for role in granted if role in graph.names}
    waiting = list(found)
    while waiting:
        prior = waiting.pop()
        for implied in graph.implications.get(prior, ()):
            if implied not in found and implied in graph.names:
                found[implied] = prior
                waiting.append(implied)
    return found


def effective(graph: RoleGraph, granted: Iterable[str]) -> tuple[RoleRef, ...]:
    """The roles of a token, by name."""
    return tuple(
        sorted(
            (
                RoleRef(role, graph.names[role])
                for role in closure(graph, granted)
                if role not in graph.domain_specific
            ),
            key=lambda role: role.name,
        )
    )
