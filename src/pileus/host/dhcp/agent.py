"""The DHCP agent: what ``neutron-dhcp-agent`` is to Neutron (seed 003), one pass at a time.

It serves the networks that are bound to its host, each from a namespace with a port of its own.
A pass over any number of networks is one question, one batch of links, one transaction, and
for each network that differs some files and at most one signal. dnsmasq outlives the agent: a
restart finds the processes again and changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec

from pileus.core import log
from pileus.core.clock import Clock
from pileus.drivers.dnsmasq.spec import DhcpServers, Lease
from pileus.drivers.netlink.links import Links
from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.host.agent import AgentSettings, Server
from pileus.host.dhcp import plan
from pileus.host.dhcp.apply import ServerHands
from pileus.host.doors import Door, DoorKeeper
from pileus.host.spaces.agent import SpaceAgent, SpaceSettings
from pileus.host.spaces.model import Space
from pileus.wire import scopes
from pileus.wire.calls import DHCP_STATE, DHCP_STATUS, Call
from pileus.wire.dhcp import DhcpNetwork, DhcpStateRequest, DhcpStatus

_log = log.get("host.dhcp")

NAMESPACE_PREFIX = "qdhcp-"


class DhcpAgent(SpaceAgent[DhcpNetwork]):
    """See the module. ``desired`` has the networks that are bound here."""

    binary = "neutron-dhcp-agent"
    agent_type = "DHCP agent"
    topic = "dhcp_agent"
    owner = "dhcp"

    def __init__(
        self,
        settings: AgentSettings,
        server: Server,
        clock: Clock,
        client: OvsdbClient,
        links: Links,
        servers: DhcpServers,
        *,
        doors: DoorKeeper | None = None,
        spaces: SpaceSettings | None = None,
    ) -> None:
        spaces = spaces or SpaceSettings(namespace_prefix=NAMESPACE_PREFIX)
        super().__init__(settings, spaces, server, clock, client, links, doors)
        self._servers = servers
        self._server_hands = ServerHands(servers)
        self._lease_s = 86400

    def configurations(self) -> dict[str, Any]:
        served = [network for network in self.desired.values() if plan.is_served(network)]
        return {
            "networks": len(served),
            "subnets": sum(len(network.subnets) for network in served),
            "ports": sum(len(network.hosts) + 1 for network in served),
            "dhcp_driver": "pileus.drivers.dnsmasq.driver.Dnsmasq",
            "dhcp_lease_time": self._lease_s,
            "use_namespaces": True,
            "log_agent_heartbeats": False,
        }

    async def leases(self, network_id: str) -> Sequence[Lease]:
        """The leases that guests of a network hold."""
        return await self._servers.leases(network_id)

    async def ask(self, ids: Collection[str] | None) -> tuple[int, dict[str, DhcpNetwork]]:
        wanted = None if ids is None else tuple(sorted(ids))
        state = await self.call(DHCP_STATE, DhcpStateRequest(self.host, wanted))
        if state.lease_time_s != self._lease_s:
            self._lease_s = state.lease_time_s
            self.forget()
        return state.position, {network.network_id: network for network in state.networks}

    def concerned(self, kind: str, key: str) -> Iterable[str]:
        return (key,) if kind == "network" and key in self.desired else ()

    def listened(self) -> Iterable[str]:
        return map(scopes.network, self.desired)

    def space(self, thing: DhcpNetwork) -> Space | None:
        return plan.plan_space(thing, self._spaces.namespace_prefix)

    def doors(self, thing: DhcpNetwork) -> Iterable[Door]:
        return plan.plan_doors(thing, self._wanted[thing.network_id])

    async def enforce(self, things: Collection[DhcpNetwork]) -> tuple[int, dict[str, str]]:
        for network in things:
            for words in plan.unusable(network):
                _log.warning("an option is left out", network=network.network_id, what=words)
        return await self._server_hands.serve(
            [plan.plan_server(network, self._wanted[network.network_id], self._lease_s) for network in things]
        )

    async def dismiss(self, wanted: Collection[str], found: Collection[str]) -> int:
        return await self._server_hands.end(wanted)

    def status(self, in_force: Collection[DhcpNetwork]) -> tuple[Call[Any, Any], msgspec.Struct]:
        serving = tuple(sorted(network.network_id for network in in_force))
        return DHCP_STATUS, DhcpStatus(self.host, serving, dict(sorted(self.failed.items())))

    async def undisturbed(self) -> bool:
        return await self._server_hands.all_run([space.key for space in self._in_force()])
