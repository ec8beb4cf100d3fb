"""Standing: nobody changes a user or group that holds a role above his own, nor grants such a role.

A manager of a domain could otherwise reset the password of its administrator, or put himself into a group
that administers it, and log in as more than he is.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from pileus.services.identity.rules.roles import RoleGraph, closure

CLOUD_WIDE = frozenset({"admin", "itsec", "service"})
"""Roles whose powers reach beyond the project or domain where they are granted."""

NAMED = CLOUD_WIDE | {"manager", "member", "reader", "projectmanager", "developer", "netadmin"}
"""The roles that the rules of the services name."""


class Caller(msgspec.Struct, frozen=True):
    """The roles of a token by name (``Context.roles``), and where they count: its domain, the system, or
    (neither) its project. ``unbounded``: he administers the cloud, and nobody stands above him."""

    roles: tuple[str, ...]
    domain_id: str | None = None
    system: bool = False
    unbounded: bool = False


class Held(msgspec.Struct, frozen=True):
    """A role that somebody holds or shall get, himself or by a group, inherited or not: on a project or
    domain of ``domain_id``, or on the system (None)."""

    role_id: str
    domain_id: str | None


def is_above(graph: RoleGraph, caller: Caller, held: Held, *, named_only: bool = False) -> bool:
    """Whether what somebody holds is above the caller: a role on the system, one with powers in the whole
    cloud that the caller does not have there, or one that brings all that he has and more.

    With ``named_only`` a role on the system counts only if the services' own rules know it.
    """
    if caller.unbounded:
        return False
    own = _lowered(caller.roles)
    brings = _lowered(graph.names[role] for role in closure(graph, [held.role_id]))
    if held.domain_id is None:
        if named_only and not brings & NAMED:
            return False
        return not caller.system or not brings <= own
    wide = brings & CLOUD_WIDE
    if wide:
        return not wide <= own or caller.domain_id != held.domain_id
    return own < brings


def _lowered(names: Iterable[str]) -> frozenset[str]:
    """Names of roles in lower case, as the policy compares them."""
    return frozenset(name.lower() for name in names)
