"""Implied roles: who has one role has another, too."""

from __future__ import annotations

from sqlalchemy import bindparam, select

from pileus.core.context import Context
from pileus.core.errors import Forbidden, NotFound
from pileus.resource.declaration import Values
from pileus.resource.rows import fetch
from pileus.services.identity.common.errors import RoleNotFound
from pileus.services.identity.common.generation import announce_token_change
from pileus.services.identity.roles.resource import ROLE
from pileus.services.identity.rules.roles import RoleGraph
from pileus.services.identity.standing.graph import role_graph
from pileus.services.identity.tables.roles import implied_roles
from pileus.store.tx import Tx

UNIMPLIABLE = frozenset({"admin"})
"""The roles that no other role may imply: Keystone's ``prohibited_implied_role``."""


class ImpliedRoleNotFound(NotFound):
    """One role does not imply the other (404)."""

    message = "{prior} does not imply {implied}."


class InvalidImpliedRole(Forbidden):
    """The role can't be implied (403)."""

    message = "{role_id} cannot be an implied roles."


_PAIR = (implied_roles.c.prior_role_id == bindparam("prior")) & (
    implied_roles.c.implied_role_id == bindparam("implied")
)
_IS_IMPLIED = select(implied_roles.c.prior_role_id).where(_PAIR)
_FORGET = implied_roles.delete().where(_PAIR)


def _fetch_locked(tx: Tx, key: str) -> Values:
    """The values of one, held until the transaction ends. Raises RoleNotFound."""
    found = fetch(tx, ROLE, [key], lock=True)
    if not found:
        raise RoleNotFound(id=key)
    return found[0]


def implied_roles_read(tx: Tx) -> tuple[dict[str, Values], RoleGraph]:
    """Every role by id, and the graph."""
    return {role["id"]: role for role in fetch(tx, ROLE)}, role_graph(tx)


def implied_role_create(tx: Tx, context: Context, prior: str, implied: str) -> None:
    """Have one role imply another; nothing happens if it does."""
    first, second = _fetch_locked(tx, prior), _fetch_locked(tx, implied)
    if second["name"].lower() in UNIMPLIABLE:  # nor do the rules know a role's case
        raise InvalidImpliedRole(role_id=implied)
    if first["domain_id"] is None and second["domain_id"] is not None:
        raise InvalidImpliedRole("Global role cannot imply a domain-specific role")
    if tx.first(_IS_IMPLIED, {"prior": prior, "implied": implied}) is not None:
        return
    tx.insert(implied_roles, [{"prior_role_id": prior, "implied_role_id": implied}])
    announce_token_change(tx, context, "role.update", prior, implies=implied)


def implied_role_delete(tx: Tx, context: Context, prior: str, implied: str) -> None:
    """End an implication. Raises ImpliedRoleNotFound."""
    if not tx.execute(_FORGET, {"prior": prior, "implied": implied}).rowcount:
        raise ImpliedRoleNotFound(prior=prior, implied=implied)
    announce_token_change(tx, context, "role.update", prior, implies_no_longer=implied)
