"""The least bandwidth and packet rate that a port asks of the place where it is plugged, in Placement's words
(extensions ``port-resource-request`` and ``port-resource-request-groups``)."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Row, select

from pileus.services.network.networks.tables import networks
from pileus.services.network.ports.tables import ports
from pileus.services.network.qos.kinds import ANY, EGRESS, INGRESS, MINIMUM_BANDWIDTH, MINIMUM_PACKET_RATE
from pileus.services.network.qos.tables import rules
from pileus.services.network.qos.uses import EFFECTIVE
from pileus.store.narrowed import narrowed
from pileus.store.tx import Tx

_CLASSES = {
    (MINIMUM_BANDWIDTH.name, EGRESS): "NET_BW_EGR_KILOBIT_PER_SEC",
    (MINIMUM_BANDWIDTH.name, INGRESS): "NET_BW_IGR_KILOBIT_PER_SEC",
    (MINIMUM_PACKET_RATE.name, EGRESS): "NET_PACKET_RATE_EGR_KILOPACKET_PER_SEC",
    (MINIMUM_PACKET_RATE.name, INGRESS): "NET_PACKET_RATE_IGR_KILOPACKET_PER_SEC",
    (MINIMUM_PACKET_RATE.name, ANY): "NET_PACKET_RATE_KILOPACKET_PER_SEC",
}
_TUNNELLED = "CUSTOM_NETWORK_TUNNEL_PROVIDER"
_MINIMA = narrowed(
    select(
        ports.c.id.label("port_id"),
        ports.c.vnic_type,
        networks.c.physical_network,
        rules.c.id,
        rules.c.rule_type,
        rules.c.direction,
        rules.c.amount,
    )
    .select_from(
        ports.join(networks, networks.c.id == ports.c.network_id).join(
            rules, rules.c.qos_policy_id == EFFECTIVE
        )
    )
    .where(rules.c.rule_type.in_((MINIMUM_BANDWIDTH.name, MINIMUM_PACKET_RATE.name)))
    .order_by(ports.c.id, rules.c.rule_type, rules.c.id),
    ports.c.id,
)


def resource_requests(tx: Tx, port_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """``resource_request`` of those ports that ask for something; one statement."""
    found: dict[str, list[Row[Any]]] = {}
    for row in _MINIMA.rows(tx, {}, port_ids):
        found.setdefault(row.port_id, []).append(row)
    return {port_id: _request(port_id, several) for port_id, several in found.items()}


def _request(port_id: str, minima: Sequence[Row[Any]]) -> dict[str, Any]:
    groups = []
    for kind in (MINIMUM_BANDWIDTH.name, MINIMUM_PACKET_RATE.name):
        own = [row for row in minima if row.rule_type == kind]
        if own:
            groups.append(
                {
                    "id": _group_id(port_id, (row.id for row in own)),
                    "required": _traits(own[0]),
                    "resources": {_CLASSES[row.rule_type, row.direction]: row.amount for row in own},
                }
            )
    return {"request_groups": groups, "same_subtree": [group["id"] for group in groups]}


def _group_id(port_id: str, rule_ids: Iterable[str]) -> str:
    """The same for the same rules, whoever computes it."""
    return str(uuid.uuid5(uuid.UUID(port_id), ":".join(rule_ids)))


def _traits(row: Row[Any]) -> list[str]:
    by_kind = [_trait(f"VNIC_TYPE_{row.vnic_type}")]
    if row.rule_type == MINIMUM_PACKET_RATE.name:
        return by_kind
    physical = row.physical_network
    return [_trait(f"PHYSNET_{physical}") if physical else _TUNNELLED, *by_kind]


def _trait(name: str) -> str:
    """A trait of one's own, with the characters that Placement allows."""
    return "CUSTOM_" + re.sub("[^0-9A-Za-z]+", "_", name).upper()
