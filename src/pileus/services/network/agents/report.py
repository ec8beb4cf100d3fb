"""Reports of agents: they make agents, keep them alive, and tell what they serve."""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Row, bindparam, func, select, update

from pileus.core.addresses import NotAnAddress, parse_address
from pileus.core.context import Context
from pileus.core.errors import Invalid
from pileus.core.times import parse_time
from pileus.resource.event import event
from pileus.services.network.agents.resource import FORMAT
from pileus.services.network.agents.serving import served_scopes
from pileus.services.network.agents.tables import agents
from pileus.services.network.common.derived_ids import derived_id
from pileus.services.network.config import AgentSeen, NetworkConfig
from pileus.services.network.rules.agent_types import DHCP_AGENT, GATEWAY_AGENT, L3_AGENT, SWITCH_AGENTS
from pileus.services.network.rules.segments import TUNNELS
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


class _Said(NamedTuple):
    """The checked parts of a report, as they are stored."""

    started_at: dt.datetime
    tunneling_ip: str | None
    tunnel_types: list[str]

    @property
    def endpoint(self) -> dict[str, Any]:
        return {"tunneling_ip": self.tunneling_ip, "tunnel_types": self.tunnel_types}


def agent_report(tx: Tx, context: Context, report: AgentReport, *, config: NetworkConfig) -> AgentReply:
    """Take a heartbeat; three statements for an agent that is known and unchanged, one for each kind of
    scope that it names (what it does not serve has no part in the position), and those of the followers.

    The answer's position is the newest of anything that concerns the host or that the report named. A
    changed tunnel endpoint wakes the whole mesh.
    """
    said = _read(report)
    alive_since = config.alive_since(context.now)
    known = tx.first(_KNOWN, _where(report))
    if said.tunneling_ip is not None and (known is None or known.tunneling_ip != said.tunneling_ip):
        _check_endpoint(tx, report.host, said.tunneling_ip, alive_since)
    if known is None:
        agent_id = derived_id(context, report.host, report.agent_type)
        known = _register(tx, context, report, said, agent_id)
    if known is None:
        moved = said.tunneling_ip is not None
        agent = AgentSeen(agent_id, report.host, report.agent_type, True, restarted=True, appeared=True)
    else:
        moved = (known.tunneling_ip, list(known.tunnel_types)) != (said.tunneling_ip, said.tunnel_types)
        agent = AgentSeen(
            known.id,
            report.host,
            report.agent_type,
            known.admin_state_up,
            restarted=report.start,
            appeared=report.start or known.heartbeat_timestamp < alive_since,
        )
        _renew(tx, context, report, said, known.id, wholly=report.start or moved)
    if moved:
        tx.emit(
            event(
                context,
                "agent.tunnel",
                agent.agent_id,
                None,
                [scopes.tunnels()],
                host=report.host,
                **said.endpoint,
            )
        )
    for follow in config.followers.agents_reported:
        follow(tx, context, agent, config)
    told = served_scopes(tx, report.host, report.scopes) if report.scopes else set()
    return AgentReply(
        agent_id=agent.agent_id,
        admin_state_up=agent.admin_state_up,
        position=newest_position(tx, _always(report) | told),
        heartbeat_interval_s=config.heartbeat_interval_s,
        settings=f"dhcp {config.dhcp_lease_time_s}{' distributed' * config.distributed_dhcp}",
    )


def _where(report: AgentReport) -> dict[str, str]:
    return {"on_host": report.host, "of_type": report.agent_type}


def _register(tx: Tx, context: Context, report: AgentReport, said: _Said, agent_id: str) -> Row[Any] | None:
    """Write a new agent. Where the same agent's report came twice at the same time, and the other one has
    made it: the row that is there."""
    if tx.rows(_COUNT, {"on_host": report.host})[0][0] >= _MOST_AGENTS:
        raise BadReport(host=report.host, reason=f"it has {_MOST_AGENTS} agents already")
    try:
        with tx.savepoint():
            tx.insert(agents, [_new(context, report, said, agent_id)])
    except Duplicate:
        return tx.first(_KNOWN, _where(report))
    tx.emit(event(context, "agent.create", agent_id, None, host=report.host, agent_type=report.agent_type))
    return None


def _renew(
    tx: Tx, context: Context, report: AgentReport, said: _Said, agent_id: str, *, wholly: bool
) -> None:
    """Write the heartbeat, and ``wholly`` what an agent says of itself when it starts."""
    changes = {
        "key": agent_id,
        "now": context.now,
        "configurations": report.configurations,
        "resources_synced": report.resources_synced,
    }
    if not wholly:
        tx.execute(_HEARTBEAT, changes)
        return
    tx.execute(
        _RESTART,
        {
            **changes,
            **said.endpoint,
            "binary": report.binary,
            "topic": report.topic,
            "availability_zone": report.availability_zone,
            "started_at": said.started_at,
        },
    )


def _always(report: AgentReport) -> set[str]:
    """The scopes that concern an agent of this kind whatever it says that it serves."""
    found = {scopes.host(report.host)}
    if report.agent_type in SWITCH_AGENTS:
        found.add(scopes.tunnels())
    elif report.agent_type == DHCP_AGENT:
        found.add(scopes.dhcp(report.host))
    elif report.agent_type == L3_AGENT:
        found.add(scopes.l3(report.host))
    elif report.agent_type == GATEWAY_AGENT:
        found.add(scopes.gateways(report.host))
    return found


def _read(report: AgentReport) -> _Said:
    """Check a report; BadReport."""

    def bad(reason: str) -> BadReport:
        return BadReport(host=report.host, reason=reason)

    try:
        started_at = parse_time(report.started_at, FORMAT)
    except ValueError:
        raise bad(f"started_at is '{report.started_at}'") from None
    if len(msgspec.json.encode(report.configurations)) > _LONGEST_CONFIGURATIONS:
        raise bad(f"configurations has more than {_LONGEST_CONFIGURATIONS} bytes")
    address = report.configurations.get("tunneling_ip") or None
    types = report.configurations.get("tunnel_types") or []
    if not isinstance(types, list) or not TUNNELS.issuperset(map(str, types)):
        raise bad(f"tunnel_types is no list of {', '.join(sorted(TUNNELS))}")
    try:
        endpoint = None if address is None else parse_address(address)
    except NotAnAddress:
        raise bad("tunneling_ip is no address") from None
    if endpoint is not None and (
        endpoint.is_multicast or endpoint.is_unspecified or str(endpoint) == "255.255.255.255"
    ):
        raise bad(f"tunneling_ip {endpoint} is no host's address")
    return _Said(started_at, None if endpoint is None else str(endpoint), sorted(map(str, types)))


def _check_endpoint(tx: Tx, host: str, address: str, alive_since: dt.datetime) -> None:
    """Raise BadReport where the address is that of another living host: traffic for it would go astray.

    A loopback address is of a host that has no other nodes to reach.
    """
    if parse_address(address).is_loopback:
        return
    other = tx.first(_SAME_ENDPOINT, {"address": address, "on_host": host, "since": alive_since})
    if other is not None:
        raise BadReport(host=host, reason=f"its tunneling_ip {address} is that of {other.host}")


def _new(context: Context, report: AgentReport, said: _Said, agent_id: str) -> dict[str, Any]:
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
        **said.endpoint,
        "admin_state_up": True,
        "description": None,
        "started_at": said.started_at,
        "created_at": context.now,
        "heartbeat_timestamp": context.now,
    }
