"""A router's way out: the gateway port that ``external_gateway_info`` asks for.

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
from pileus.services.network.ports.changing import change_ports
from pileus.services.network.ports.removing import remove_ports
from pileus.services.network.ports.resource import PORT
from pileus.services.network.ports.specs import elevated, new_port
from pileus.services.network.ports.work import port_create
from pileus.services.network.routers.reading import Attachments, Plug, attachments, used_by_floating_ips
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


class Wish(NamedTuple):
    """A router and the gateway that it shall have (None: none)."""

    router: Values
    info: Info | None


def gateways_set(
    tx: Tx, context: Context, wishes: Sequence[Wish], config: NetworkConfig, *, new: bool = False
) -> dict[str, dict[str, Any] | None]:
    """Give routers the gateways they shall have: ``{router id: external_gateway_info as it is now}``.

    ``new``: the routers have just been made, and have no ports. ``enable_snat`` is the caller's to write.
    """
    networks = {wish.info["network_id"] for wish in wishes if wish.info}
    _check_external(tx, context, networks)
    router_ids = [wish.router["id"] for wish in wishes]
    there = attachments(tx, [] if new else router_ids, networks)
    added: list[Wish] = []
    gone: list[Plug] = []
    moved: list[tuple[Plug, Info]] = []
    shown: dict[str, dict[str, Any] | None] = dict.fromkeys(router_ids)
    for wish in wishes:
        router, info = wish
        plug = there.gateway(router["id"])
        _check(router, info, plug, there)
        if plug is not None and info is not None and plug.network_id == info["network_id"]:
            shown[router["id"]] = gateway_info(plug.network_id, plug.fixed_ips, snat(info))
            if _addresses_differ(plug, info):
                moved.append((plug, info))
            continue
        if plug is not None:
            gone.append(plug)
        if info is not None:
            added.append(wish)
    _remove(tx, context, gone, config)
    for plug, ips in _readdress(tx, context, moved, config):
        shown[plug.router_id] = {**(shown[plug.router_id] or {}), "external_fixed_ips": ips}
    shown |= _add(tx, context, added, config)
    return shown


def gateways_clear(tx: Tx, context: Context, plugs: Sequence[Plug], config: NetworkConfig) -> None:
    """Take gateway ports away: RouterExternalGatewayInUseByFloatingIp where a floating IP needs one."""
    _remove(tx, context, plugs, config)


def snat(info: Info) -> bool:
    """Whether the router hides what is behind it: as asked, else yes."""
    return bool(info.get("enable_snat", True))


def _check_external(tx: Tx, context: Context, network_ids: set[str]) -> None:
    visible = visible_networks(tx, context, network_ids)
    for network_id in sorted(network_ids):
        if network_id not in visible:
            raise NetworkNotFound(network_id=network_id)
        if not visible[network_id].external:
            raise BadRequest(resource="router", msg=f"Network {network_id} is not an external network")


def _check(router: Values, info: Info | None, plug: Plug | None, there: Attachments) -> None:
    """Addresses, overlaps with what the router reaches already, and routes that would lose their next hop."""
    outside: list[Attached] = []
    if info is not None:
        rows = [row for row in there.subnets.values() if row.network_id == info["network_id"]]
        outside = [Attached(row.id, row.cidr) for row in rows]
        for ip in info.get("external_fixed_ips") or ():
            if ip.get("ip_address") in {row.gateway_ip for row in rows if row.gateway_ip}:
                raise BadRequest(
                    resource="router", msg=f"External IP {ip['ip_address']} is the same as the gateway IP"
                )
    leaving = {plug.port_id} if plug is not None else set()
    inside = there.reached(router["id"], without=leaving)
    if plug is None or info is None or plug.network_id != info["network_id"]:
        check_apart(inside, outside, {one.subnet_id for one in inside})
    if router["routes"]:
        cidrs = [one.cidr for one in (*inside, *outside)]
        check_routes(router["routes"], cidrs, there.addresses(router["id"], without=leaving))


def _addresses_differ(plug: Plug, info: Info) -> bool:
    asked = info.get("external_fixed_ips")
    if not asked:
        return False
    named = {ip["ip_address"] for ip in asked if ip.get("ip_address")}
    subnet_ids = {ip["subnet_id"] for ip in asked if ip.get("subnet_id")}
    return bool(subnet_ids and subnet_ids != set(plug.subnet_ids)) or named != {
        ip["ip_address"] for ip in plug.fixed_ips
    }


def _remove(tx: Tx, context: Context, plugs: Sequence[Plug], config: NetworkConfig) -> None:
    if not plugs:
        return
    networks = {plug.router_id: plug.network_id for plug in plugs}
    for row in used_by_floating_ips(tx, list(networks)):
        raise RouterExternalGatewayInUseByFloatingIp(router_id=row.router_id, net_id=networks[row.router_id])
    ids = [plug.port_id for plug in plugs]
    tx.execute(delete(router_ports).where(router_ports.c.port_id.in_(ids)))
    remove_ports(tx, elevated(context), fetch(tx, PORT, ids, lock=True), config)


def _readdress(
    tx: Tx, context: Context, moved: Sequence[tuple[Plug, Info]], config: NetworkConfig
) -> list[tuple[Plug, list[dict[str, str]]]]:
    if not moved:
        return []
    found = {port["id"]: port for port in fetch(tx, PORT, [plug.port_id for plug, _ in moved], lock=True)}
    updates = [
        Update(found[plug.port_id], Values({"fixed_ips": info["external_fixed_ips"]})) for plug, info in moved
    ]
    after = change_ports(tx, elevated(context), updates, config=config)
    return [(plug, port["fixed_ips"]) for (plug, _), port in zip(moved, after, strict=True)]


def _add(
    tx: Tx, context: Context, wishes: Sequence[Wish], config: NetworkConfig
) -> dict[str, dict[str, Any] | None]:
    if not wishes:
        return {}
    outside: dict[str, str | None] = {
        wish.router["id"]: wish.info["network_id"] for wish in wishes if wish.info
    }
    hosts = routers_host(tx, context, outside, config)
    mighty = elevated(context)
    specs = [
        new_port(
            mighty,
            # Nobody's: the port is not shown to the router's project, and does not count for its quota.
            project_id="",
            network_id=wish.info["network_id"],
            device_id=wish.router["id"],
            device_owner=device_owners.ROUTER_GATEWAY,
            fixed_ips=wish.info.get("external_fixed_ips") or None,
            **{"binding:host_id": hosts.get(wish.router["id"], "")},
        )
        for wish in wishes
        if wish.info
    ]
    made = port_create(tx, mighty, specs, config=config)
    tx.insert(
        router_ports,
        [
            {"port_id": port["id"], "router_id": port["device_id"], "port_type": device_owners.ROUTER_GATEWAY}
            for port in made
        ],
    )
    infos = {wish.router["id"]: wish.info for wish in wishes if wish.info}
    return {
        port["device_id"]: gateway_info(port["network_id"], port["fixed_ips"], snat(infos[port["device_id"]]))
        for port in made
    }
