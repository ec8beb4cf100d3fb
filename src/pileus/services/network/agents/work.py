"""Units of work of agents: reports make them, administrators change and delete them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import bindparam, func, select, update

from pileus.core.addresses import NotAnAddress, parse_address
from pileus.core.context import Context
from pileus.core.errors import Invalid
from pileus.core.times import parse_time
from pileus.resource.declaration import Resource, Update, Values
from pileus.services.network.agents.resource import FORMAT
from pileus.services.network.agents.tables import agents
from pileus.services.network.common.config import NetworkConfig
from pileus.services.network.common.events import event
from pileus.services.network.dhcp.ports import dhcp_ports_sync, networks_lacking_port
from pileus.services.network.dhcp.scheduling import (
    networks_leave_dead,
    networks_pick_up,
    networks_schedule,
    networks_served_by,
)
from pileus.services.network.ports.binding import bind_ports, network_facts
from pileus.services.network.ports.tables import ports
from pileus.services.network.routers.scheduling import (
    routers_leave_dead,
    routers_pick_up,
    routers_place,
    routers_schedule,
    routers_served_by,
)
from pileus.services.network.rules.agent_types import DHCP_AGENT, L3_AGENT, SWITCH_AGENTS
from pileus.services.network.rules.segments import TUNNELS
from pileus.services.network.serving import served_scopes
from pileus.store.errors import Duplicate
from pileus.store.events import newest_position
from pileus.store.tx import Tx
from pileus.wire import scopes
from pileus.wire.agents import AgentReply, AgentReport


class BadReport(Invalid):
    message = "The report of {host} can't be read: {reason}."


_LONGEST_CONFIGURATIONS = 1 << 16
_MOST_AGENTS = 32
"""Of one host, whose token lets it name them as it likes."""
_KNOWN = select(
    agents.c.id,
    agents.c.admin_state_up,
    agents.c.tunneling_ip,
    agents.c.tunnel_types,
    agents.c.configurations,
    agents.c.heartbeat_timestamp,
).where(agents.c.host == bindparam("on_host"), agents.c.agent_type == bindparam("of_type"))
_COUNT = select(func.count()).select_from(agents).where(agents.c.host == bindparam("on_host"))
_SAME_ENDPOINT = select(agents.c.host).where(
    agents.c.tunneling_ip == bindparam("address"),
    agents.c.host != bindparam("on_host"),
    agents.c.heartbeat_timestamp >= bindparam("since"),
)
_HEARTBEAT = (
    update(agents)
    .where(agents.c.id == bindparam("key"))
    .values(
        heartbeat_timestamp=bindparam("now"),
        configurations=bindparam("configurations"),
        resources_synced=bindparam("resources_synced"),
    )
)
_RESTART = (
    update(agents)
    .where(agents.c.id == bindparam("key"))
    .values(
        heartbeat_timestamp=bindparam("now"),
        configurations=bindparam("configurations"),
        resources_synced=bindparam("resources_synced"),
        binary=bindparam("binary"),
        topic=bindparam("topic"),
        availability_zone=bindparam("availability_zone"),
        started_at=bindparam("started_at"),
        tunneling_ip=bindparam("tunneling_ip"),
        tunnel_types=bindparam("tunnel_types"),
    )
)
_UNPLUGGED = select(
    ports.c.id, ports.c.project_id, ports.c.network_id, ports.c.host, ports.c.vnic_type
).where(ports.c.host == bindparam("on_host"), ports.c.vif_type == "binding_failed")
_PLUG = (
    update(ports)
    .where(ports.c.id == bindparam("key"))
    .values(vif_type=bindparam("kind"), vif_details=bindparam("details"))
)


def agent_report(
    tx: Tx, context: Context, report: AgentReport, agent_id: str, *, config: NetworkConfig
) -> AgentReply:
    """Take a heartbeat; three statements for an agent that is known and unchanged, one more for an
    agent that is given work, which looks for what dead ones leave, one for DHCP's, which looks for the ports
    that it lacks, and one for each kind of scope that it names: what it does not serve has no part in the
    position.

    ``agent_id`` is the id that a new agent gets. Its answer's position is the newest of anything that
    concerns the host or that the report named. A changed tunnel endpoint wakes the whole mesh.
    """
    started_at = _moment(report)
    facts = _facts(report)
    where = {"on_host": report.host, "of_type": report.agent_type}
    known = tx.first(_KNOWN, where)
    if facts["tunneling_ip"] is not None and (known is None or known.tunneling_ip != facts["tunneling_ip"]):
        _check_endpoint(tx, report.host, facts["tunneling_ip"], config.alive_since(context.now))
    if known is None:
        if tx.rows(_COUNT, {"on_host": report.host})[0][0] >= _MOST_AGENTS:
            raise BadReport(host=report.host, reason=f"it has {_MOST_AGENTS} agents already")
        try:
            with tx.savepoint():
                tx.insert(agents, [_new(context, report, agent_id, started_at)])
            admin_state_up = True
        except Duplicate:
            # The same agent's report came twice at the same time; the other one made it.
            known = tx.first(_KNOWN, where)
    if known is not None:
        agent_id, admin_state_up = known.id, known.admin_state_up
        changes = {
            "key": agent_id,
            "now": context.now,
            "configurations": report.configurations,
            "resources_synced": report.resources_synced,
        }
        moved = (known.tunneling_ip, list(known.tunnel_types)) != (
            facts["tunneling_ip"],
            facts["tunnel_types"],
        )
        if report.start or moved:
            tx.execute(
                _RESTART,
                {
                    **changes,
                    **facts,
                    "binary": report.binary,
                    "topic": report.topic,
                    "availability_zone": report.availability_zone,
                    "started_at": started_at,
                },
            )
        else:
            tx.execute(_HEARTBEAT, changes)
    else:
        moved = facts["tunneling_ip"] is not None
        tx.emit(
            event(context, "agent.create", agent_id, None, host=report.host, agent_type=report.agent_type)
        )
    if moved:
        tx.emit(event(context, "agent.tunnel", agent_id, None, [scopes.tunnels()], host=report.host, **facts))
    if report.agent_type in SWITCH_AGENTS and (report.start or known is None):
        _plug_again(tx, context, report.host, config)
    appeared = report.start or known is None or known.heartbeat_timestamp < config.alive_since(context.now)
    if admin_state_up:
        find_work(tx, context, report.agent_type, config, appeared=appeared)
    if report.agent_type == DHCP_AGENT:
        served = (
            networks_served_by(tx, [agent_id])
            if appeared
            else networks_lacking_port(tx, agent_id, report.host)
        )
        dhcp_ports_sync(tx, context, served, config)
    told = served_scopes(tx, report.host, report.scopes) if report.scopes else set()
    position = newest_position(tx, _always(report) | told)
    return AgentReply(
        agent_id=agent_id,
        admin_state_up=admin_state_up,
        position=position,
        heartbeat_interval_s=config.heartbeat_interval_s,
    )


def find_work(tx: Tx, context: Context, agent_type: str, config: NetworkConfig, *, appeared: bool) -> None:
    """Give agents of a kind what dead ones leave, and what nobody serves where one has ``appeared``."""
    if agent_type == DHCP_AGENT:
        networks_leave_dead(tx, context, config)
        if appeared:
            networks_pick_up(tx, context, config)
    elif agent_type == L3_AGENT:
        routers_leave_dead(tx, context, config)
        if appeared:
            routers_pick_up(tx, context, config)


def _always(report: AgentReport) -> set[str]:
    """The scopes that concern an agent of this kind whatever it says that it serves."""
    found = {scopes.host(report.host)}
    if report.agent_type in SWITCH_AGENTS:
        found.add(scopes.tunnels())
    elif report.agent_type == DHCP_AGENT:
        found.add(scopes.dhcp(report.host))
    elif report.agent_type == L3_AGENT:
        found.add(scopes.l3(report.host))
    return found


def agent_updater(
    resource: Resource, config: NetworkConfig
) -> Callable[[Tx, Context, list[Update]], list[Values]]:
    """The unit that changes agents: whether new work goes there, and what people say about them.

    The agent is told by its host's scope, marks itself for resync, and goes on serving what it serves.
    """

    def agent_update(tx: Tx, context: Context, updates: list[Update]) -> list[Values]:
        after = resource.change(tx, context, updates)
        tx.emit_many(
            [
                event(
                    context,
                    "agent.update",
                    agent["id"],
                    None,
                    [scopes.host(agent["host"])],
                    host=agent["host"],
                    admin_state_up=agent["admin_state_up"],
                )
                for agent in after
            ]
        )
        # Seed 003: an agent whose admin state changes looks for what nobody serves.
        raised = {
            new["agent_type"]
            for one, new in zip(updates, after, strict=True)
            if new["admin_state_up"] and not one.original["admin_state_up"]
        }
        for agent_type in sorted(raised):
            find_work(tx, context, agent_type, config, appeared=True)
        return after

    return agent_update


def agent_deleter(resource: Resource, config: NetworkConfig) -> Callable[[Tx, Context, list[Values]], None]:
    """The unit that deletes agents: what they served goes to others, a living one comes back with its next
    report."""

    def agent_delete(tx: Tx, context: Context, originals: list[Values]) -> None:
        ids = [agent["id"] for agent in originals]
        networks, routers = networks_served_by(tx, ids), routers_served_by(tx, ids)
        resource.remove(tx, originals)
        networks_schedule(tx, context, networks, config)
        dhcp_ports_sync(tx, context, networks, config)
        routers_schedule(tx, context, routers, config)
        routers_place(tx, context, routers, config)
        tx.emit_many(
            [
                event(
                    context,
                    "agent.delete",
                    agent["id"],
                    None,
                    [
                        scopes.host(agent["host"]),
                        scopes.dhcp(agent["host"]),
                        scopes.l3(agent["host"]),
                        scopes.tunnels(),
                        *map(scopes.router, routers),
                    ],
                    host=agent["host"],
                )
                for agent in originals
            ]
        )

    return agent_delete


def _moment(report: AgentReport) -> dt.datetime:
    try:
        return parse_time(report.started_at, FORMAT)
    except ValueError:
        raise BadReport(host=report.host, reason=f"started_at is '{report.started_at}'") from None


def _facts(report: AgentReport) -> dict[str, Any]:
    if len(msgspec.json.encode(report.configurations)) > _LONGEST_CONFIGURATIONS:
        raise BadReport(
            host=report.host, reason=f"configurations has more than {_LONGEST_CONFIGURATIONS} bytes"
        )
    address = report.configurations.get("tunneling_ip") or None
    types = report.configurations.get("tunnel_types") or []
    if not isinstance(types, list) or not TUNNELS.issuperset(map(str, types)):
        raise BadReport(host=report.host, reason=f"tunnel_types is no list of {', '.join(sorted(TUNNELS))}")
    try:
        endpoint = None if address is None else parse_address(address)
    except NotAnAddress:
        raise BadReport(host=report.host, reason="tunneling_ip is no address") from None
    if endpoint is not None and (
        endpoint.is_multicast or endpoint.is_unspecified or str(endpoint) == "255.255.255.255"
    ):
        raise BadReport(host=report.host, reason=f"tunneling_ip {endpoint} is no host's address")
    return {
        "tunneling_ip": None if endpoint is None else str(endpoint),
        "tunnel_types": sorted(map(str, types)),
    }


def _check_endpoint(tx: Tx, host: str, address: str, alive_since: dt.datetime) -> None:
    """Raise BadReport where the address is that of another living host: traffic for it would go astray.

    A loopback address is of a host that has no other nodes to reach.
    """
    if parse_address(address).is_loopback:
        return
    other = tx.first(_SAME_ENDPOINT, {"address": address, "on_host": host, "since": alive_since})
    if other is not None:
        raise BadReport(host=host, reason=f"its tunneling_ip {address} is that of {other.host}")


def _new(context: Context, report: AgentReport, agent_id: str, started_at: dt.datetime) -> dict[str, Any]:
    fields = msgspec.structs.asdict(report)
    return {
        "id": agent_id,
        **{
            name: fields[name]
            for name in (
                "agent_type",
                "host",
                "binary",
                "topic",
                "availability_zone",
                "resources_synced",
                "configurations",
            )
        },
        **_facts(report),
        "admin_state_up": True,
        "description": None,
        "started_at": started_at,
        "created_at": context.now,
        "heartbeat_timestamp": context.now,
    }


def _plug_again(tx: Tx, context: Context, host: str, config: NetworkConfig) -> None:
    """Bind what could not be bound while the host's switch agent was away."""
    waiting = tx.rows(_UNPLUGGED, {"on_host": host})
    if not waiting:
        return
    facts = network_facts(tx, {row.network_id for row in waiting})
    asked = [
        {"network_id": row.network_id, "binding:host_id": row.host, "binding:vnic_type": row.vnic_type}
        for row in waiting
    ]
    outcomes = bind_ports(tx, context, asked, facts, config)
    plugged = [(row, outcome) for row, outcome in zip(waiting, outcomes, strict=True) if not outcome.reason]
    if plugged:
        tx.execute(
            _PLUG,
            [
                {"key": row.id, "kind": outcome.vif_type, "details": outcome.vif_details}
                for row, outcome in plugged
            ],
        )
        tx.emit_many(
            [
                event(
                    context,
                    "port.update",
                    row.id,
                    row.project_id,
                    [scopes.host(host), scopes.network(row.network_id)],
                    host=host,
                    network_id=row.network_id,
                    changed=["binding:vif_type"],
                )
                for row, _ in plugged
            ]
        )
