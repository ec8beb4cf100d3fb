"""Networks that a caller sees, for nouns that are made on one."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Row, bindparam, select

from pileus.core.context import Context
from pileus.services.network.networks.tables import networks
from pileus.store.tx import Tx

_NETWORKS = select(
    networks.c.id,
    networks.c.project_id,
    networks.c.shared,
    networks.c.external,
    networks.c.name,
    networks.c.qos_policy_id,
).where(networks.c.id.in_(bindparam("ids", expanding=True)))


def visible_networks(tx: Tx, context: Context, network_ids: Collection[str]) -> dict[str, Row[Any]]:
    """Those of the networks that the caller may see, by id: his own, shared and external ones."""
    rows = tx.rows(_NETWORKS, {"ids": sorted(network_ids)}) if network_ids else []
    return {
        row.id: row
        for row in rows
        if context.is_admin or row.shared or row.external or row.project_id == context.project_id
    }
