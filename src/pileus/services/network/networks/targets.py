"""Targets of policy rules of a network's ports and subnets: its owner, and whether it is shared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, bindparam, select

from pileus.core.context import Context
from pileus.resource.declaration import Seen, Values
from pileus.services.network.common.errors import NetworkNotFound
from pileus.services.network.networks.tables import networks
from pileus.services.network.sharing.targets import (
    NETWORKS,
    caller_of,
    external_to,
    seen_external,
    seen_shared,
    shared_to,
)
from pileus.store.tx import Tx

_OWNERS = select(
    networks.c.id,
    networks.c.project_id,
    shared_to(NETWORKS, bindparam("caller")).label("shared"),
    external_to(bindparam("caller")).label("external"),
).where(networks.c.id.in_(bindparam("ids", expanding=True)))

NETWORK_COLUMNS: Mapping[str, ColumnElement[Any] | Seen] = {
    "network:project_id": networks.c.project_id,
    "network:tenant_id": networks.c.project_id,
    "shared": seen_shared(NETWORKS),
    "router:external": seen_external,
}


def network_targets(tx: Tx, context: Context, several: Sequence[Values]) -> list[Mapping[str, Any]]:
    """The values with their networks' facts beside them; NetworkNotFound where one does not exist."""
    wanted = {one["network_id"] for one in several}
    owners = {row.id: row for row in tx.rows(_OWNERS, {"ids": sorted(wanted), "caller": caller_of(context)})}
    missing = wanted - owners.keys()
    if missing:
        raise NetworkNotFound(network_id=min(missing))
    targets: list[Mapping[str, Any]] = []
    for one in several:
        owner = owners[one["network_id"]]
        targets.append(
            {
                **one,
                "tenant_id": one["project_id"],
                "network:project_id": owner.project_id,
                "network:tenant_id": owner.project_id,
                "shared": owner.shared,
                "router:external": owner.external,
            }
        )
    return targets
