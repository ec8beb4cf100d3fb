"""Roles that a request names, each by its id or by its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pileus.resource import types
from pileus.services.identity.common.errors import RoleNotFound, ValidationError
from pileus.services.identity.rules.roles import RoleGraph


def _parse_role(value: Any) -> dict[str, str]:
    parsed: dict[str, str] = _ROLE_KEYS.parse(value)
    if len(parsed) != 1:
        few = "does not have enough properties" if not parsed else "has too many properties"
        raise types.BadValue(f"{value!r} {few}", value=value)
    return parsed


_ROLE_KEYS = types.dict_of({"id": types.string(64, minimum=1), "name": types.string(255, minimum=1)})
NAMED_ROLE = types.Type("role", _parse_role, {**_ROLE_KEYS.schema, "minProperties": 1, "maxProperties": 1})


def roles_named(graph: RoleGraph, wanted: Sequence[Mapping[str, str]]) -> list[str]:
    """The ids of the roles. Raises RoleNotFound, and ValidationError for a name that several have.

    A global role goes before those of domains that have its name.
    """
    by_name: dict[str, list[str]] = {}
    for role_id, name in graph.names.items():
        by_name.setdefault(name, []).append(role_id)
    found = []
    for role in wanted:
        if "id" in role:
            if role["id"] not in graph.names:
                raise RoleNotFound(id=role["id"])
            found.append(role["id"])
            continue
        same = by_name.get(role["name"], [])
        plain = [role_id for role_id in same if role_id not in graph.domain_specific] or same
        if not plain:
            raise RoleNotFound(id=role["name"])
        if len(plain) > 1:
            raise ValidationError(f"The role name {role['name']} is not unique; use its id.")
        found.append(plain[0])
    return list(dict.fromkeys(found))
