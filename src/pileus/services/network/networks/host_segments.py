"""The segments of networks, and which of them a host is connected to."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import bindparam, select

from pileus.services.network.agents.tables import agents
from pileus.services.network.networks.tables import segments
from pileus.services.network.rules.agent_types import SWITCH_AGENTS
from pileus.services.network.rules.binding import AgentFacts, NetworkSegment, connected
from pileus.store.tx import Tx

_SEGMENTS = (
    select(
        segments.c.network_id,
        segments.c.id,
        segments.c.network_type,
        segments.c.physical_network,
        segments.c.segmentation_id,
    )
    .where(segments.c.network_id.in_(bindparam("ids", expanding=True)))
    .order_by(segments.c.network_id, segments.c.segment_index)
)
_AGENTS = select(agents.c.host, agents.c.agent_type, agents.c.configurations).where(
    agents.c.host.in_(bindparam("hosts", expanding=True)), agents.c.agent_type.in_(SWITCH_AGENTS)
)


def segments_of(tx: Tx, network_ids: Collection[str]) -> dict[str, tuple[NetworkSegment, ...]]:
    """Read the segments of networks, in order; one statement, or none."""
    found: dict[str, list[NetworkSegment]] = {}
    for row in tx.rows(_SEGMENTS, {"ids": sorted(network_ids)}) if network_ids else ():
        one = NetworkSegment(
            row.id, row.network_type, row.physical_network or None, row.segmentation_id or None
        )
        found.setdefault(row.network_id, []).append(one)
    return {network_id: tuple(several) for network_id, several in found.items()}


def host_segments(
    tx: Tx, several: Mapping[str, Sequence[NetworkSegment]], hosts: Collection[str]
) -> dict[tuple[str, str], NetworkSegment]:
    """Read which segment of each network the hosts are connected to, by (network, host); one statement.

    Whether the agents of a host are alive is not asked: it does not move to another segment meanwhile.
    """
    there: dict[str, list[AgentFacts]] = {}
    for row in tx.rows(_AGENTS, {"hosts": sorted(hosts)}) if hosts and several else ():
        there.setdefault(row.host, []).append(AgentFacts(row.agent_type, True, row.configurations))
    return {
        (network_id, host): found
        for host, of_host in there.items()
        for network_id, choice in several.items()
        if (found := connected(choice, of_host)) is not None
    }
