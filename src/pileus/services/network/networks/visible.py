"""Networks that a caller sees, for nouns that are made on one."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Row, bindparam, or_, select

from pileus.core.context import Context
from pileus.services.network.networks.tables import networks
from pileus.services.network.sharing.targets import NETWORKS, caller_of, external_to, shared_to
from pileus.store.tx import Tx

_NETWORKS = select(
    networks.c.id,
    networks.c.project_id,
    or_(shared_to(NETWORKS, bindparam("caller")), external_to(bindparam("caller"))).label("granted"),
    networks.c.external,
    networks.c.name,
    networks.c.qos_policy_id,
).where(networks.c.id.in_(bindparam("ids", expanding=True)))


def visible_networks(tx: Tx, context: Context, network_ids: Collection[str]) -> dict[str, Row[Any]]:
    """Those of the networks that the caller may see, by id: his own, and those that are shared with him or
    lead outside for him."""
    if not network_ids:
        return {}
    rows = tx.rows(_NETWORKS, {"ids": sorted(network_ids), "caller": caller_of(context)})
    return {
        row.id: row for row in rows if context.is_admin or row.granted or row.project_id == context.project_id
    }
