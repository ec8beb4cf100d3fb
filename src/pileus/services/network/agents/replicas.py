"""Ports of routers of high availability: all hosts of a router have them, which are bound to the active."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Select, select

from pileus.services.network.agents.tables import agents
from pileus.services.network.routers.tables import router_bindings, router_ports
from pileus.services.network.rules import device_owners

_HELD = router_ports.join(router_bindings, router_bindings.c.router_id == router_ports.c.router_id).join(
    agents, agents.c.id == router_bindings.c.agent_id
)
_IS_REPLICATED: tuple[ColumnElement[bool], ...] = (
    router_bindings.c.ha_state.is_not(None),
    router_ports.c.port_type.in_(device_owners.REPLICATED),
)


def replicas_on(host: BindParameter[str] | str) -> Select[Any]:
    """The ids of ports that a host holds ready, or is active with."""
    return select(router_ports.c.port_id).select_from(_HELD).where(*_IS_REPLICATED, agents.c.host == host)


def replicas() -> Select[Any]:
    """All such ports, each with every host that has it: ``port_id``, ``host``."""
    return select(router_ports.c.port_id, agents.c.host).select_from(_HELD).where(*_IS_REPLICATED)
