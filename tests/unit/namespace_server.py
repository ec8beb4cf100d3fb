"""A server in this process for the agents of namespaces: what they need of the bus, over dictionaries.

Its wake-ups can be dropped, doubled and reordered, and it can be away.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from pileus.core.errors import Unavailable
from pileus.wire import scopes as scope_names
from pileus.wire.agents import AgentReply, AgentReport, Wakeup
from pileus.wire.calls import Call
from pileus.wire.dhcp import DhcpNetwork, DhcpState, DhcpStateRequest, DhcpStatus
from pileus.wire.l3 import L3State, L3StateRequest, L3Status, RouterDetails
from pileus.wire.metadata import MetadataReply, MetadataRequest
from pileus.wire.switch import Acknowledged


class NamespaceServer:
    """``chance`` of a wake-up to be lost or doubled. Everything is bound to one host."""

    def __init__(self, chance: random.Random | None = None) -> None:
        self.position = 1
        self.networks: dict[str, DhcpNetwork] = {}
        self.routers: dict[str, RouterDetails] = {}
        self.lease_time_s = 86400
        self.metadata: Callable[[MetadataRequest], MetadataReply] = lambda request: MetadataReply(
            200, "text/plain", f"{request.path} {request.source_ip}".encode()
        )
        self.away = False
        self.reports: list[AgentReport] = []
        self.statuses: list[Any] = []
        self.calls: list[str] = []
        self.asked: list[Any] = []
        self.newest: dict[str, int] = {}
        self.heartbeat_interval_s = 30.0
        self._chance = chance
        self._listeners: list[tuple[frozenset[str], asyncio.Queue[Wakeup]]] = []

    # -- what tests change

    def changed(self, *scopes: str) -> None:
        """An event: tell whoever listens, as well as the mood allows."""
        self.position += 1
        for scope in scopes:
            self.newest[scope] = self.position
        for wanted, queue in self._listeners:
            if heard := tuple(sorted(wanted & set(scopes))):
                for _ in range(self._chance.choice((0, 1, 1, 2)) if self._chance else 1):
                    queue.put_nowait(Wakeup(self.position, heard))

    def put_network(self, *networks: DhcpNetwork, host: str = "n1") -> None:
        fresh = any(network.network_id not in self.networks for network in networks)
        self.networks |= {network.network_id: network for network in networks}
        named = [scope_names.network(network.network_id) for network in networks]
        self.changed(*named, *([scope_names.dhcp(host)] if fresh else []))

    def remove_network(self, *network_ids: str, host: str = "n1") -> None:
        for network_id in network_ids:
            del self.networks[network_id]
        self.changed(*map(scope_names.network, network_ids), scope_names.dhcp(host))

    def put_router(self, *routers: RouterDetails, host: str = "n1") -> None:
        fresh = any(router.router_id not in self.routers for router in routers)
        self.routers |= {router.router_id: router for router in routers}
        named = [scope_names.router(router.router_id) for router in routers]
        self.changed(*named, *([scope_names.l3(host)] if fresh else []))

    def remove_router(self, *router_ids: str, host: str = "n1") -> None:
        for router_id in router_ids:
            del self.routers[router_id]
        self.changed(*map(scope_names.router, router_ids), scope_names.l3(host))

    def is_heard(self, scopes: frozenset[str]) -> bool:
        """Whether somebody listens to all of these."""
        return any(wanted >= scopes for wanted, _ in self._listeners)

    # -- what agents ask

    async def call(self, call: Call[Any, Any], request: Any) -> Any:
        if self.away:
            raise Unavailable("the server is away")
        self.calls.append(call.name)
        msgspec.msgpack.encode(request)  # it can cross the line; the ids of these scenes are for people
        await asyncio.sleep(0)
        reply = getattr(self, f"_{call.name}")(request)
        msgspec.msgpack.encode(reply)
        return reply

    async def wakeups(self, host: str, scopes: tuple[str, ...]) -> AsyncIterator[Wakeup]:
        if self.away:
            raise Unavailable("the server is away")
        entry = (frozenset(scopes), asyncio.Queue[Wakeup]())
        self._listeners.append(entry)
        try:
            yield Wakeup(max((self.newest.get(scope, 0) for scope in scopes), default=0))
            while True:
                wakeup = await entry[1].get()
                if self._chance and self._chance.random() < 0.2 and not entry[1].empty():
                    entry[1].put_nowait(wakeup)
                    continue
                yield wakeup
        finally:
            self._listeners.remove(entry)

    def _agent_report(self, report: AgentReport) -> AgentReply:
        self.reports.append(report)
        scopes = {scope_names.host(report.host), *report.scopes}
        newest = max((self.newest.get(scope, 0) for scope in scopes), default=0)
        return AgentReply("agent", True, newest, self.heartbeat_interval_s)

    def _dhcp_state(self, request: DhcpStateRequest) -> DhcpState:
        self.asked.append(request.networks)
        found = tuple(
            network
            for key, network in self.networks.items()
            if request.networks is None or key in request.networks
        )
        return DhcpState(self.position, found, self.lease_time_s)

    def _dhcp_status(self, status: DhcpStatus) -> Acknowledged:
        self.statuses.append(status)
        return Acknowledged(self.position)

    def _l3_state(self, request: L3StateRequest) -> L3State:
        self.asked.append(request.routers)
        found = tuple(
            router
            for key, router in self.routers.items()
            if request.routers is None or key in request.routers
        )
        return L3State(self.position, found)

    def _l3_status(self, status: L3Status) -> Acknowledged:
        self.statuses.append(status)
        return Acknowledged(self.position)

    def _metadata(self, request: MetadataRequest) -> MetadataReply:
        self.asked.append(request)
        return self.metadata(request)
