"""Facts that units of ports read, in one place, before they decide."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import bindparam, or_, select

from pileus.core.context import Context
from pileus.core.errors import Conflict, Invalid
from pileus.resource.declaration import Update, Values
from pileus.services.network.agents.tables import agents
from pileus.services.network.common.errors import NetworkNotFound
from pileus.services.network.config import NetworkConfig
from pileus.services.network.networks.host_segments import segments_of
from pileus.services.network.networks.tables import networks
from pileus.services.network.ports import rules
from pileus.services.network.qos.reading import check_policies, check_policy_changes
from pileus.services.network.rules import addresses
from pileus.services.network.rules.addresses import Pool
from pileus.services.network.rules.agent_types import SWITCH_AGENTS
from pileus.services.network.rules.binding import AgentFacts, NetworkSegment, connected
from pileus.services.network.security_groups.membership import check_groups, default_groups
from pileus.services.network.subnets.tables import subnets
from pileus.store.tx import Tx


class NetworkFacts(NamedTuple):
    """A network as its ports need it."""

    id: str
    project_id: str
    network_type: str
    physical_network: str | None
    port_security_enabled: bool
    qos_policy_id: str | None = None
    dns_domain: str = ""
    has_several: bool = False
    """Whether it has another number of segments than one."""
    passes_tags: bool = False
    """Whether frames that guests have tagged pass."""
    segments: tuple[NetworkSegment, ...] = ()
    """Its segments, where there are several or its subnets belong to some."""


class HostNotConnectedToAnySegment(Conflict):
    message = (
        "Host {host} is not connected to any segments on routed provider network '{network_id}'.  "
        "It should be connected to one."
    )


class FixedIpsSubnetsNotOnSameSegment(Invalid):
    message = "Cannot allocate addresses from different segments."


class SubnetFacts(NamedTuple):
    """A subnet as the choice of addresses needs it."""

    id: str
    network_id: str
    ip_version: int
    cidr: str
    ipv6_ra_mode: str | None
    ipv6_address_mode: str | None
    allocation_pools: list[dict[str, str]]
    service_types: list[str]
    enable_dhcp: bool
    segment_id: str | None = None

    @property
    def is_automatic(self) -> bool:
        """Whether guests give themselves addresses from it (SLAAC)."""
        return addresses.is_automatic(self.ipv6_ra_mode, self.ipv6_address_mode)

    def pools(self) -> list[Pool]:
        return [Pool(addresses.number(p["start"]), addresses.number(p["end"])) for p in self.allocation_pools]


class PortFacts(NamedTuple):
    """Facts that are read once for all ports of a unit.

    ``stateful`` says it of the security groups that are named, ``default_groups`` the groups of projects
    whose ports name none, ``agents`` which switch agents the hosts have that ports are to be bound to.
    """

    networks: Mapping[str, NetworkFacts]
    subnets: Mapping[str, list[SubnetFacts]]
    stateful: Mapping[str, bool]
    default_groups: Mapping[str, str]
    agents: Mapping[str, list[AgentFacts]]

    @property
    def by_id(self) -> dict[str, SubnetFacts]:
        """The subnets by their ids."""
        return {one.id: one for several in self.subnets.values() for one in several}

    def is_routed(self, network_id: str) -> bool:
        """Whether the subnets of a network belong to segments of it."""
        return any(one.segment_id for one in self.subnets[network_id])

    def subnets_of(self, port: Mapping[str, Any]) -> list[SubnetFacts]:
        """The subnets that a port may have addresses of: in a routed network those of its host's segment.

        HostNotConnectedToAnySegment; FixedIpsSubnetsNotOnSameSegment where no host is known yet.
        """
        network_id, host = port["network_id"], port["binding:host_id"]
        several = self.subnets[network_id]
        if port["fixed_ips"] == [] or not self.is_routed(network_id):
            return several
        if host:
            segment = connected(self.networks[network_id].segments, self.agents.get(host, []))
            near = [one for one in several if segment is not None and one.segment_id == segment.id]
            if not near:
                raise HostNotConnectedToAnySegment(host=host, network_id=network_id)
            return near
        named = {ip.get("subnet_id") for ip in port["fixed_ips"] or ()}
        if len({one.segment_id for one in several if one.id in named}) > 1:
            raise FixedIpsSubnetsNotOnSameSegment()
        return several

    @property
    def with_dhcp(self) -> set[str]:
        """The networks that have a subnet with DHCP."""
        return {one.network_id for several in self.subnets.values() for one in several if one.enable_dhcp}


_NETWORKS = select(
    networks.c.id,
    networks.c.project_id,
    networks.c.network_type,
    networks.c.physical_network,
    networks.c.port_security_enabled,
    networks.c.qos_policy_id,
    networks.c.dns_domain,
    networks.c.segments.is_not(None).label("has_several"),
    or_(networks.c.vlan_transparent, networks.c.qinq).label("passes_tags"),
).where(networks.c.id.in_(bindparam("ids", expanding=True)))
_SUBNETS = (
    select(
        subnets.c.id,
        subnets.c.network_id,
        subnets.c.ip_version,
        subnets.c.cidr,
        subnets.c.ipv6_ra_mode,
        subnets.c.ipv6_address_mode,
        subnets.c.allocation_pools,
        subnets.c.service_types,
        subnets.c.enable_dhcp,
        subnets.c.segment_id,
    )
    .where(subnets.c.network_id.in_(bindparam("ids", expanding=True)))
    .order_by(subnets.c.created_at, subnets.c.id)
)
_AGENTS = select(
    agents.c.host, agents.c.agent_type, agents.c.heartbeat_timestamp, agents.c.configurations
).where(
    agents.c.host.in_(bindparam("hosts", expanding=True)),
    agents.c.agent_type.in_(SWITCH_AGENTS),
)


def facts_of_new(tx: Tx, context: Context, specs: Sequence[Values], config: NetworkConfig) -> PortFacts:
    """Read for ports that are to be created; at most six statements for any number of them.

    NetworkNotFound, QosPolicyNotFound, SecurityGroupNotFound for what is named and is not there.
    """
    nets, nets_subnets = networks_and_subnets(tx, {spec["network_id"] for spec in specs})
    check_policies(tx, context, {spec.get("qos_policy_id") for spec in specs})
    stateful = check_groups(
        tx, context, {group for spec in specs for group in spec.get("security_groups") or ()}
    )
    projects = {
        spec["project_id"]
        for spec in specs
        if rules.needs_default_group(spec, nets[spec["network_id"]].port_security_enabled)
    }
    return PortFacts(
        nets,
        nets_subnets,
        stateful,
        default_groups(tx, context, projects),
        agents_by_host(tx, context, [spec["binding:host_id"] for spec in specs], config),
    )


def facts_of_changes(tx: Tx, context: Context, updates: Sequence[Update], config: NetworkConfig) -> PortFacts:
    """Read for ports that are to be changed; at most five statements for any number of them.

    QosPolicyNotFound, PolicyRemoveAuthorizationError, SecurityGroupNotFound.
    """
    nets, nets_subnets = networks_and_subnets(tx, {one.original["network_id"] for one in updates})
    check_policy_changes(tx, context, updates)
    stateful = check_groups(
        tx, context, {group for one in updates for group in one.changes.get("security_groups") or ()}
    )
    hosts = [
        one.changes.get("binding:host_id", one.original["binding:host_id"])
        for one in updates
        if rules.is_rebound(one) or _is_in(one, nets)
    ]
    return PortFacts(nets, nets_subnets, stateful, {}, agents_by_host(tx, context, hosts, config))


def _is_in(one: Update, nets: Mapping[str, NetworkFacts]) -> bool:
    """Whether new addresses of a port depend on where it is: its network may be a routed one."""
    return bool({"fixed_ips", "mac_address"} & {*one.changes} and nets[one.original["network_id"]].segments)


def networks_and_subnets(
    tx: Tx, network_ids: Collection[str]
) -> tuple[dict[str, NetworkFacts], dict[str, list[SubnetFacts]]]:
    """The networks by id and their subnets, oldest first; NetworkNotFound where one does not exist."""
    ids = {"ids": sorted(network_ids)}
    found = {row.id: NetworkFacts(*tuple(row)) for row in tx.rows(_NETWORKS, ids)}
    missing = set(network_ids) - found.keys()
    if missing:
        raise NetworkNotFound(network_id=min(missing))
    theirs: dict[str, list[SubnetFacts]] = {network_id: [] for network_id in network_ids}
    routed = set()
    for row in tx.rows(_SUBNETS, ids):
        theirs[row.network_id].append(SubnetFacts(*tuple(row)))
        if row.segment_id is not None:
            routed.add(row.network_id)
    return _with_segments(tx, found, routed), theirs


def network_facts(tx: Tx, network_ids: Collection[str]) -> dict[str, NetworkFacts]:
    """The networks that exist, by id."""
    rows = tx.rows(_NETWORKS, {"ids": sorted(network_ids)})
    return _with_segments(tx, {row.id: NetworkFacts(*tuple(row)) for row in rows}, ())


def _with_segments(
    tx: Tx, found: dict[str, NetworkFacts], routed: Collection[str]
) -> dict[str, NetworkFacts]:
    """The same with the segments of those that have several or are routed; a statement where one does."""
    wanted = {one.id for one in found.values() if one.has_several} | set(routed)
    for network_id, several in segments_of(tx, wanted).items():
        found[network_id] = found[network_id]._replace(segments=several)
    return found


def agents_by_host(
    tx: Tx, context: Context, hosts: Collection[str | None], config: NetworkConfig
) -> dict[str, list[AgentFacts]]:
    """The switch agents of hosts; no statement where there is no host."""
    found: dict[str, list[AgentFacts]] = {}
    named = sorted({host for host in hosts if host})
    if named:
        since = config.alive_since(context.now)
        for row in tx.rows(_AGENTS, {"hosts": named}):
            found.setdefault(row.host, []).append(
                AgentFacts(row.agent_type, row.heartbeat_timestamp >= since, row.configurations)
            )
    return found
