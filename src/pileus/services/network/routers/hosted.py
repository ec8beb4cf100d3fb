"""The routers that an agent of a host serves (``on_host``, ``of_type``), for statements about them."""

from __future__ import annotations

from sqlalchemy import bindparam, select

from pileus.services.network.agents.tables import agents
from pileus.services.network.routers.tables import router_bindings

HOSTED = (
    select(router_bindings.c.router_id)
    .select_from(router_bindings.join(agents, agents.c.id == router_bindings.c.agent_id))
    .where(agents.c.host == bindparam("on_host"), agents.c.agent_type == bindparam("of_type"))
)
