"""What the units of the network service are given besides their values: ranges, limits, dice."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from pileus.core.settings import BadSettings
from pileus.services.network.rules.macs import BASE_MAC
from pileus.services.network.rules.segments import Ranges
from pileus.services.network.section import NetworkSection
from pileus.store.tx import Tx

ProjectsOf = Callable[[Tx, Sequence[str]], Mapping[str, str]]
"""``(tx, ids) -> {id: project_id}`` of those that exist."""


HoldersOf = Callable[[Tx, Collection[str]], Mapping[str, str]]
"""``(tx, port_ids) -> {port_id: server_id}`` of those that are plugged into a server."""


def _no_servers(tx: Tx, ids: Sequence[str]) -> Mapping[str, str]:
    return {}


def _no_holders(tx: Tx, port_ids: Collection[str]) -> Mapping[str, str]:
    return {}


class NetworkConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Settings in the form that decisions need them.

    ``lowest`` gives addresses from the low end instead of at random. The dice are not part
    of a unit's outcome: a unit that is run again after a deadlock should try its luck anew.
    ``projects_of_servers`` and ``holders_of`` are the sibling's to answer, which knows the network while the
    network does not know it.
    """

    ranges: Ranges = Ranges()
    physical_mtu: int = 1500
    agent_down_time_s: float = 75
    heartbeat_interval_s: float = 30.0
    base_mac: str = BASE_MAC
    lowest: bool = False
    max_fixed_ips: int = 5
    max_address_pairs: int = 10
    max_dns_nameservers: int = 5
    max_host_routes: int = 20
    max_routes: int = 30
    scheduler: str = "least"
    dhcp_agents_per_network: int = 1
    dhcp_lease_time_s: int = 86400
    move_from_dead_dhcp_agents: bool = True
    move_from_dead_l3_agents: bool = True
    projects_of_servers: ProjectsOf = _no_servers
    holders_of: HoldersOf = _no_holders
    dice: random.Random = msgspec.field(default_factory=random.SystemRandom)

    def alive_since(self, now: dt.datetime) -> dt.datetime:
        """Agents that reported at or after this moment count as alive."""
        return now - dt.timedelta(seconds=self.agent_down_time_s)


def from_settings(
    settings: NetworkSection,
    projects_of_servers: ProjectsOf = _no_servers,
    holders_of: HoldersOf = _no_holders,
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
        move_from_dead_dhcp_agents=settings.allow_automatic_dhcp_failover,
        move_from_dead_l3_agents=settings.allow_automatic_l3agent_failover,
        projects_of_servers=projects_of_servers,
        holders_of=holders_of,
    )


def _range(key: str, text: str, greatest: int) -> tuple[int, int]:
    first, _, last = text.partition(":")
    if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last) <= greatest):
        raise BadSettings(f"{key}: '{text}' is not FIRST:LAST within 1 to {greatest}")
    return int(first), int(last)
