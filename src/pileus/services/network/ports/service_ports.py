"""Ports that the network made for itself, by its own records, whatever the ports say of themselves."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import BindParameter, bindparam, literal, select

from pileus.services.network.dhcp.tables import dhcp_ports
from pileus.services.network.floating_ips.tables import floating_ip_gateways, floating_ips
from pileus.services.network.routers.tables import router_ports
from pileus.services.network.rules import device_owners
from pileus.store.tx import Tx

_IDS: BindParameter[str] = bindparam("ids", expanding=True)
_KINDS = (
    select(router_ports.c.port_id, router_ports.c.port_type.label("kind"))
    .where(router_ports.c.port_id.in_(_IDS))
    .union_all(
        select(dhcp_ports.c.port_id, literal(device_owners.DHCP)).where(dhcp_ports.c.port_id.in_(_IDS)),
        select(floating_ip_gateways.c.port_id, literal(device_owners.AGENT_GATEWAY)).where(
            floating_ip_gateways.c.port_id.in_(_IDS)
        ),
        select(floating_ips.c.floating_port_id, literal(device_owners.FLOATING_IP)).where(
            floating_ips.c.floating_port_id.in_(_IDS)
        ),
    )
)


def kinds_of(tx: Tx, port_ids: Collection[str]) -> dict[str, str]:
    """Tell what the network's own among these ports are for (``device_owners``); one statement."""
    if not port_ids:
        return {}
    return {row.port_id: row.kind for row in tx.rows(_KINDS, {"ids": sorted(port_ids)})}
