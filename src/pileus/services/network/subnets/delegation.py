"""Subnets whose prefix a router outside delegates: it comes, changes and goes as their router is given it."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, select

from pileus.core.context import Context
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.resource.rows import fetch
from pileus.services.network.common.revisions import touch
from pileus.services.network.networks.tables import networks
from pileus.services.network.ports.slaac import addresses_renumber, ports_using
from pileus.services.network.rules import addresses
from pileus.services.network.subnets.resource import SUBNET
from pileus.services.network.subnets.tables import subnets
from pileus.store.tx import Tx
from pileus.wire import scopes

_NEIGHBOURS = select(subnets.c.id, subnets.c.network_id, subnets.c.cidr).where(
    subnets.c.network_id.in_(bindparam("ids", expanding=True))
)


def subnets_delegate(tx: Tx, context: Context, prefixes: Mapping[str, str]) -> None:
    """Give subnets the prefixes that were delegated (``{subnet id: prefix}``), with their gateways, pools and
    the addresses of their ports. Those of another kind, or with an overlapping one beside, are left."""
    if not prefixes:
        return
    originals = [
        subnet
        for subnet in fetch(tx, SUBNET, sorted(prefixes), lock=True)
        if subnet["subnetpool_id"] == addresses.DELEGATED and subnet["cidr"] != prefixes[subnet["id"]]
    ]
    originals = _apart(tx, originals, prefixes)
    if not originals:
        return
    updates = [Update(one, Values(_renumbered(one, prefixes[one["id"]]))) for one in originals]
    after = SUBNET.change(tx, context, updates)
    ids = [subnet["id"] for subnet in after]
    addresses_renumber(tx, context, ports_using(tx, ids), {one: prefixes[one] for one in ids})
    touch(tx, networks, {subnet["network_id"] for subnet in after}, context.now)
    tx.emit_many(
        [
            event(
                context,
                "subnet.update",
                subnet["id"],
                subnet["project_id"],
                [scopes.network(subnet["network_id"]), scopes.dhcp_network(subnet["network_id"])],
                network_id=subnet["network_id"],
                cidr=subnet["cidr"],
            )
            for subnet in after
        ]
    )


def _apart(tx: Tx, originals: Sequence[Values], prefixes: Mapping[str, str]) -> list[Values]:
    """Those whose new prefix is nobody else's on their network."""
    ids = sorted({subnet["network_id"] for subnet in originals})
    there = {row.id: row for row in tx.rows(_NEIGHBOURS, {"ids": ids})} if ids else {}
    taken: dict[str, list[tuple[str, str]]] = {}
    for row in there.values():
        cidr = prefixes.get(row.id, row.cidr) if row.id in {one["id"] for one in originals} else row.cidr
        if cidr != addresses.PROVISIONAL:
            taken.setdefault(row.network_id, []).append((row.id, cidr))

    def is_apart(subnet: Values) -> bool:
        cidr = prefixes[subnet["id"]]
        others = [one for one in taken.get(subnet["network_id"], ()) if one[0] != subnet["id"]]
        return (
            cidr == addresses.PROVISIONAL or addresses.overlapping(ipaddress.ip_network(cidr), others) is None
        )

    return [subnet for subnet in originals if is_apart(subnet)]


def _renumbered(subnet: Values, cidr: str) -> dict[str, Any]:
    """Return what changes with the prefix: the gateway and the pools keep their places in it."""
    gateway = subnet["gateway_ip"]
    return {
        "cidr": cidr,
        "gateway_ip": gateway and addresses.moved(gateway, cidr),
        "allocation_pools": [
            {end: addresses.moved(pool[end], cidr) for end in ("start", "end")}
            for pool in subnet["allocation_pools"]
        ],
    }
