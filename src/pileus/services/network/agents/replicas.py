"""Ports that several hosts have: of routers of high availability, which are bound to the active host, and of
routers on their way from one agent to another, which are bound to the one that serves them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BindParameter, CompoundSelect, Select, select, union_all

from pileus.services.network.agents.tables import agents
from pileus.services.network.routers.tables import router_bindings, router_handovers, router_ports
from pileus.services.network.rules import device_owners

_BOUND = router_ports.join(router_bindings, router_bindings.c.router_id == router_ports.c.router_id)
_MOVING = _BOUND.join(router_handovers, router_handovers.c.router_id == router_ports.c.router_id)


def replicas_on(host: BindParameter[str] | str) -> CompoundSelect[Any]:
    """The ids of ports that a host holds ready, or is active with."""
    moving = (
        select(router_ports.c.port_id)
        .select_from(_MOVING.join(agents, agents.c.id == table.c.agent_id))
        .where(
            router_bindings.c.ha_state.is_(None),
            router_ports.c.port_type.not_in(device_owners.OF_ONE_HOST),
            agents.c.host == host,
        )
        for table in (router_bindings, router_handovers)
    )
    return union_all(_held_ready(router_ports.c.port_id).where(agents.c.host == host), *moving)


def replicas() -> Select[Any]:
    """Those that others send to on every host that has them, each with its hosts: ``port_id``, ``host``."""
    return _held_ready(router_ports.c.port_id, agents.c.host)


def _held_ready(*columns: Any) -> Select[Any]:
    return (
        select(*columns)
        .select_from(_BOUND.join(agents, agents.c.id == router_bindings.c.agent_id))
        .where(
            router_bindings.c.ha_state.is_not(None), router_ports.c.port_type.in_(device_owners.REPLICATED)
        )
    )
