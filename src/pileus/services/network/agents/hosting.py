"""Whose routers are whose: those that agents are bound to, and those that they serve until others can."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import BindParameter, CompoundSelect, Select, select, union_all

from pileus.services.network.agents.tables import agents
from pileus.services.network.routers.tables import router_bindings, router_handovers


def routers_of(
    host: BindParameter[str] | str, agent_types: Collection[str] | BindParameter[str]
) -> list[Select[Any]]:
    """The ids of a host's routers, as one statement for each way to have them; ``hosted`` is all."""
    of_types = (
        agents.c.agent_type == agent_types
        if isinstance(agent_types, BindParameter)
        else agents.c.agent_type.in_(agent_types)
    )
    return [
        select(table.c.router_id)
        .select_from(table.join(agents, agents.c.id == table.c.agent_id))
        .where(agents.c.host == host, of_types)
        for table in (router_bindings, router_handovers)
    ]


def hosted(
    host: BindParameter[str] | str, agent_types: Collection[str] | BindParameter[str]
) -> CompoundSelect[Any]:
    """The ids of the routers that a host's agents of some types serve or make ready."""
    return union_all(*routers_of(host, agent_types))
