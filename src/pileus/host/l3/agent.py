"""The L3 agent: what ``neutron-l3-agent`` is to Neutron (seed 003), one pass at a time.

It serves the routers that are bound to its host, each in a namespace. A change of a floating IP is
an address and an element of each of two maps; a restart finds everything as it was and changes
nothing, so established connections go on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from pileus.core import log
from pileus.core.clock import Clock
from pileus.drivers.advertising.advertisers import Advertisement, Advertisers
from pileus.drivers.netlink.links import Links
from pileus.drivers.nft.driver import PacketFilter
from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.host.agent import AgentSettings, Server
from pileus.host.isolation import reason
from pileus.host.l3 import plan
from pileus.host.l3.apply import RuleApplier
from pileus.host.metadata_endpoint import MetadataEndpoint, MetadataServer
from pileus.host.namespaces.agent import NamespaceAgent, NamespaceSettings
from pileus.host.namespaces.model import Namespace
from pileus.wire import scopes
from pileus.wire.calls import L3_STATE, L3_STATUS, Call
from pileus.wire.l3 import L3StateRequest, L3Status, RouterDetails

_log = log.get("host.l3")

NAMESPACE_PREFIX = "qrouter-"


class L3Agent(NamespaceAgent[RouterDetails]):
    """Serves the routers that are bound here, which ``desired`` has."""

    binary = "neutron-l3-agent"
    agent_type = "L3 agent"
    topic = "l3_agent"
    owner = "l3"

    def __init__(
        self,
        settings: AgentSettings,
        server: Server,
        clock: Clock,
        client: OvsdbClient,
        links: Links,
        packet_filter: PacketFilter,
        advertisers: Advertisers,
        *,
        metadata: MetadataServer | None = None,
        namespaces: NamespaceSettings | None = None,
    ) -> None:
        namespaces = namespaces or NamespaceSettings(namespace_prefix=NAMESPACE_PREFIX)
        super().__init__(settings, namespaces, server, clock, client, links, metadata)
        self._rules = RuleApplier(packet_filter)
        self._advertisers = advertisers
        self._advertised: dict[str, list[Advertisement]] = {}

    def configurations(self) -> dict[str, Any]:
        routers = self.desired.values()
        return {
            "routers": len(routers),
            "ex_gw_ports": sum(router.gateway is not None for router in routers),
            "interfaces": sum(len(router.interfaces) for router in routers),
            "floating_ips": sum(len(router.floating_ips) for router in routers),
            "failed": len(self.failed),
            "conntrack_helpers_missing": sorted(self._rules.missing_helpers),
            "agent_mode": "legacy",
            "router_id": "",
            "gateway_external_network_id": "",
            "handle_internal_only_routers": True,
            "use_namespaces": True,
            "interface_driver": "openvswitch",
            "extensions": [],
            "log_agent_heartbeats": False,
        }

    async def ask(self, ids: Collection[str] | None) -> tuple[int, dict[str, RouterDetails]]:
        wanted = None if ids is None else tuple(sorted(ids))
        state = await self.call(L3_STATE, L3StateRequest(self.host, wanted))
        return state.position, {router.router_id: plan.quieted(router) for router in state.routers}

    def concerned(self, kind: str, key: str) -> Iterable[str]:
        if kind == "router":
            return (key,) if key in self.desired else ()
        if kind == "network":
            return [router_id for router_id, router in self.desired.items() if key in plan.networks(router)]
        return ()

    def listened(self) -> Iterable[str]:
        networks = {network for router in self.desired.values() for network in plan.networks(router)}
        return {*map(scopes.router, self.desired), *map(scopes.network, networks)}

    def namespace(self, thing: RouterDetails) -> Namespace | None:
        return plan.plan_namespace(thing, self._namespaces.namespace_prefix)

    def endpoints(self, thing: RouterDetails, namespace: Namespace) -> Iterable[MetadataEndpoint]:
        return plan.plan_endpoints(thing, namespace)

    async def enforce(self, things: Collection[RouterDetails]) -> tuple[int, dict[str, str]]:
        rules, failed = {}, {}
        for router in things:
            namespace = self._wanted[router.router_id]
            try:
                for route in plan.unreachable(router):
                    _log.warning(
                        "no network of a router has a route's next hop",
                        router=router.router_id,
                        destination=route.destination,
                        nexthop=route.nexthop,
                    )
                rules[namespace.name] = plan.plan_rules(router)
                self._advertised[router.router_id] = plan.plan_advertisements(router, namespace)
            except Exception as error:
                failed[router.router_id] = reason(error)
        by_name = {self._wanted[router.router_id].name: router.router_id for router in things}
        changes, refused = await self._rules.enforce(rules)
        await self._advertise()
        return changes, failed | {by_name[name]: why for name, why in refused.items()}

    async def dismiss(self, wanted: Collection[str], found: Collection[str]) -> int:
        self._advertised = {key: some for key, some in self._advertised.items() if key in wanted}
        await self._advertise()
        return 0  # a namespace takes its rules along

    async def _advertise(self) -> None:
        await self._advertisers.advertise([item for some in self._advertised.values() for item in some])

    async def release(self) -> None:
        self._advertisers.close()
        await super().release()

    def status(self, in_force: Collection[RouterDetails]) -> tuple[Call[Any, Any], msgspec.Struct]:
        return L3_STATUS, L3Status(
            self.host,
            tuple(sorted(router.router_id for router in in_force)),
            tuple(sorted({floating_id for router in in_force for floating_id in plan.floating_ids(router)})),
            dict(sorted(self.failed.items())),
        )

    async def disturbed(self) -> Collection[str]:
        names = {namespace.name: namespace.key for namespace in self._in_force()}
        return {names[name] for name in await self._rules.changed(names)}
