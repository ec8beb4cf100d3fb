"""The surroundings of units of the network service: ranges, limits, dice, and what follows upwards."""

from __future__ import annotations

import datetime as dt
import ipaddress
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from pileus.core.context import Context
from pileus.core.settings import BadSettings
from pileus.resource.declaration import Values
from pileus.services.network.rules.macs import BASE_MAC, DVR_BASE_MAC, kept, normalise
from pileus.services.network.rules.segments import Ranges
from pileus.services.network.section import NetworkSection
from pileus.store.tx import Tx

ProjectsOf = Callable[[Tx, Sequence[str]], Mapping[str, str]]
"""``(tx, ids) -> {id: project_id}`` of those that exist."""


HoldersOf = Callable[[Tx, Collection[str]], Mapping[str, str]]
"""``(tx, port_ids) -> {port_id: server_id}`` of those that are plugged into a server."""


Notify = Callable[[str, dict[str, Any], dt.datetime, str], None]
"""``(event type, payload, when, publisher)``: send a notification, or keep it to be sent."""


def _no_servers(tx: Tx, ids: Sequence[str]) -> Mapping[str, str]:
    return {}


def _no_holders(tx: Tx, port_ids: Collection[str]) -> Mapping[str, str]:
    return {}


class AgentSeen(NamedTuple):
    """An agent that has reported.

    ``restarted``: it is new or begins anew; ``appeared``: that, or it counted as dead until now.
    """

    agent_id: str
    host: str
    agent_type: str
    admin_state_up: bool
    restarted: bool
    appeared: bool


