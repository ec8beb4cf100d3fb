"""Distributed routers: which concern a host, and so which networks do that have no device there."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, select

from pileus.services.network.ports.tables import ports
from pileus.services.network.routers.tables import router_ports, routers
from pileus.services.network.rules import device_owners

_near, _far = ports.alias("near"), ports.alias("far")
_near_ports, _far_ports = router_ports.alias("near_ports"), router_ports.alias("far_ports")


def routers_of(networks: Select[Any]) -> Select[Any]:
    """The ids of distributed routers that have an interface on one of some networks (a select of ids)."""
    return (
        select(_near_ports.c.router_id)
        .select_from(
            _near_ports.join(_near, _near.c.id == _near_ports.c.port_id).join(
                routers, routers.c.id == _near_ports.c.router_id
            )
        )
        .where(
            routers.c.distributed,
            routers.c.admin_state_up,
            _near_ports.c.port_type == device_owners.DISTRIBUTED_INTERFACE,
            _near.c.network_id.in_(networks),
        )
    )


def networks_beyond(networks: Select[Any]) -> Select[Any]:
    """The ids of all networks that those routers have an interface on."""
    return (
        select(_far.c.network_id)
        .select_from(_far_ports.join(_far, _far.c.id == _far_ports.c.port_id))
        .where(
            _far_ports.c.port_type == device_owners.DISTRIBUTED_INTERFACE,
            _far_ports.c.router_id.in_(routers_of(networks)),
        )
    )
