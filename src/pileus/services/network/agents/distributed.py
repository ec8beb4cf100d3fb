"""Distributed routers: which concern a host, and so which networks do that have no device there."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BindParameter, Select, and_, or_, select

from pileus.services.network.floating_ips.tables import floating_ip_hosts, floating_ips
from pileus.services.network.ports.tables import ports
from pileus.services.network.routers.tables import router_ports, routers
from pileus.services.network.rules import device_owners

_near, _far = ports.alias("near"), ports.alias("far")
_near_ports, _far_ports = router_ports.alias("near_ports"), router_ports.alias("far_ports")


def routers_of(networks: Select[Any], host: BindParameter[str] | str) -> Select[Any]:
    """The ids of distributed routers that have an interface on one of some networks (a select of ids). To a
    host that still translates a floating IP of its router that is distributed, until the router's agent
    does."""
    still = (
        select(floating_ips.c.router_id)
        .select_from(
            floating_ips.join(
                floating_ip_hosts,
                and_(
                    floating_ip_hosts.c.floating_ip_id == floating_ips.c.id,
                    floating_ip_hosts.c.port_id == floating_ips.c.fixed_port_id,
                ),
            )
        )
        .where(floating_ip_hosts.c.host == host)
    )
    return (
        select(_near_ports.c.router_id)
        .select_from(
            _near_ports.join(_near, _near.c.id == _near_ports.c.port_id).join(
                routers, routers.c.id == _near_ports.c.router_id
            )
        )
        .where(
            or_(routers.c.distributed, routers.c.id.in_(still)),
            routers.c.admin_state_up,
            _near_ports.c.port_type.in_(device_owners.INTERFACES),
            _near.c.network_id.in_(networks),
        )
    )


def networks_beyond(networks: Select[Any], host: BindParameter[str] | str) -> Select[Any]:
    """The ids of all networks that those routers have an interface on."""
    return (
        select(_far.c.network_id)
        .select_from(_far_ports.join(_far, _far.c.id == _far_ports.c.port_id))
        .where(
            _far_ports.c.port_type.in_(device_owners.INTERFACES),
            _far_ports.c.router_id.in_(routers_of(networks, host)),
        )
    )
