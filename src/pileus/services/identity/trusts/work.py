"""Units of work of trusts, batch first."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, select

from pileus.core.context import Context
from pileus.core.errors import Conflict
from pileus.resource.declaration import Values
from pileus.services.identity.common.errors import ProjectNotFound, RoleNotFound, UserNotFound
from pileus.services.identity.common.expiry import expiry_read
from pileus.services.identity.common.generation import announce_many, announce_token_changes
from pileus.services.identity.rules.roles import RoleGraph, closure
from pileus.services.identity.sessions.session import groups_for_now
from pileus.services.identity.sessions.trusts import trust_pedigree
from pileus.services.identity.standing.grants import roles_of
from pileus.services.identity.standing.graph import role_graph
from pileus.services.identity.standing.named_roles import roles_named
from pileus.services.identity.tables.projects import projects
from pileus.services.identity.tables.users import users
from pileus.services.identity.trusts.redelegation import redelegated_expiry, redelegation_count
from pileus.services.identity.trusts.resource import TRUST, TrustNotFound
from pileus.store.errors import Duplicate, Referenced
from pileus.store.tx import Tx


class TrustTaken(Conflict):
    """There is such a trust already (409)."""

    message = "Conflict occurred attempting to store trust - Duplicate entry found with ID {id}."


_USER = select(users.c.id).where(users.c.id == bindparam("id"))
_PROJECT = select(projects.c.id).where(projects.c.id == bindparam("id"))


def trust_create(tx: Tx, context: Context, spec: Values, parent_id: str | None, most: int) -> Values:
    """Make a trust of the caller's, or pass on that of his token (``parent_id``).

    ``most`` is the number of times that a trust may be passed on. Returns its values with the ids of its
    roles. Raises NotFound for a trustee, project or role that is not there, or that the trustor does not
    have; Refused, Invalid.
    """
    if tx.first(_USER, {"id": spec["trustee_user_id"]}) is None:
        raise UserNotFound(id=spec["trustee_user_id"])
    graph = role_graph(tx)
    role_ids = roles_named(graph, spec["roles"])
    chain = trust_pedigree(tx, parent_id) if parent_id is not None else []
    if parent_id is not None and not chain:
        raise TrustNotFound(id=parent_id)
    trustor = chain[-1].trustor_user_id if chain else spec["trustor_user_id"]
    _require_roles(tx, context, graph, trustor, spec["project_id"], role_ids)
    spec["expires_at"] = expiry_read(spec["expires_at"], context.now)
    count = redelegation_count(spec, chain, most)
    expires_at = redelegated_expiry(spec, role_ids, chain, most)
    row = Values(
        {
            **spec,
            "redelegation_count": count,
            "redelegated_trust_id": parent_id,
            "expires_at": expires_at,
            "roles": role_ids,
        }
    )
    del row["allow_redelegation"]
    try:
        TRUST.insert(tx, context, [row])
    except Duplicate:
        raise TrustTaken(id=row["id"]) from None
    except Referenced:  # the trustor, whose token it is, was deleted just now
        raise UserNotFound(id=row["trustor_user_id"]) from None
    announce_many(tx, context, "trust.create", [(row["id"], {"trustor_user_id": row["trustor_user_id"]})])
    return row


def _require_roles(
    tx: Tx,
    context: Context,
    graph: RoleGraph,
    user_id: str,
    project_id: str | None,
    role_ids: Sequence[str],
) -> None:
    """Raise RoleNotFound for a role that the user does not have in the project, himself or by another."""
    held: frozenset[str] = frozenset()
    if project_id:
        if tx.first(_PROJECT, {"id": project_id}) is None:
            raise ProjectNotFound(id=project_id)
        groups = groups_for_now(tx, user_id, context.now)
        held = frozenset(closure(graph, roles_of(tx, user_id, "project", project_id, groups)))
    for role_id in role_ids:
        if role_id not in held:
            raise RoleNotFound(id=role_id)


def trust_delete(tx: Tx, context: Context, originals: Sequence[Values]) -> None:
    """Delete trusts; the database deletes those that were made from them. Their tokens end."""
    TRUST.remove(tx, originals)
    announce_token_changes(
        tx,
        context,
        "trust.delete",
        [(one["id"], {"trustor_user_id": one["trustor_user_id"]}) for one in originals],
    )
