"""Units of work of routers."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from pileus.core.context import Context
from pileus.core.errors import Invalid, NotFound
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.services.network.agents.tables import agents
from pileus.services.network.common.copies import copied, copied_updates
from pileus.services.network.common.errors import InUse
from pileus.services.network.common.quotas import network_quota, spend
from pileus.services.network.config import NetworkConfig
from pileus.services.network.routers.central_ports import central_ports_sync
from pileus.services.network.routers.distributed_ports import distributed_ports_follow
from pileus.services.network.routers.flavored import refuse_other_kinds, take_flavors
from pileus.services.network.routers.gateway_qos import (
    GatewayPolicy,
    gateway_policies_set,
    gateway_policy,
)
from pileus.services.network.routers.gateways import GatewayRequest, gateways_remove, gateways_set, snat
from pileus.services.network.routers.ha_networks import ha_networks_join, ha_networks_leave
from pileus.services.network.routers.ha_scheduling import (
    ha_routers_check_agents,
    ha_routers_schedule,
    ha_unbind,
)
from pileus.services.network.routers.in_machine import refuse_in_machine
from pileus.services.network.routers.kind_changes import routers_enter_kind, routers_leave_kind
from pileus.services.network.routers.kinds import check_kind, complete_kind
from pileus.services.network.routers.ndp import ndp_after_gateways, ndp_before_gateways, ndp_of_new
from pileus.services.network.routers.reading import attachments
from pileus.services.network.routers.resource import ROUTER, gateways_all
from pileus.services.network.routers.scheduling import BOUND
from pileus.services.network.routers.tables import routers
from pileus.services.network.rules.agent_types import L3_AGENT
from pileus.services.network.rules.routing import check_routes
from pileus.store.errors import Referenced
from pileus.store.event import Event
from pileus.store.tx import Tx
from pileus.wire import scopes

ROUTER_QUOTA = network_quota("router", 50, routers.c.project_id)


class RouterInUse(InUse):
    message = "Router {router_id} {reason}"


class RoutesExhausted(Invalid):
    message = (
        "Unable to complete operation for {router_id}. The number of routes exceeds the maximum {quota}."
    )


class AvailabilityZoneNotFound(NotFound):
    message = "AvailabilityZone {availability_zone} could not be found."


def router_create(
    tx: Tx, context: Context, specs: Sequence[Values], *, config: NetworkConfig
) -> list[Values]:
    """Write new routers; those that ask for a gateway get one, and then an agent."""
    specs = copied(specs)
    spend(tx, specs, ROUTER_QUOTA)
    take_flavors(tx, [spec for spec in specs if spec["flavor_id"]])
    check_zones(tx, {zone for spec in specs for zone in spec["availability_zone_hints"]})
    for spec in specs:
        spec["enable_snat"] = snat(spec["external_gateway_info"] or {})
        spec["availability_zones"] = []
        complete_kind(spec, config)
    ndp_of_new(tx, specs)
    several = [spec for spec in specs if spec["ha"]]
    if several:
        ha_routers_check_agents(tx, context, config)
    ROUTER.insert(tx, context, specs)
    if several:
        ha_networks_join(tx, context, several, config)
        ha_routers_schedule(tx, context, [spec["id"] for spec in several], config)
    requests = [
        GatewayRequest(spec, spec["external_gateway_info"]) for spec in specs if spec["external_gateway_info"]
    ]
    if requests:
        shown = gateways_set(tx, context, requests, config, new=True)
        asked = [GatewayPolicy(one.router["id"], None, one.info) for one in requests]
        gateway_policies_set(tx, context, asked, shown)
        for request in requests:
            info = request.router["external_gateway_info"] = shown[request.router["id"]]
            if info is not None:
                brief = {name: info[name] for name in ("network_id", "external_fixed_ips")}
                request.router["external_gateways"] = [brief]
    tx.emit_many([router_event(context, "router.create", spec) for spec in specs])
    return specs


def router_update(
    tx: Tx, context: Context, updates: Sequence[Update], *, config: NetworkConfig
) -> list[Values]:
    """Change routers; gateway and routes must go together with what they are on."""
    updates = copied_updates(updates)
    other_kind = [one for one in updates if check_kind(one.original, one.changes, config)]
    refuse_other_kinds(other_kind)
    refuse_in_machine(updates)
    routers_leave_kind(tx, context, other_kind, config)
    ndp_before_gateways(updates)
    requests, policies = [], []
    for one in updates:
        if "external_gateway_info" in one.changes:
            info = one.changes["external_gateway_info"]
            one.changes["enable_snat"] = snat(info or {})
            # The routes that are checked are those that the router will have.
            router = Values({**one.original, **one.changes})
            requests.append(GatewayRequest(router, info))
            policies.append(
                GatewayPolicy(router["id"], gateway_policy(one.original["external_gateway_info"]), info)
            )
    shown = gateways_set(tx, context, requests, config) if requests else {}
    gateway_policies_set(tx, context, policies, shown)
    ndp_after_gateways(tx, updates)
    for one in updates:
        if one.original["id"] in shown:
            one.changes["external_gateway_info"] = shown[one.original["id"]]
    routed = [one for one in updates if "routes" in one.changes]
    if routed:
        there = attachments(tx, [one.original["id"] for one in routed])
        for one in routed:
            router_id, routes = one.original["id"], one.changes["routes"]
            if len(routes) > config.max_routes:
                raise RoutesExhausted(router_id=router_id, quota=config.max_routes)
            cidrs = [reached.cidr for reached in there.reached(router_id)]
            check_routes(routes, cidrs, there.addresses(router_id))
    after = ROUTER.change(tx, context, updates)
    routers_enter_kind(tx, context, other_kind, config)
    distributed_ports_follow(tx, updates, context.now)
    told = [
        one.original["id"]
        for one in updates
        if one.original["distributed"]
        and {"routes", "admin_state_up", "external_gateway_info"} & {*one.changes}
    ]
    if told:
        central_ports_sync(tx, context, told, config)
    tx.emit_many([router_event(context, "router.update", router) for router in after])
    outside = gateways_all(tx, [router["id"] for router in after])
    for router in after:
        router["external_gateways"] = outside.get(router["id"], [])
    return after


def router_delete(tx: Tx, context: Context, originals: Sequence[Values], *, config: NetworkConfig) -> None:
    """Delete routers with their gateways; RouterInUse while one has an interface."""
    ids = [router["id"] for router in originals]
    there = attachments(tx, ids)
    for router_id in ids:
        plugged = [attached.port_id for attached in there.interfaces(router_id)]
        if plugged:
            raise RouterInUse(router_id=router_id, reason=f"has ports still attached: {', '.join(plugged)}")
    outer = [attached for several in there.attached_ports.values() for attached in several]
    gateways_remove(tx, context, outer, there, config)
    hosts: dict[str, list[str]] = {}
    bound = tx.rows(BOUND, {"ids": ids})
    for row in bound:
        hosts.setdefault(row.router_id, []).append(row.host)
    ha_unbind(tx, context, [row for row in bound if row.ha_state is not None], config)
    ha_networks_leave(tx, context, [router["id"] for router in originals if router["ha"]], config)
    try:
        with tx.savepoint():
            ROUTER.remove(tx, originals)
    except Referenced:
        raise RouterInUse(router_id=ids[0], reason="still has ports") from None
    tx.emit_many(
        [router_event(context, "router.delete", router, *hosts.get(router["id"], ())) for router in originals]
    )


def router_event(context: Context, kind: str, router: Values, *hosts: str) -> Event:
    """Make an event that wakes the router's agents (``hosts``: also those that no longer host it)."""
    of_host = scopes.gateways if router["gateway_vm"] else scopes.l3
    concerned = [scopes.router(router["id"]), *map(of_host, hosts)]
    host = hosts[0] if hosts else None
    return event(context, kind, router["id"], router["project_id"], concerned, host=host, name=router["name"])


def check_zones(tx: Tx, zones: set[str], agent_type: str = L3_AGENT) -> None:
    """AvailabilityZoneNotFound where no agent of a kind has ever reported from a zone."""
    if not zones:
        return
    statement = select(agents.c.availability_zone).where(
        agents.c.availability_zone.in_(sorted(zones)), agents.c.agent_type == agent_type
    )
    missing = zones - {row[0] for row in tx.rows(statement)}
    if missing:
        raise AvailabilityZoneNotFound(availability_zone=min(missing))
