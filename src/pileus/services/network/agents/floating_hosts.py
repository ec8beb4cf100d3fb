"""Floating IPs that the host of their port translates: which those are, as parts of statements.

The port is on a network of one segment, of a distributed router; its host has a gateway to the external
network (``floating_ip_gateways``); and no policy limits the floating IP, since limits are the agent's that
has the rest of the router.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, and_, exists, select

from pileus.services.network.floating_ips.tables import (
    floating_ip_gateways,
    floating_ip_hosts,
    floating_ips,
)
from pileus.services.network.networks.tables import networks
from pileus.services.network.ports.tables import ports
from pileus.services.network.routers.tables import router_ports, routers
from pileus.services.network.rules import device_owners
from pileus.services.network.rules.binding import BINDING_FAILED, UNBOUND
from pileus.services.network.rules.segments import TYPES

fixed, inner, outer = ports.alias("fixed"), networks.alias("inner_network"), networks.alias("outer_network")


_interface, _of_router = ports.alias("interface"), router_ports.alias("of_router")
_ATTACHED = exists(
    select(_interface.c.id)
    .select_from(_of_router.join(_interface, _interface.c.id == _of_router.c.port_id))
    .where(
        _of_router.c.router_id == floating_ips.c.router_id,
        _of_router.c.port_type == device_owners.DISTRIBUTED_INTERFACE,
        _interface.c.network_id == fixed.c.network_id,
    )
    .correlate(floating_ips, fixed)
)
"""The router is attached to the port's network. Where it was named although it is not, packets have to go
through other routers, which the central one alone reaches."""


def on_hosts() -> FromClause:
    """Floating IPs with the port that they lead to and both networks."""
    return (
        floating_ips.join(routers, routers.c.id == floating_ips.c.router_id)
        .join(fixed, fixed.c.id == floating_ips.c.fixed_port_id)
        .join(inner, inner.c.id == fixed.c.network_id)
        .join(outer, outer.c.id == floating_ips.c.floating_network_id)
    )


def may_be_translated() -> ColumnElement[bool]:
    """Whether a host translates such a floating IP, if it has a gateway."""
    return and_(
        routers.c.distributed,
        routers.c.admin_state_up,
        fixed.c.host != "",
        fixed.c.vif_type.not_in((UNBOUND, BINDING_FAILED)),
        inner.c.network_type.in_(TYPES),
        floating_ips.c.qos_policy_id.is_(None),
        outer.c.qos_policy_id.is_(None),
        _ATTACHED,
    )


def with_gateways(source: FromClause) -> FromClause:
    """``on_hosts`` with the gateway of the port's host."""
    return source.join(
        floating_ip_gateways,
        and_(
            floating_ip_gateways.c.host == fixed.c.host,
            floating_ip_gateways.c.network_id == floating_ips.c.floating_network_id,
        ),
    )


IN_FORCE = and_(
    floating_ip_hosts.c.floating_ip_id == floating_ips.c.id,
    floating_ip_hosts.c.port_id == floating_ips.c.fixed_port_id,
    floating_ip_hosts.c.fixed_ip_address == floating_ips.c.fixed_ip_address,
)
"""A host has said that it translates a floating IP as it is now."""


def translated(*more: ColumnElement[bool]) -> Select[Any]:
    """The ids of the floating IPs that a host translates, so that nobody else need."""
    source = with_gateways(on_hosts()).join(
        floating_ip_hosts, and_(IN_FORCE, floating_ip_hosts.c.host == fixed.c.host)
    )
    return select(floating_ips.c.id).select_from(source).where(may_be_translated(), *more)
