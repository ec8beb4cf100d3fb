"""Where DHCP agents of a network have to be: in a routed network each segment needs agents of its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import bindparam, select

from pileus.services.network.networks.host_segments import host_segments, segments_of
from pileus.services.network.subnets.tables import subnets
from pileus.store.tx import Tx

Place = frozenset[str] | None
"""The hosts that a segment's guests reach; None: all."""

ROUTED = (
    select(subnets.c.network_id, subnets.c.segment_id)
    .where(
        subnets.c.network_id.in_(bindparam("ids", expanding=True)),
        subnets.c.enable_dhcp,
        subnets.c.segment_id.is_not(None),
    )
    .distinct()
    .order_by(subnets.c.segment_id)
)


def places_of(tx: Tx, network_ids: Sequence[str], hosts: Collection[str]) -> Mapping[str, list[Place]]:
    """Read the places of networks by their ids; one statement where none is routed, three otherwise."""
    with_dhcp: dict[str, list[str]] = {}
    for row in tx.rows(ROUTED, {"ids": list(network_ids)}):
        with_dhcp.setdefault(row.network_id, []).append(row.segment_id)
    found: dict[str, list[Place]] = {network_id: [None] for network_id in network_ids}
    near = host_segments(tx, segments_of(tx, with_dhcp), hosts) if with_dhcp else {}
    for network_id, several in with_dhcp.items():
        found[network_id] = [
            frozenset(
                host for (of, host), segment in near.items() if of == network_id and segment.id == segment_id
            )
            for segment_id in several
        ]
    return found
