"""Units of work of application credentials.

A credential never gives more than its owner has: its roles are those that he has at this moment, of those
that were chosen when it was made. It is deleted when he is disabled and when a role in the project is taken
from him, as Keystone does.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from pileus.core.context import Context
from pileus.core.errors import Conflict, Invalid
from pileus.resource import types
from pileus.resource.declaration import Values
from pileus.services.identity.application_credentials.resource import APPLICATION_CREDENTIAL, roles_load
from pileus.services.identity.common.errors import (
    RoleNotFound,
    UserNotFound,
    ValidationError,
    ValidationTimeStampError,
)
from pileus.services.identity.common.generation import announce_many, announce_token_changes
from pileus.services.identity.rules.roles import RoleGraph, closure
from pileus.services.identity.standing.graph import role_graph
from pileus.store.errors import Duplicate, Referenced
from pileus.store.tx import Tx


class ApplicationCredentialValidationError(Invalid):
    """The application credential that is asked for can't be made (400)."""

    message = "Invalid application credential: {detail}"


class ApplicationCredentialTaken(Conflict):
    """The user has an application credential of that name (409)."""

    message = (
        "Conflict occurred attempting to store application_credential - "
        "Duplicate entry found with name {name}."
    )


class ValidationExpirationError(Invalid):
    """The expiry is past (400)."""

    message = (
        "The 'expires_at' must not be before now. The server could not comply with the request since it is "
        "either malformed or otherwise incorrect. The client is assumed to be in error."
    )


def expiry_read(text: str | None, now: dt.datetime) -> dt.datetime | None:
    """The time in a request's ``expires_at``. Raises Invalid for what is no time, or is past."""
    if not text:
        return None
    try:
        moment = types.timestamp.parse(text if text.endswith("Z") else text + "Z")
    except types.BadValue:
        raise ValidationTimeStampError from None
    if moment < now:
        raise ValidationExpirationError
    return moment  # type: ignore[no-any-return]


def application_credential_create(
    tx: Tx, context: Context, specs: list[Values], held: frozenset[str]
) -> list[Values]:
    """Make some for the caller, in the project of his token. ``held`` are the ids of the token's roles.

    Each has ``secret_hash``, and the roles as they were asked for; none means all of ``held``.
    """
    graph = role_graph(tx)
    rows = []
    for spec in specs:
        chosen = _chosen_roles(graph, spec["roles"]) if spec["roles"] else held & graph.names.keys()
        if not chosen <= held:
            raise ApplicationCredentialValidationError(
                detail="Cannot create an application credential with unassigned role"
            )
        chosen_roles = [{"id": role_id} for role_id in sorted(chosen)]
        rows.append(Values({**spec, "roles": chosen_roles, "unrestricted": bool(spec["unrestricted"])}))
    try:
        APPLICATION_CREDENTIAL.insert(tx, context, rows)
    except Duplicate:
        raise ApplicationCredentialTaken(name=rows[0]["name"]) from None
    except Referenced:
        raise UserNotFound(id=rows[0]["user_id"]) from None
    made = [(row["id"], {"user_id": row["user_id"]}) for row in rows]
    announce_many(tx, context, "application_credential.create", made)
    shown = roles_load(tx, [row["id"] for row in rows])
    return [Values({**row, "roles": shown.get(row["id"], [])}) for row in rows]


def _chosen_roles(graph: RoleGraph, wanted: Sequence[Mapping[str, str]]) -> frozenset[str]:
    """The ids of the roles, with what they imply."""
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
    return frozenset(closure(graph, found))


def application_credential_delete(tx: Tx, context: Context, originals: list[Values]) -> None:
    """Delete some: their tokens end."""
    APPLICATION_CREDENTIAL.remove(tx, originals)
    gone = [(one["id"], {"user_id": one["user_id"]}) for one in originals]
    announce_token_changes(tx, context, "application_credential.delete", gone)
