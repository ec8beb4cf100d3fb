"""The L3 agent: what ``neutron-l3-agent`` is to Neutron (seed 003), one pass at a time.

It serves the routers that are bound to its host, each in a namespace. A change of a floating IP is
an address and an element of each of two maps; a restart finds everything as it was and changes
nothing, so established connections go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from pileus.core import log
from pileus.core.clock import Clock
from pileus.drivers.advertising.advertisers import Advertisement, Advertisers
from pileus.drivers.bfd.spec import BfdRouters, WatchedRouter
from pileus.drivers.delegation.spec import PrefixClients
from pileus.drivers.keepalived.spec import VirtualRouter, VirtualRouters
from pileus.drivers.netlink.links import Links
from pileus.drivers.nft.driver import PacketFilter
from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.flow.reconcile import Work
from pileus.host.agent import AgentSettings, Server
from pileus.host.isolation import reason
from pileus.host.l3 import gateways, ha_plan, handover, plan
from pileus.host.l3.apply import RuleApplier
from pileus.host.l3.bfd import WATCH_INTERVAL_S, BfdBook, plan_bfd
from pileus.host.l3.delegation import PrefixBook, settled
from pileus.host.l3.ha import HaBook
from pileus.host.metadata_endpoint import MetadataEndpoint, MetadataServer
from pileus.host.namespaces.agent import NamespaceAgent, NamespaceSettings
from pileus.host.namespaces.model import Namespace
from pileus.wire import scopes
from pileus.wire.calls import L3_STATE, L3_STATUS, Call
from pileus.wire.l3 import L3StateRequest, L3Status, RouterDetails
from pileus.wire.metering import MeteringCount

_log = log.get("host.l3")

NAMESPACE_PREFIX = "qrouter-"
EXTENSIONS = ("conntrack_helper", "fip_qos", "gateway_ip_qos", "ndp_proxy", "port_forwarding")
"""Extensions of Neutron's agent, by their names there, whose work this one always does."""
_AFTERWARDS_S = 0.05


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
        virtual_routers: VirtualRouters | None = None,
        bfd_routers: BfdRouters | None = None,
        prefix_clients: PrefixClients | None = None,
        agent_mode: str = "dvr_snat",
        metadata: MetadataServer | None = None,
        namespaces: NamespaceSettings | None = None,
    ) -> None:
        namespaces = namespaces or NamespaceSettings(namespace_prefix=NAMESPACE_PREFIX)
        super().__init__(settings, namespaces, server, clock, client, links, metadata)
        self._rules = RuleApplier(packet_filter)
        self._advertisers = advertisers
        self._advertised: dict[str, list[Advertisement]] = {}
        self._ha = HaBook(virtual_routers)
        self._bfd = BfdBook(_log, bfd_routers)
        self._prefixes = PrefixBook(prefix_clients)
        self._agent_mode = agent_mode
        self._wiring = handover.Wiring(client, namespaces.integration_bridge)
        self._stirred: set[str] = set()
        self._leaving: dict[str, tuple[float, asyncio.TimerHandle]] = {}

    def configurations(self) -> dict[str, Any]:
        routers = self.desired.values()
        return {
            "routers": len(routers),
            "ex_gw_ports": sum(len(gateways.all_of(router)) for router in routers),
            "interfaces": sum(len(router.interfaces) for router in routers),
            "floating_ips": sum(len(router.floating_ips) for router in routers),
            "failed": len(self.failed),
            "conntrack_helpers_missing": sorted(self._rules.missing_helpers),
            "bfd": self._bfd.can_be,
            "agent_mode": self._agent_mode,
            "router_id": "",
            "gateway_external_network_id": "",
            "handle_internal_only_routers": True,
            "use_namespaces": True,
            "interface_driver": "openvswitch",
            "extensions": list(EXTENSIONS),
            "log_agent_heartbeats": False,
        }

    async def ask(self, ids: Collection[str] | None) -> tuple[int, dict[str, RouterDetails]]:
        wanted = None if ids is None else tuple(sorted(ids))
        state = await self.call(L3_STATE, L3StateRequest(self.host, wanted))
        self._note_leaving(state.routers, ids)
        self._prefixes.note((one for one in state.routers if one.admin_state_up), ids)
        return state.position, {
            router.router_id: msgspec.structs.replace(settled(plan.quieted(router)), leaves_in_s=None)
            for router in state.routers
        }

    def _note_leaving(self, routers: Collection[RouterDetails], ids: Collection[str] | None) -> None:
        """Report when the time is over for which routers are served here that were taken from this agent."""
        leaving = {one.router_id: one.leaves_in_s for one in routers if one.leaves_in_s is not None}
        for key, (seconds, timer) in list(self._leaving.items()):
            if leaving.get(key) != seconds and (ids is None or key in ids):
                timer.cancel()
                del self._leaving[key]
        for key in leaving.keys() - self._leaving.keys():
            timer = asyncio.get_running_loop().call_later(leaving[key] + _AFTERWARDS_S, self._report_soon.set)
            self._leaving[key] = leaving[key], timer

    def may_announce(self, key: str) -> bool:
        """Not those of a router that another agent takes over: switches believe whoever spoke last."""
        return key not in self._leaving

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
        if thing.ha is not None and not self._ha.is_active(thing.router_id):
            thing = msgspec.structs.replace(thing, ndp_proxies=())  # the active one answers for them
        whole = plan.plan_namespace(thing, self._namespaces.namespace_prefix)
        if thing.standby:
            return handover.silent(whole)
        return whole if thing.ha is None else ha_plan.held_ready(thing.ha, whole)

    def endpoints(self, thing: RouterDetails, namespace: Namespace) -> Iterable[MetadataEndpoint]:
        if thing.standby or (thing.ha is not None and not self._ha.is_active(thing.router_id)):
            return ()
        return plan.plan_endpoints(thing, namespace)

    async def watch(self) -> None:
        await asyncio.gather(
            *(super().watch(), self._watch_ha(), self._watch_next_hops()),
            *(self._watch_wiring(), self._watch_prefixes()),
        )

    async def _watch_ha(self) -> None:
        """Whoever becomes active or stands by begins or ends what only the active one does, at once."""
        while self._ha.can_be:
            await self._ha.changed()
            self.reconciler.wake()

    async def _watch_next_hops(self) -> None:
        """Of a next hop that fell silent, end the connections that would stay with it."""
        while self._bfd.can_be:
            await asyncio.sleep(WATCH_INTERVAL_S)
            await self._rules.forget(await self._bfd.fallen())

    async def _watch_wiring(self) -> None:
        """A router whose ports are wired is ready to be taken over: a pass says so."""
        while True:
            self._stirred |= await self._wiring.come()
            self.reconciler.wake()

    async def _watch_prefixes(self) -> None:
        """A delegated prefix is told to the server by a pass."""
        while self._prefixes.can_be:
            self._stirred |= await self._prefixes.changed()
            self.reconciler.wake()

    async def reconcile(self, work: Work) -> int:
        stirred, self._stirred = self._stirred, set()
        for router_id in {*stirred, *await self._ha.refreshed()}:
            self._done.pop(router_id, None)
        return await super().reconcile(work)

    async def make_way(self, things: Collection[RouterDetails]) -> None:
        """Where a router is no longer held ready, keepalived takes its addresses away as it ends."""
        try:
            await self._ha.leave(
                {key for key, router in self.desired.items() if router.ha is not None}, search=False
            )
        except Exception as error:
            _log.warning("not all that keeps routers ready has ended", why=reason(error))

    async def enforce(self, things: Collection[RouterDetails]) -> tuple[int, dict[str, str]]:
        rules, besides, failed = {}, {}, {}
        virtual: dict[str, VirtualRouter] = {}
        watched: dict[str, WatchedRouter | None] = {}
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
                besides[namespace.name] = [
                    plan.plan_metering(router),
                    plan.plan_ndp_proxy(router),
                    gateways.plan_marks(router),
                ]
                if not router.standby:
                    watched[router.router_id] = plan_bfd(router, namespace.name)
                advertised = [] if router.standby else plan.plan_advertisements(router, namespace)
                if router.ha is not None:
                    whole = plan.plan_namespace(router, self._namespaces.namespace_prefix)
                    virtual[router.router_id] = ha_plan.plan_virtual_router(router, router.ha, whole)
                    advertised = advertised if self._ha.is_active(router.router_id) else []
                self._advertised[router.router_id] = advertised
            except Exception as error:
                failed[router.router_id] = reason(error)
        by_name = {self._wanted[router.router_id].name: router.router_id for router in things}
        changes, refused = await self._rules.enforce(rules, besides)
        before = self._ha.states(virtual)
        put, not_virtual = await self._ha.enforce(virtual)
        if before != self._ha.states(virtual):
            self._ha.doubt(virtual)
            self.reconciler.wake()  # what the active one serves is planned by the next pass
        watching, unwatched = await self._bfd.enforce(watched)
        await self._advertise()
        await self._ask_for_prefixes()
        failed |= not_virtual | unwatched | {by_name[name]: why for name, why in refused.items()}
        return changes + put + watching, failed

    async def dismiss(self, wanted: Collection[str], found: Collection[str]) -> int:
        self._advertised = {key: some for key, some in self._advertised.items() if key in wanted}
        await self._advertise()
        await self._ask_for_prefixes()
        watched = {key for key in wanted if self.desired[key].enable_default_route_bfd}
        left = await self._bfd.leave(watched)
        return left + await self._ha.leave(wanted)  # a namespace takes its rules along

    async def _ask_for_prefixes(self) -> None:
        await self._prefixes.ask(
            {
                key: (router, self._wanted[key].name)
                for key, router in self.desired.items()
                if key in self._wanted
                and router.admin_state_up
                and not router.standby
                and (router.ha is None or self._ha.is_active(key))
            }
        )

    async def _advertise(self) -> None:
        await self._advertisers.advertise([item for some in self._advertised.values() for item in some])

    async def release(self) -> None:
        for _, timer in self._leaving.values():
            timer.cancel()
        self._advertisers.close()
        self._ha.close()
        self._prefixes.close()
        await super().release()

    async def counted(self) -> list[MeteringCount]:
        """Count by metering label and router, of the routers in force."""
        keys = {
            namespace.name: namespace.key
            for namespace in self._in_force()
            if self.desired[namespace.key].metering_labels
        }
        if not keys:
            return []
        return [
            MeteringCount(label_id, keys[name], packets, octets)
            for name, labels in sorted((await self._rules.counted(keys)).items())
            for label_id, (packets, octets) in sorted(labels.items())
        ]

    def status(self, in_force: Collection[RouterDetails]) -> tuple[Call[Any, Any], msgspec.Struct]:
        serving = [router for router in in_force if not router.standby]
        standby = {router.router_id: self._wanted[router.router_id] for router in in_force if router.standby}
        ready = self._wiring.wired(standby) if standby else set()
        self._wiring.wait_for({key: one for key, one in standby.items() if key not in ready})
        return L3_STATUS, L3Status(
            self.host,
            tuple(sorted(router.router_id for router in serving)),
            tuple(sorted({floating_id for router in serving for floating_id in plan.floating_ids(router)})),
            dict(sorted(self.failed.items())),
            self._ha.states(sorted(router.router_id for router in serving if router.ha is not None)),
            tuple(sorted(ready)),
            self._prefixes.held(),
        )

    async def disturbed(self) -> Collection[str]:
        names = {namespace.name: namespace.key for namespace in self._in_force()}
        changed = {names[name] for name in await self._rules.changed(names)}
        return changed | await self._ha.ended() | await self._bfd.ended()
