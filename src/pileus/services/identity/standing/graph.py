"""The roles of the cloud as a graph."""

from __future__ import annotations

from sqlalchemy import select

from pileus.services.identity.rules.roles import RoleGraph
from pileus.services.identity.tables.roles import implied_roles, roles
from pileus.store.tx import Tx

_ALL = select(roles.c.id, roles.c.name, roles.c.domain_id)
_IMPLICATIONS = select(implied_roles).order_by(implied_roles.c.prior_role_id, implied_roles.c.implied_role_id)


def role_graph(tx: Tx) -> RoleGraph:
    """All roles and what they imply, in two statements."""
    rows = tx.rows(_ALL)
    implications: dict[str, tuple[str, ...]] = {}
    for row in tx.rows(_IMPLICATIONS):
        implications[row.prior_role_id] = (*implications.get(row.prior_role_id, ()), row.implied_role_id)
    return RoleGraph(
        {row.id: row.name for row in rows},
        frozenset(row.id for row in rows if row.domain_id is not None),
        implications,
    )
