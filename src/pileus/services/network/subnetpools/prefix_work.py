"""Units of work that add prefixes to a pool, and take them away."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, select

from pileus.core.context import Context
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.services.network.rules import prefixes
from pileus.services.network.subnetpools.resource import SUBNETPOOL
from pileus.services.network.subnetpools.work import subnetpool_update
from pileus.services.network.subnets.tables import subnets
from pileus.store.tx import Tx

_TAKEN = select(subnets.c.cidr).where(subnets.c.subnetpool_id == bindparam("pool"))


def prefixes_add(tx: Tx, context: Context, pool: Values, added: Sequence[str]) -> list[str]:
    """Give a pool prefixes more; returns all that it has."""
    changes = Values({"prefixes": [*pool["prefixes"], *added]}, ("prefixes",))
    (after,) = subnetpool_update(tx, context, [Update(pool, changes)])
    return list(after["prefixes"])


def prefixes_remove(tx: Tx, context: Context, pool: Values, removed: Sequence[str]) -> list[str]:
    """Take prefixes from a pool of which no subnet has an address; returns those that remain."""
    if prefixes.compact(removed)[0] != pool["ip_version"]:
        return list(pool["prefixes"])
    if not prefixes.share(pool["prefixes"], removed):
        return list(pool["prefixes"])
    tx.lock(f"subnetpool:{pool['id']}")
    if prefixes.share([row.cidr for row in tx.rows(_TAKEN, {"pool": pool["id"]})], removed):
        raise prefixes.IllegalSubnetPoolPrefixUpdate(
            msg="One or more the prefixes to be removed is in use by a subnet."
        )
    left = prefixes.without(pool["ip_version"], pool["prefixes"], removed)
    (after,) = SUBNETPOOL.change(tx, context, [Update(pool, Values({"prefixes": left}))])
    tx.emit(event(context, "subnetpool.update", pool["id"], pool["project_id"]))
    return list(after["prefixes"])