IdsFollower = Callable[[Tx, Context, Sequence[str], "NetworkConfig"], None]
NewPortsFollower = Callable[[Tx, Context, Sequence[Values], Collection[str], "NetworkConfig"], None]
PortsFollower = Callable[[Tx, Context, Sequence[Values], "NetworkConfig"], None]
ChangedPortsFollower = Callable[[Tx, Context, Sequence[tuple[Values, Values]], "NetworkConfig"], None]
ServicePortsFollower = Callable[[Tx, Context, Sequence[Values], Mapping[str, str], "NetworkConfig"], None]
ReportFollower = Callable[[Tx, Context, Collection[str], Collection[str], "NetworkConfig"], None]
AgentFollower = Callable[[Tx, Context, AgentSeen, "NetworkConfig"], None]
FloatingIpsFollower = Callable[[Tx, Context, Mapping[str, Collection[str]], "NetworkConfig"], None]
HostFollower = Callable[[Tx, Context, str, Sequence[str], "NetworkConfig"], None]
LeavingAgentsFollower = Callable[[Tx, Context, Sequence[str], "NetworkConfig"], Callable[[], Collection[str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Followers:
    """Functions of nouns on higher floors, by the moment of a noun below and in the order of their calls.

    A noun imports nouns on lower floors only (``docs/architecture.md``, "The floors of the network"). What
    concerns others above it, such as that a port which comes needs DHCP, and one which goes frees its
    floating IP, it leaves to the followers of the moment. They run in the transaction of the unit that
    calls them and are given all that changed at once; ``service.py`` writes down who they are.
    """

    networks_deleting: tuple[IdsFollower, ...] = ()
    """``(tx, context, ids, config)``: before the rows of networks and subnets go; may refuse."""
    ports_created: tuple[NewPortsFollower, ...] = ()
    """``(tx, context, ports, with_dhcp, config)``; ``with_dhcp``: networks that have a subnet with DHCP."""
    ports_updated: tuple[ChangedPortsFollower, ...] = ()
    """``(tx, context, [(before, after)], config)``."""
    ports_deleting: tuple[PortsFollower, ...] = ()
    """``(tx, context, ports, config)``: before the rows go."""
    ports_reported: tuple[ReportFollower, ...] = ()
    """``(tx, context, trunk_ids, failed, config)``: a switch agent has reported on ports of these trunks."""
    floating_ips_changed: tuple[FloatingIpsFollower, ...] = ()
    """``(tx, context, {router id: port ids}, config)``: floating IPs come, change or go; both are those that
    they lead to, or did."""
    floating_ips_reported: tuple[HostFollower, ...] = ()
    """``(tx, context, host, ids, config)``: a host's switch agent translates them."""
    floating_ips_central: tuple[IdsFollower, ...] = ()
    """``(tx, context, ids, config)``: a router's agent translates them, as a host did or does."""
    routers_spread: tuple[IdsFollower, ...] = ()
    """``(tx, context, ids, config)``: routers are distributed from now on, or not any more."""
    service_ports_changed: tuple[ServicePortsFollower, ...] = ()
    """``(tx, context, ports, {id: owner}, config)``: a request has moved or deleted ports of the network."""
    agents_reported: tuple[AgentFollower, ...] = ()
    """``(tx, context, agent, config)``."""
    agents_enabled: tuple[IdsFollower, ...] = ()
    """``(tx, context, types, config)``: agents of these types take work from now on."""
    agents_disabled: tuple[IdsFollower, ...] = ()
    """``(tx, context, ids, config)``: these agents take no more work, and what they serve may move."""
    agents_deleting: tuple[LeavingAgentsFollower, ...] = ()
    """``(tx, context, ids, config) -> after``: looks at what agents serve before they go; ``after()`` gives
    it to others once they are gone, and returns scopes that have to be told."""


class NetworkConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Settings in the form that decisions need them.

    ``lowest`` gives addresses from the low end instead of at random. The dice are not part
    of a unit's outcome: a unit that is run again after a deadlock should try its luck anew.
    ``projects_of_servers`` and ``holders_of`` are the sibling's to answer, which knows the network while the
    network does not know it.
    """

    followers: Followers
    ranges: Ranges = Ranges()
    physical_mtu: int = 1500
    agent_down_time_s: float = 75
    heartbeat_interval_s: float = 30.0
    base_mac: str = BASE_MAC
    dvr_base_mac: str = DVR_BASE_MAC
    lowest: bool = False
    max_fixed_ips: int = 5
    max_address_pairs: int = 10
    max_dns_nameservers: int = 5
    max_host_routes: int = 20
    max_routes: int = 30
    scheduler: str = "least"
    dhcp_agents_per_network: int = 1
    dhcp_lease_time_s: int = 86400
    distributed_dhcp: bool = False
    move_from_dead_dhcp_agents: bool = True
    move_from_dead_l3_agents: bool = True
    router_handover_s: float = 10.0
    ipv6_pd_enabled: bool = False
    l3_ha: bool = False
    max_l3_agents_per_router: int = 3
    min_l3_agents_per_router: int = 0
    l3_ha_net_cidr: str = "169.254.192.0/18"
    l3_ha_network_type: str = ""
    ha_advert_interval_ms: int = 200
    router_distributed: bool = False
    enable_default_route_ecmp: bool = False
    enable_default_route_bfd: bool = False
    down_before_distributed: bool = True
    publishes: bool = False
    """Whether a server outside gets the names of ports and floating IPs; ``publish_reverse``: and those of
    their addresses."""
    publish_reverse: bool = False
    projects_of_servers: ProjectsOf = _no_servers
    holders_of: HoldersOf = _no_holders
    notify: Notify | None = None
    dice: random.Random = msgspec.field(default_factory=random.SystemRandom)

    def alive_since(self, now: dt.datetime) -> dt.datetime:
        """Agents that reported at or after this moment count as alive."""
        return now - dt.timedelta(seconds=self.agent_down_time_s)


def from_settings(
    settings: NetworkSection,
    followers: Followers,
    projects_of_servers: ProjectsOf = _no_servers,
    holders_of: HoldersOf = _no_holders,
    notify: Notify | None = None,
) -> NetworkConfig:
    """Read the texts of the settings file; BadSettings names the key."""
    vlan: dict[str, list[tuple[int, int]]] = {}
    for entry in settings.vlan_ranges:
        physical_network, _, rest = entry.partition(":")
        vlan.setdefault(physical_network, [])
        if rest:
            vlan[physical_network].append(_range("network.vlan_ranges", rest, 4094))
    tunnels = tuple(_range("network.vni_ranges", entry, 2**24 - 1) for entry in settings.vni_ranges)
    return NetworkConfig(
        followers=followers,
        ranges=Ranges(
            order=settings.project_network_types,
            vlan=vlan,
            flat=settings.flat_networks,
            vxlan=tunnels,
            gre=tunnels,
        ),
        physical_mtu=settings.mtu,
        agent_down_time_s=settings.agent_down_time_s,
        heartbeat_interval_s=settings.heartbeat_interval_s,
        scheduler=settings.scheduler,
        dhcp_agents_per_network=settings.dhcp_agents_per_network,
        dhcp_lease_time_s=settings.dhcp_lease_time_s,
        distributed_dhcp=settings.distributed_dhcp,
        move_from_dead_dhcp_agents=settings.allow_automatic_dhcp_failover,
        move_from_dead_l3_agents=settings.allow_automatic_l3agent_failover,
        router_handover_s=settings.router_handover_s,
        ipv6_pd_enabled=settings.ipv6_pd_enabled,
        l3_ha=settings.l3_ha,
        max_l3_agents_per_router=settings.max_l3_agents_per_router,
        min_l3_agents_per_router=_least_agents(settings),
        l3_ha_net_cidr=_prefix("network.l3_ha_net_cidr", settings.l3_ha_net_cidr),
        l3_ha_network_type=settings.l3_ha_network_type,
        ha_advert_interval_ms=settings.ha_vrrp_advert_interval_ms,
        router_distributed=settings.router_distributed,
        dvr_base_mac=_base_mac("network.dvr_base_mac", settings.dvr_base_mac),
        enable_default_route_ecmp=settings.enable_default_route_ecmp,
        enable_default_route_bfd=settings.enable_default_route_bfd,
        down_before_distributed=settings.router_admin_state_down_before_update,
        projects_of_servers=projects_of_servers,
        holders_of=holders_of,
        notify=notify,
    )


def _least_agents(settings: NetworkSection) -> int:
    least, most = settings.min_l3_agents_per_router, settings.max_l3_agents_per_router
    if most and least > most:
        raise BadSettings(f"network.max_l3_agents_per_router: {most} is less than the least, {least}")
    return least


def _base_mac(key: str, text: str) -> str:
    base = normalise(text)
    if base is None or not base.endswith(":00:00"):
        raise BadSettings(f"{key}: '{text}' is no hardware address whose last two octets are 0")
    if kept(base) == kept(BASE_MAC):
        raise BadSettings(f"{key}: '{text}' is where the addresses of ports are from")
    return base


def _prefix(key: str, text: str) -> str:
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError:
        raise BadSettings(f"{key}: '{text}' is no IPv4 network") from None
    if network.prefixlen > 29:
        raise BadSettings(f"{key}: '{text}' has too few addresses")
    return str(network)


def _range(key: str, text: str, greatest: int) -> tuple[int, int]:
    first, _, last = text.partition(":")
    if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last) <= greatest):
        raise BadSettings(f"{key}: '{text}' is not FIRST:LAST within 1 to {greatest}")
    return int(first), int(last)
