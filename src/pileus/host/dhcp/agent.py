"""The DHCP agent: what ``neutron-dhcp-agent`` is to Neutron (seed 003), one pass at a time.

It serves the networks that are bound to its host, each from a namespace with a port of its own.
A pass over any number of networks is one question, one batch of links, one transaction, and
for each network that differs some files and at most one signal. dnsmasq outlives the agent: a
restart finds the processes again and changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec

from pileus.core import log
from pileus.core.clock import Clock
from pileus.core.recurring import Recurring
from pileus.drivers.dnsmasq.render import MEMOS
from pileus.drivers.dnsmasq.spec import DhcpServers, Lease
from pileus.drivers.netlink.links import Links
from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.host.agent import AgentSettings, Server
from pileus.host.dhcp import plan
from pileus.host.dhcp.apply import ServerApplier
from pileus.host.dhcp.lease_watch import LeaseWatch
from pileus.host.isolation import reason
from pileus.host.metadata_endpoint import MetadataEndpoint, MetadataServer
from pileus.host.namespaces.agent import NamespaceAgent, NamespaceSettings
from pileus.host.namespaces.model import Namespace
from pileus.wire import scopes
from pileus.wire.calls import DHCP_LEASES, DHCP_STATE, DHCP_STATUS, Call
from pileus.wire.dhcp import DhcpNetwork, DhcpStateRequest, DhcpStatus, LeaseChange, LeaseReport

_log = log.get("host.dhcp")

NAMESPACE_PREFIX = "qdhcp-"


class DhcpAgent(NamespaceAgent[DhcpNetwork]):
    """Serves DHCP on the networks that are bound here, which ``desired`` has."""

    binary = "neutron-dhcp-agent"
    agent_type = "DHCP agent"
    topic = "dhcp_agent"
    memos = (MEMOS,)
    # All ports of a network are read when one of them changes, and no guest asks as soon as it is made.
    rest = 3.0
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
        metadata: MetadataServer | None = None,
        namespaces: NamespaceSettings | None = None,
    ) -> None:
        namespaces = namespaces or NamespaceSettings(namespace_prefix=NAMESPACE_PREFIX)
        super().__init__(settings, namespaces, server, clock, client, links, metadata)
        self._servers = servers
        self._server_applier = ServerApplier(servers)
        self._lease_s = 86400
        self._left_out: dict[str, dict[str, str]] = {}
        self._told_ports: dict[str, str] = {}
        self._lease_watch = LeaseWatch(servers, clock, self._tell_leases)

    def configurations(self) -> dict[str, Any]:
        served = [network for network in self.desired.values() if plan.is_served(network)]
        return {
            "networks": len(served),
            "subnets": sum(len(network.subnets) for network in served),
            "ports": sum(len(network.hosts) + 1 for network in served),
            "failed": len(self.failed) + sum(map(len, self._left_out.values())),
            "dhcp_driver": "pileus.drivers.dnsmasq.driver.Dnsmasq",
            "dhcp_lease_time": self._lease_s,
            "use_namespaces": True,
            "log_agent_heartbeats": False,
        }

    async def leases(self, network_id: str) -> Sequence[Lease]:
        """The leases that guests of a network hold."""
        return await self._servers.leases(network_id)

    async def watch(self) -> None:
        await asyncio.gather(super().watch(), self._watch_leases())

    async def _watch_leases(self) -> None:
        """Look at the leases every few seconds; what can't be told now is told later."""
        trouble = Recurring(_log, "leases are not told")
        while True:
            await asyncio.sleep(self._namespaces.watch_interval_s)
            try:
                await self._lease_watch.look(self._with_server())
            except Exception as error:
                trouble.happened(type(error).__name__, why=reason(error))
            else:
                if self._lease_watch.failed:
                    trouble.happened("unread", networks=self._lease_watch.failed)
                else:
                    trouble.over()

    async def _tell_leases(self, changes: Sequence[LeaseChange]) -> None:
        await self.call(DHCP_LEASES, LeaseReport(self.host, tuple(changes)))

    async def ask(self, ids: Collection[str] | None) -> tuple[int, dict[str, DhcpNetwork]]:
        wanted = None if ids is None else tuple(sorted(ids))
        state = await self.call(DHCP_STATE, DhcpStateRequest(self.host, wanted))
        if state.lease_time_s != self._lease_s:
            self._lease_s = state.lease_time_s
            self.forget()
        return state.position, {network.network_id: network for network in state.networks}

    def concerned(self, kind: str, key: str) -> Iterable[str]:
        return (key,) if kind == "dhcp_network" and key in self.desired else ()

    def listened(self) -> Iterable[str]:
        return map(scopes.dhcp_network, self.desired)

    def namespace(self, thing: DhcpNetwork) -> Namespace | None:
        return plan.plan_namespace(thing, self._namespaces.namespace_prefix)

    def endpoints(self, thing: DhcpNetwork, namespace: Namespace) -> Iterable[MetadataEndpoint]:
        return plan.plan_endpoints(thing, namespace)

    async def enforce(self, things: Collection[DhcpNetwork]) -> tuple[int, dict[str, str]]:
        servers, failed, ending = [], {}, []
        for network in things:
            if not plan.gives_addresses(network):
                ending.append(network.network_id)
                self._left_out.pop(network.network_id, None)
                continue
            try:
                unusable = plan.unusable(network)
                namespace = self._wanted[network.network_id]
                servers.append(plan.plan_server(network, namespace, self._lease_s))
            except Exception as error:
                failed[network.network_id] = reason(error)
                continue
            if unusable != self._left_out.get(network.network_id, {}):
                for port_id, why in unusable.items():
                    _log.warning("left out", network=network.network_id, port=port_id, why=why)
            self._left_out[network.network_id] = unusable
        changes, refused = await self._server_applier.serve(servers)
        return changes + await self._server_applier.leave(ending), failed | refused

    async def dismiss(self, wanted: Collection[str], found: Collection[str]) -> int:
        self._left_out = {key: some for key, some in self._left_out.items() if key in wanted}
        return await self._server_applier.end(wanted)

    def status(self, in_force: Collection[DhcpNetwork]) -> tuple[Call[Any, Any], msgspec.Struct]:
        serving = tuple(sorted(network.network_id for network in in_force))
        ports = {
            port_id: why
            for network in in_force
            for port_id, why in self._left_out.get(network.network_id, {}).items()
        }
        failed = dict(sorted(self.failed.items()))
        return DHCP_STATUS, DhcpStatus(self.host, serving, failed, dict(sorted(ports.items())))

    def worth_telling(self, news: msgspec.Struct) -> msgspec.Struct:
        """Leave out what was told already: each is a line of a port's timeline, and once is enough."""
        assert isinstance(news, DhcpStatus)
        fresh = {port_id: why for port_id, why in news.ports.items() if self._told_ports.get(port_id) != why}
        return msgspec.structs.replace(news, ports=fresh)

    def heard(self, news: msgspec.Struct) -> None:
        assert isinstance(news, DhcpStatus)
        self._told_ports = news.ports

    async def disturbed(self) -> Collection[str]:
        return await self._server_applier.ended(self._with_server())

    def _with_server(self) -> list[str]:
        """The networks in force that have a dnsmasq here."""
        in_force = [self.desired.get(namespace.key) for namespace in self._in_force()]
        return [one.network_id for one in in_force if one is not None and plan.gives_addresses(one)]
