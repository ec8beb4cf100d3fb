"""Units of work of application credentials.

A credential never gives more than its owner has: its roles are those that he has at this moment, of those
that were chosen when it was made. It is deleted when he is disabled and when a role in the project is taken
from him, as Keystone does.
"""

from __future__ import annotations

from pileus.core.context import Context
from pileus.core.errors import Conflict, Invalid
from pileus.resource.declaration import Values
from pileus.services.identity.application_credentials.access_rules import (
    access_rules_choose,
    access_rules_hold,
    access_rules_load,
)
from pileus.services.identity.application_credentials.resource import APPLICATION_CREDENTIAL, roles_load
from pileus.services.identity.common.errors import UserNotFound
from pileus.services.identity.common.generation import announce_many, announce_token_changes
from pileus.services.identity.rules.roles import closure
from pileus.services.identity.standing.graph import role_graph
from pileus.services.identity.standing.named_roles import roles_named
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


def application_credential_create(
    tx: Tx, context: Context, specs: list[Values], held: frozenset[str]
) -> list[Values]:
    """Make some for the caller, in the project of his token. ``held`` are the ids of the token's roles.

    Each has ``secret_hash``, and the roles as they were asked for; none means all of ``held``.
    """
    for user_id in sorted({spec["user_id"] for spec in specs if spec["access_rules"]}):
        access_rules_hold(tx, user_id)
    graph = role_graph(tx)
    rows = []
    for spec in specs:
        named = closure(graph, roles_named(graph, spec["roles"])).keys()
        chosen = named if spec["roles"] else held & graph.names.keys()
        if not chosen <= held:
            raise ApplicationCredentialValidationError(
                detail="Cannot create an application credential with unassigned role"
            )
        chosen_roles = [{"id": role_id} for role_id in sorted(chosen)]
        rules = access_rules_choose(tx, spec["user_id"], spec["access_rules"]) if spec["access_rules"] else []
        unrestricted = bool(spec["unrestricted"])
        rows.append(
            Values({**spec, "roles": chosen_roles, "unrestricted": unrestricted, "access_rules": rules})
        )
    try:
        APPLICATION_CREDENTIAL.insert(tx, context, rows)
    except Duplicate:
        raise ApplicationCredentialTaken(name=rows[0]["name"]) from None
    except Referenced:
        raise UserNotFound(id=rows[0]["user_id"]) from None
    made = [(row["id"], {"user_id": row["user_id"]}) for row in rows]
    announce_many(tx, context, "application_credential.create", made)
    keys = [row["id"] for row in rows]
    shown, rules_of = roles_load(tx, keys), access_rules_load(tx, keys)
    return [
        Values({**row, "roles": shown.get(row["id"], []), "access_rules": rules_of.get(row["id"])})
        for row in rows
    ]


def application_credential_delete(tx: Tx, context: Context, originals: list[Values]) -> None:
    """Delete some: their tokens end."""
    APPLICATION_CREDENTIAL.remove(tx, originals)
    gone = [(one["id"], {"user_id": one["user_id"]}) for one in originals]
    announce_token_changes(tx, context, "application_credential.delete", gone)
