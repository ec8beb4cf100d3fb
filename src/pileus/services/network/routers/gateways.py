"""Gateway ports of routers: the first one as ``external_gateway_info`` asks for it, and what others need.

All functions take several routers at once, so that a bulk request costs what one costs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import delete

from pileus.core.context import Context
from pileus.resource.declaration import Update, Values
from pileus.resource.rows import fetch
from pileus.resource.wordings.neutron import BadRequest
from pileus.services.network.common.errors import InUse, NetworkNotFound
from pileus.services.network.config import NetworkConfig
from pileus.services.network.networks.visible import visible_networks
from pileus.services.network.ports.defaults import elevated, new_port
from pileus.services.network.ports.delete import delete_ports
from pileus.services.network.ports.resource import PORT
from pileus.services.network.ports.update import update_ports
from pileus.services.network.ports.work import port_create
from pileus.services.network.routers.in_machine import check_gateway_index
from pileus.services.network.routers.ndp import ndp_check_gateways_unused
from pileus.services.network.routers.reading import (
    AttachedPort,
    Attachments,
    attachments,
    used_by_floating_ips,
)
from pileus.services.network.routers.resource import gateway_info, gateways_first
from pileus.services.network.routers.scheduling import routers_host
from pileus.services.network.routers.tables import router_ports
from pileus.services.network.rules import device_owners
from pileus.services.network.rules.routing import Attached, check_apart, check_routes
from pileus.store.tx import Tx

Info = Mapping[str, Any]


class RouterExternalGatewayInUseByFloatingIp(InUse):
    message = (
        "Gateway cannot be updated for router {router_id}, since a gateway to external network {net_id} "
        "is required by one or more floating IPs."
    )


class GatewayRequest(NamedTuple):
    """A router and its first gateway as it shall be (None: none; the next one is the first then)."""

    router: Values
    info: Info | None


class NewGateway(NamedTuple):
    """A gateway that a router gets; the one with the least index is its first."""

    router: Values
    info: Info
    gateway_index: int = 0


def gateways_set(
    tx: Tx, context: Context, requests: Sequence[GatewayRequest], config: NetworkConfig, *, new: bool = False
) -> dict[str, dict[str, Any] | None]:
    """Make the first gateways of routers what they shall be: ``{router id: external_gateway_info as it is
    now}``.

    ``new``: the routers have just been made, and have no ports. ``enable_snat`` is the caller's to write.
    """
    networks = {request.info["network_id"] for request in requests if request.info}
    check_external(tx, context, networks)
    router_ids = [request.router["id"] for request in requests]
    there = attachments(tx, [] if new else router_ids, networks)
    added: list[NewGateway] = []
    gone: list[AttachedPort] = []
    moved: list[tuple[AttachedPort, Info]] = []
    shown: dict[str, dict[str, Any] | None] = dict.fromkeys(router_ids)
    for request in requests:
        router, info = request
        attached = there.gateway(router["id"])
        check_gateway(router, info, attached, there)
        if attached is not None and info is not None and attached.network_id == info["network_id"]:
            shown[router["id"]] = gateway_info(attached.network_id, attached.fixed_ips, snat(info))
            if addresses_differ(attached, info):
                moved.append((attached, info))
            continue
        if attached is not None:
            gone.append(attached)
        if info is not None:
            added.append(NewGateway(router, info, attached.gateway_index if attached is not None else 0))
    gateways_remove(tx, context, gone, there, config)
    for attached, ips in gateways_readdress(tx, context, moved, config):
        shown[attached.router_id] = {**(shown[attached.router_id] or {}), "external_fixed_ips": ips}
    for port in gateways_make(tx, context, added, config):
        info = next(one.info for one in added if one.router["id"] == port["device_id"])
        shown[port["device_id"]] = gateway_info(port["network_id"], port["fixed_ips"], snat(info))
    cleared = [one for one in router_ids if shown[one] is None and len(there.gateways(one)) > 1]
    if cleared:  # the next gateway is the first now, and the router translates as it does by default
        shown |= {key: {**info, "enable_snat": True} for key, info in gateways_first(tx, cleared).items()}
    return shown


def snat(info: Info) -> bool:
    """Whether the router translates source addresses (SNAT): as asked, else yes."""
    return bool(info.get("enable_snat", True))


def check_external(tx: Tx, context: Context, network_ids: set[str]) -> None:
    """NetworkNotFound, or BadRequest where one is not external."""
    visible = visible_networks(tx, context, network_ids)
    for network_id in sorted(network_ids):
        if network_id not in visible:
            raise NetworkNotFound(network_id=network_id)
        if not visible[network_id].external:
            raise BadRequest(resource="router", msg=f"Network {network_id} is not an external network")


def check_gateway(
    router: Values, info: Info | None, attached: AttachedPort | None, there: Attachments
) -> None:
    """Check addresses, overlaps with the router's subnets, and routes that would lose their next hop.
    ``attached`` is the gateway that it takes the place of."""
    outside: list[Attached] = []
    if info is not None:
        rows = [row for row in there.subnets.values() if row.network_id == info["network_id"]]
        outside = [Attached(row.id, row.cidr) for row in rows]
        for ip in info.get("external_fixed_ips") or ():
            if ip.get("ip_address") in {row.gateway_ip for row in rows if row.gateway_ip}:
                raise BadRequest(
                    resource="router", msg=f"External IP {ip['ip_address']} is the same as the gateway IP"
                )
    leaving = {attached.port_id} if attached is not None else set()
    inside = there.reached(router["id"], without=leaving)
    if info is not None and (attached is None or attached.network_id != info["network_id"]):
        # Several gateways may be on one network.
        beside = {one.port_id for one in there.gateways(router["id"]) if one.network_id == info["network_id"]}
        others = there.reached(router["id"], without=leaving | beside)
        check_apart(others, outside, {one.subnet_id for one in others})
    if router["routes"]:
        cidrs = [one.cidr for one in (*inside, *outside)]
        check_routes(router["routes"], cidrs, there.addresses(router["id"], without=leaving))


def addresses_differ(attached: AttachedPort, info: Info) -> bool:
    """Whether others are asked for than a gateway has."""
    asked = info.get("external_fixed_ips")
    if not asked:
        return False
    named = {ip["ip_address"] for ip in asked if ip.get("ip_address")}
    subnet_ids = {ip["subnet_id"] for ip in asked if ip.get("subnet_id")}
    return bool(subnet_ids and subnet_ids != set(attached.subnet_ids)) or named != {
        ip["ip_address"] for ip in attached.fixed_ips
    }


def gateways_remove(
    tx: Tx,
    context: Context,
    going: Sequence[AttachedPort],
    there: Attachments,
    config: NetworkConfig,
    coming: Collection[tuple[str, str]] = (),
) -> None:
    """Delete gateway ports: RouterExternalGatewayInUseByFloatingIp where a floating IP needs one, and no
    other is on its network. ``coming``: routers and networks of gateways that are about to be made."""
    if not going:
        return
    ids = [attached.port_id for attached in going]
    router_ids = list(dict.fromkeys(attached.router_id for attached in going))
    left = {
        (one.router_id, one.network_id)
        for router_id in router_ids
        for one in there.gateways(router_id)
        if one.port_id not in ids
    }
    lost = {(one.router_id, one.network_id) for one in going} - left - {*coming}
    for row in used_by_floating_ips(tx, router_ids):
        if (row.router_id, row.floating_network_id) in lost:
            raise RouterExternalGatewayInUseByFloatingIp(
                router_id=row.router_id, net_id=row.floating_network_id
            )
    firsts = [there.gateway(router_id) for router_id in router_ids]
    ndp_check_gateways_unused(tx, [one.router_id for one in firsts if one is not None and one.port_id in ids])
    tx.execute(delete(router_ports).where(router_ports.c.port_id.in_(ids)))
    delete_ports(tx, elevated(context), fetch(tx, PORT, ids, lock=True), config)


def gateways_readdress(
    tx: Tx, context: Context, moved: Sequence[tuple[AttachedPort, Info]], config: NetworkConfig
) -> list[tuple[AttachedPort, list[dict[str, str]]]]:
    """Give gateway ports the addresses that are asked for; what they have now."""
    if not moved:
        return []
    found = {
        port["id"]: port for port in fetch(tx, PORT, [attached.port_id for attached, _ in moved], lock=True)
    }
    updates = [
        Update(found[attached.port_id], Values({"fixed_ips": info["external_fixed_ips"]}))
        for attached, info in moved
    ]
    after = update_ports(tx, elevated(context), updates, config=config)
    return [(attached, port["fixed_ips"]) for (attached, _), port in zip(moved, after, strict=True)]


def gateways_make(
    tx: Tx, context: Context, wanted: Sequence[NewGateway], config: NetworkConfig
) -> list[Values]:
    """Make the ports of gateways, on the hosts of their routers; in the order of ``wanted``."""
    if not wanted:
        return []
    for one in wanted:
        check_gateway_index(one.router, one.gateway_index)
    outside: dict[str, str | None] = {
        one.router["id"]: one.info["network_id"] for one in wanted if not one.router["gateway_vm"]
    }
    hosts = routers_host(tx, context, outside, config) if outside else {}
    as_admin = elevated(context)
    specs = [
        new_port(
            as_admin,
            # Nobody's: the port is not shown to the router's project, and does not count for its quota.
            project_id="",
            network_id=one.info["network_id"],
            device_id=one.router["id"],
            device_owner=device_owners.ROUTER_GATEWAY,
            fixed_ips=one.info.get("external_fixed_ips") or None,
            **{"binding:host_id": hosts.get(one.router["id"], "")},
        )
        for one in wanted
    ]
    made = port_create(tx, as_admin, specs, config=config)
    tx.insert(
        router_ports,
        [
            {
                "port_id": port["id"],
                "router_id": port["device_id"],
                "port_type": device_owners.ROUTER_GATEWAY,
                "gateway_index": one.gateway_index,
            }
            for one, port in zip(wanted, made, strict=True)
        ],
    )
    return made
