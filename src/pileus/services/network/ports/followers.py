"""Followers of networks that are deleted and of switch agents that have restarted."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import and_, bindparam, or_, select, update

from pileus.core.context import Context
from pileus.resource.event import event
from pileus.resource.rows import fetch
from pileus.services.network.config import AgentSeen, NetworkConfig
from pileus.services.network.floating_ips.tables import floating_ips
from pileus.services.network.networks.work import network_in_use
from pileus.services.network.ports.binding import bind_port
from pileus.services.network.ports.delete import delete_ports
from pileus.services.network.ports.facts import agents_by_host, network_facts
from pileus.services.network.ports.resource import PORT
from pileus.services.network.ports.tables import ports
from pileus.services.network.rules import device_owners
from pileus.services.network.rules.agent_types import SWITCH_AGENTS
from pileus.store.tx import Tx
from pileus.wire import scopes

# Ports that go with their network: those of its own services, and of floating IPs that lead nowhere.
_GOING = or_(
    ports.c.device_owner.in_(device_owners.AUTO_DELETED),
    and_(
        ports.c.device_owner == device_owners.FLOATING_IP,
        ports.c.id.in_(select(floating_ips.c.floating_port_id).where(floating_ips.c.fixed_port_id.is_(None))),
    ),
)
_STAYING = (
    select(ports.c.network_id, ports.c.id)
    .where(ports.c.network_id.in_(bindparam("ids", expanding=True)), ~_GOING)
    .limit(1)
)
_UNBOUND = select(ports.c.id, ports.c.project_id, ports.c.network_id, ports.c.host, ports.c.vnic_type).where(
    ports.c.host == bindparam("on_host"), ports.c.vif_type == "binding_failed"
)
_BIND = (
    update(ports)
    .where(ports.c.id == bindparam("key"))
    .values(vif_type=bindparam("kind"), vif_details=bindparam("details"))
)


def ports_leave_networks(tx: Tx, context: Context, network_ids: Sequence[str], config: NetworkConfig) -> None:
    """Delete the ports that go with their networks; NetworkInUse where there is another."""
    used = tx.first(_STAYING, {"ids": list(network_ids)})
    if used is not None:
        raise network_in_use(used.network_id)
    going = fetch(tx, PORT, where=[ports.c.network_id.in_(network_ids), _GOING], lock=True)
    delete_ports(tx, context, going, config)


def ports_bind_waiting(tx: Tx, context: Context, agent: AgentSeen, config: NetworkConfig) -> None:
    """Bind what could not be bound while the host's switch agent was away."""
    if agent.agent_type not in SWITCH_AGENTS or not agent.restarted:
        return
    waiting = tx.rows(_UNBOUND, {"on_host": agent.host})
    if not waiting:
        return
    facts = network_facts(tx, {row.network_id for row in waiting})
    asked = [
        {"network_id": row.network_id, "binding:host_id": row.host, "binding:vnic_type": row.vnic_type}
        for row in waiting
    ]
    agents = agents_by_host(tx, context, [agent.host], config)
    outcomes = [bind_port(one, facts, agents) for one in asked]
    bound = [(row, outcome) for row, outcome in zip(waiting, outcomes, strict=True) if not outcome.reason]
    if bound:
        tx.execute(
            _BIND,
            [
                {"key": row.id, "kind": outcome.vif_type, "details": outcome.vif_details}
                for row, outcome in bound
            ],
        )
        tx.emit_many(
            [
                event(
                    context,
                    "port.update",
                    row.id,
                    row.project_id,
                    [scopes.host(agent.host), scopes.network(row.network_id)],
                    host=agent.host,
                    network_id=row.network_id,
                    changed=["binding:vif_type"],
                )
                for row, _ in bound
            ]
        )
