"""Gateway ports of routers, as ``external_gateway_info`` asks for them.

All functions take several routers at once, so that a bulk request costs what one costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from pileus.services.network.routers.ndp import ndp_check_gateways_unused
from pileus.services.network.routers.reading import (
    AttachedPort,
    Attachments,
    attachments,
    used_by_floating_ips,
)
from pileus.services.network.routers.resource import gateway_info
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
    """A router and the gateway that it shall have (None: none)."""

    router: Values
    info: Info | None


def gateways_set(
    tx: Tx, context: Context, requests: Sequence[GatewayRequest], config: NetworkConfig, *, new: bool = False
) -> dict[str, dict[str, Any] | None]:
    """Give routers the gateways they shall have: ``{router id: external_gateway_info as it is now}``.

    ``new``: the routers have just been made, and have no ports. ``enable_snat`` is the caller's to write.
    """
    networks = {request.info["network_id"] for request in requests if request.info}
    _check_external(tx, context, networks)
    router_ids = [request.router["id"] for request in requests]
    there = attachments(tx, [] if new else router_ids, networks)
    added: list[GatewayRequest] = []
    gone: list[AttachedPort] = []
    moved: list[tuple[AttachedPort, Info]] = []
    shown: dict[str, dict[str, Any] | None] = dict.fromkeys(router_ids)
    for request in requests:
        router, info = request
        attached = there.gateway(router["id"])
        _check(router, info, attached, there)
        if attached is not None and info is not None and attached.network_id == info["network_id"]:
            shown[router["id"]] = gateway_info(attached.network_id, attached.fixed_ips, snat(info))
            if _addresses_differ(attached, info):
                moved.append((attached, info))
            continue
        if attached is not None:
            gone.append(attached)
        if info is not None:
            added.append(request)
    _remove(tx, context, gone, config)
    for attached, ips in _readdress(tx, context, moved, config):
        shown[attached.router_id] = {**(shown[attached.router_id] or {}), "external_fixed_ips": ips}
    shown |= _add(tx, context, added, config)
    return shown


def gateways_clear(
    tx: Tx, context: Context, attached_ports: Sequence[AttachedPort], config: NetworkConfig
) -> None:
    """Delete gateway ports: RouterExternalGatewayInUseByFloatingIp where a floating IP needs one."""
    _remove(tx, context, attached_ports, config)


def snat(info: Info) -> bool:
    """Whether the router translates source addresses (SNAT): as asked, else yes."""
    return bool(info.get("enable_snat", True))


def _check_external(tx: Tx, context: Context, network_ids: set[str]) -> None:
    visible = visible_networks(tx, context, network_ids)
    for network_id in sorted(network_ids):
        if network_id not in visible:
            raise NetworkNotFound(network_id=network_id)
        if not visible[network_id].external:
            raise BadRequest(resource="router", msg=f"Network {network_id} is not an external network")


def _check(router: Values, info: Info | None, attached: AttachedPort | None, there: Attachments) -> None:
    """Check addresses, overlaps with the router's subnets, and routes that would lose their next hop."""
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
    if attached is None or info is None or attached.network_id != info["network_id"]:
        check_apart(inside, outside, {one.subnet_id for one in inside})
    if router["routes"]:
        cidrs = [one.cidr for one in (*inside, *outside)]
        check_routes(router["routes"], cidrs, there.addresses(router["id"], without=leaving))


def _addresses_differ(attached: AttachedPort, info: Info) -> bool:
    asked = info.get("external_fixed_ips")
    if not asked:
        return False
    named = {ip["ip_address"] for ip in asked if ip.get("ip_address")}
    subnet_ids = {ip["subnet_id"] for ip in asked if ip.get("subnet_id")}
    return bool(subnet_ids and subnet_ids != set(attached.subnet_ids)) or named != {
        ip["ip_address"] for ip in attached.fixed_ips
    }


def _remove(tx: Tx, context: Context, attached_ports: Sequence[AttachedPort], config: NetworkConfig) -> None:
    if not attached_ports:
        return
    networks = {attached.router_id: attached.network_id for attached in attached_ports}
    for row in used_by_floating_ips(tx, list(networks)):
        raise RouterExternalGatewayInUseByFloatingIp(router_id=row.router_id, net_id=networks[row.router_id])
    ndp_check_gateways_unused(tx, list(networks))
    ids = [attached.port_id for attached in attached_ports]
    tx.execute(delete(router_ports).where(router_ports.c.port_id.in_(ids)))
    delete_ports(tx, elevated(context), fetch(tx, PORT, ids, lock=True), config)


def _readdress(
    tx: Tx, context: Context, moved: Sequence[tuple[AttachedPort, Info]], config: NetworkConfig
) -> list[tuple[AttachedPort, list[dict[str, str]]]]:
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


def _add(
    tx: Tx, context: Context, requests: Sequence[GatewayRequest], config: NetworkConfig
) -> dict[str, dict[str, Any] | None]:
    if not requests:
        return {}
    outside: dict[str, str | None] = {
        request.router["id"]: request.info["network_id"] for request in requests if request.info
    }
    hosts = routers_host(tx, context, outside, config)
    as_admin = elevated(context)
    specs = [
        new_port(
            as_admin,
            # Nobody's: the port is not shown to the router's project, and does not count for its quota.
            project_id="",
            network_id=request.info["network_id"],
            device_id=request.router["id"],
            device_owner=device_owners.ROUTER_GATEWAY,
            fixed_ips=request.info.get("external_fixed_ips") or None,
            **{"binding:host_id": hosts.get(request.router["id"], "")},
        )
        for request in requests
        if request.info
    ]
    made = port_create(tx, as_admin, specs, config=config)
    tx.insert(
        router_ports,
        [
            {"port_id": port["id"], "router_id": port["device_id"], "port_type": device_owners.ROUTER_GATEWAY}
            for port in made
        ],
    )
    infos = {request.router["id"]: request.info for request in requests if request.info}
    return {
        port["device_id"]: gateway_info(port["network_id"], port["fixed_ips"], snat(infos[port["device_id"]]))
        for port in made
    }
