"""Units of work of gateway machines: what is written down of them, where they are, what their routers say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, delete, select, update

from pileus.core.context import Context
from pileus.resource.event import event
from pileus.services.network.agents.tables import agents
from pileus.services.network.common.revisions import next_revision
from pileus.services.network.config import NetworkConfig
from pileus.services.network.gateway_machines.reading import WantedMachine
from pileus.services.network.gateway_machines.tables import gateway_machines
from pileus.services.network.routers.scheduling import routers_bind_ports
from pileus.services.network.routers.tables import router_bindings, routers
from pileus.services.network.rules.agent_types import GATEWAY_AGENT
from pileus.store.tx import Tx
from pileus.wire import scopes

BUILD, ACTIVE, ERROR = "BUILD", "ACTIVE", "ERROR"
_EVENTS = {BUILD: "router.building", ACTIVE: "router.active", ERROR: "router.failed"}
_LONGEST_REASON = 1024

_AGENT = select(agents.c.id).where(
    agents.c.host == bindparam("on_host"), agents.c.agent_type == GATEWAY_AGENT
)
_UNBIND = delete(router_bindings).where(router_bindings.c.router_id == bindparam("router"))


def machine_write(tx: Tx, context: Context, router_id: str, *, new: bool, **values: Any) -> None:
    """Write down what has changed of a gateway machine, or a new one."""
    if values.get("reason"):
        values["reason"] = values["reason"][:_LONGEST_REASON]
    if new:
        row = {"server_id": None, "failures": 0, "reason": None, "try_at": None, "ailing_since": None}
        tx.insert(gateway_machines, [{**row, **values, "router_id": router_id, "created_at": context.now}])
        return
    tx.execute(update(gateway_machines).where(gateway_machines.c.router_id == router_id).values(**values))


def machine_forget(tx: Tx, router_id: str) -> None:
    """Forget a gateway machine of which nothing is left."""
    tx.execute(delete(gateway_machines).where(gateway_machines.c.router_id == router_id))


def machine_place(
    tx: Tx, context: Context, router: WantedMachine, host: str | None, config: NetworkConfig
) -> bool:
    """Bind a router and its ports to the host of its machine (None: to none); whether the host has an agent
    that can configure it."""
    agent_id = tx.scalar(_AGENT, {"on_host": host}) if host is not None else None
    place = host if agent_id is not None else None
    if router.host != place:
        tx.execute(_UNBIND, {"router": router.router_id})
        if agent_id is not None:
            row = {"router_id": router.router_id, "binding_index": 1, "agent_id": agent_id}
            tx.insert(router_bindings, [{**row, "bound_at": context.now}])
        told = [scopes.gateways(one) for one in (router.host, place) if one is not None]
        verb = "bind" if place is not None else "unbind"
        named = {"host": place or router.host, "agent_id": agent_id}
        told.append(scopes.router(router.router_id))
        tx.emit(event(context, f"router.{verb}", router.router_id, None, told, **named))
    if any(port.host != (place or "") for port in router.ports):
        routers_bind_ports(tx, context, [router.router_id], config)
    return host is None or agent_id is not None


def machine_status(tx: Tx, context: Context, router: WantedMachine, status: str, reason: str = "") -> None:
    """Let a router say how its machine is; nothing is written where it says so already."""
    if router.status == status:
        return
    changes: Mapping[str, Any] = {"status": status, **next_revision(routers, context.now)}
    tx.execute(update(routers).where(routers.c.id == router.router_id).values(**changes))
    more = {"reason": reason} if reason else {}
    tx.emit(event(context, _EVENTS[status], router.router_id, router.project_id, **more))
