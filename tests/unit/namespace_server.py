"""The server for the agents of namespaces: networks and routers in dictionaries."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from tests.fake_server import FakeServer

from pileus.wire import scopes as scope_names
from pileus.wire.dhcp import DhcpNetwork, DhcpState, DhcpStateRequest, DhcpStatus, LeaseReport
from pileus.wire.l3 import L3State, L3StateRequest, L3Status, RouterDetails
from pileus.wire.metadata import MetadataPost, MetadataReply, MetadataRequest
from pileus.wire.switch import Acknowledged


class NamespaceServer(FakeServer):
    """Everything is bound to one host. ``asked`` has what was asked of it, in order."""

    def __init__(self, chance: random.Random | None = None) -> None:
        super().__init__(chance)
        self.networks: dict[str, DhcpNetwork] = {}
        self.routers: dict[str, RouterDetails] = {}
        self.lease_time_s = 86400
        self.metadata: Callable[[MetadataRequest], MetadataReply] = lambda request: MetadataReply(
            200, "text/plain", f"{request.path} {request.source_ip}".encode()
        )
        self.statuses: list[Any] = []
        self.translated: tuple[str, ...] | None = None
        """The floating IPs that routers have, as the L3 agent told last."""
        self.leases: list[tuple[str, str]] = []
        self.asked: list[Any] = []

    def put_network(self, *networks: DhcpNetwork, host: str = "n1") -> None:
        fresh = any(network.network_id not in self.networks for network in networks)
        self.networks |= {network.network_id: network for network in networks}
        named = [scope_names.dhcp_network(network.network_id) for network in networks]
        self.changed(*named, *([scope_names.dhcp(host)] if fresh else []))

    def remove_network(self, *network_ids: str, host: str = "n1") -> None:
        for network_id in network_ids:
            del self.networks[network_id]
        self.changed(*map(scope_names.dhcp_network, network_ids), scope_names.dhcp(host))

    def put_router(self, *routers: RouterDetails, host: str = "n1") -> None:
        fresh = any(router.router_id not in self.routers for router in routers)
        self.routers |= {router.router_id: router for router in routers}
        named = [scope_names.router(router.router_id) for router in routers]
        self.changed(*named, *([scope_names.l3(host)] if fresh else []))

    def remove_router(self, *router_ids: str, host: str = "n1") -> None:
        for router_id in router_ids:
            del self.routers[router_id]
        self.changed(*map(scope_names.router, router_ids), scope_names.l3(host))

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

    def _dhcp_leases(self, report: LeaseReport) -> Acknowledged:
        self.leases += [(one.kind, one.ip_address) for one in report.changes]
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
        self.translated = status.floating_ips
        return Acknowledged(self.position)

    def _metadata(self, request: MetadataRequest) -> MetadataReply:
        self.asked.append(request)
        return self.metadata(request)

    def _metadata_post(self, request: MetadataPost) -> MetadataReply:
        self.asked.append(request)
        return MetadataReply(200, "text/plain", b"")
