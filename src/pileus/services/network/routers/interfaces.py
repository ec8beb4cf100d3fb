"""A router's interfaces on project networks: added and removed by subnet or by port."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, select

from pileus.core.context import Context
from pileus.core.errors import Invalid, NotFound
from pileus.resource.declaration import Update, Values
from pileus.resource.rows import fetch
from pileus.resource.wordings.neutron import BadRequest
from pileus.services.network.common.errors import InUse
from pileus.services.network.common.revisions import touch
from pileus.services.network.config import NetworkConfig
from pileus.services.network.ports.defaults import elevated, new_port
from pileus.services.network.ports.delete import delete_ports
from pileus.services.network.ports.resource import PORT
from pileus.services.network.ports.update import update_ports
from pileus.services.network.ports.work import port_create
from pileus.services.network.routers.central_ports import central_ports_sync
from pileus.services.network.routers.in_machine import check_subnets
from pileus.services.network.routers.kinds import interface_owner
from pileus.services.network.routers.ndp import ndp_check_subnets_unused
from pileus.services.network.routers.reading import (
    AttachedPort,
    Attachments,
    attachments,
    subnets_forwarded,
    subnets_used,
    used_by_floating_ips,
)
from pileus.services.network.routers.scheduling import routers_host
from pileus.services.network.routers.tables import router_ports, routers
from pileus.services.network.routers.work import router_event
from pileus.services.network.rules.addresses import DELEGATED, PROVISIONAL
from pileus.services.network.rules.routing import Attached, check_apart
from pileus.services.network.subnets.delegation import subnets_delegate
from pileus.services.network.subnets.tables import ip_allocations, subnets
from pileus.store.tx import Tx


class RouterInterfaceNotFound(NotFound):
    message = "Router {router_id} does not have an interface with id {port_id}"


class RouterInterfaceNotFoundForSubnet(NotFound):
    message = "Router {router_id} has no interface on subnet {subnet_id}"


class RouterInterfaceInUseByFloatingIP(InUse):
    message = (
        "Router interface for subnet {subnet_id} on router {router_id} cannot be deleted, as it is required "
        "by one or more floating IPs."
    )


class RouterInterfaceInUseByRoute(InUse):
    message = (
        "Router interface for subnet {subnet_id} on router {router_id} cannot be deleted, as it is required "
        "by one or more routes."
    )


class SubnetMismatchForPort(Invalid):
    message = "Subnet on port {port_id} does not match the requested subnet {subnet_id}."


class PortInUse(InUse):
    message = (
        "Unable to complete operation on port {port_id} for network {net_id}. "
        "Port already has an attached device {device_id}."
    )


_SUBNETS = select(
    subnets.c.id,
    subnets.c.project_id,
    subnets.c.cidr,
    subnets.c.ip_version,
    subnets.c.ipv6_ra_mode,
    subnets.c.ipv6_address_mode,
    subnets.c.allocation_pools,
    subnets.c.subnetpool_id,
).where(subnets.c.id.in_(bindparam("ids", expanding=True)))


_STILL_ROUTED = (
    select(ip_allocations.c.subnet_id)
    .distinct()
    .select_from(router_ports.join(ip_allocations, ip_allocations.c.port_id == router_ports.c.port_id))
    .where(ip_allocations.c.subnet_id.in_(bindparam("ids", expanding=True)))
)


def interface_add_subnet(
    tx: Tx, context: Context, router: Values, subnet: Values, *, config: NetworkConfig
) -> dict[str, Any]:
    """Put the router on a subnet, with the subnet's gateway address. A further IPv6 prefix of a network that
    it is on already joins the port there."""
    if not subnet["gateway_ip"]:
        raise _bad("Subnet for router interface must have a gateway IP")
    if not context.is_admin and subnet["project_id"] != context.project_id:
        raise _bad(
            f"Cannot add interface to router because subnet {subnet['id']} is not owned by project "
            "making the request"
        )
    _check_address_mode(subnet)
    check_subnets(router, [subnet])
    there = attachments(tx, [router["id"]])
    _check_apart(there, router, [Attached(subnet["id"], subnet["cidr"])])
    host = _host(tx, context, router, there, config)
    address = {"subnet_id": subnet["id"], "ip_address": subnet["gateway_ip"]}
    as_admin = elevated(context)
    joined = _ipv6_port(there, router, subnet["network_id"]) if subnet["ip_version"] == 6 else None
    if joined is not None:
        (port,) = fetch(tx, PORT, [joined.port_id], lock=True)
        changes = Values({"fixed_ips": [*port["fixed_ips"], address]})
        (port,) = update_ports(tx, as_admin, [Update(port, changes)], config=config)
    else:
        spec = new_port(
            as_admin,
            project_id=router["project_id"],
            network_id=subnet["network_id"],
            device_id=router["id"],
            device_owner=interface_owner(router),
            fixed_ips=[address],
            **{"binding:host_id": host},
        )
        (port,) = port_create(tx, as_admin, [spec], config=config)
        _own(tx, router, port)
    _touch(tx, context, router, port["network_id"], config)
    return _view(router, port, [subnet["id"]])


def interface_add_port(
    tx: Tx, context: Context, router: Values, port: Values, *, config: NetworkConfig
) -> dict[str, Any]:
    """Make an existing port an interface of the router."""
    if port["device_id"]:
        raise PortInUse(net_id=port["network_id"], port_id=port["id"], device_id=port["device_id"])
    # Whoever owns a server's port may have wiped its device_id; the guest on it must not get what a router's
    # port may do.
    for server_id in config.holders_of(tx, [port["id"]]).values():
        raise PortInUse(net_id=port["network_id"], port_id=port["id"], device_id=server_id)
    if not context.is_admin and port["project_id"] != context.project_id:
        raise _bad(
            f"Cannot add interface to router because port {port['id']} is not owned by project making "
            "the request"
        )
    if not port["fixed_ips"]:
        raise _bad("Router port must have at least one fixed IP")
    rows = _subnets(tx, port["fixed_ips"])
    for row in rows:
        _check_address_mode(row._mapping)
    check_subnets(router, [row._mapping for row in rows])
    there = attachments(tx, [router["id"]])
    if any(row.ip_version == 6 for row in rows):
        attached = _ipv6_port(there, router, port["network_id"])
        if attached is not None:
            raise _bad(
                f"Router already contains IPv6 port {attached.port_id} belonging to network id "
                f"{attached.network_id}. Only one IPv6 port from the same network subnet can be connected "
                "to a router."
            )
    _check_apart(there, router, [Attached(row.id, row.cidr) for row in rows])
    if sum(row.ip_version == 4 for row in rows) > 1:
        raise _bad("Cannot have multiple IPv4 subnets on router port")
    if not context.is_admin:
        for row in rows:
            _check_inside_pools(context, port, row._mapping)
    changes = Values(
        {
            "device_id": router["id"],
            "device_owner": interface_owner(router),
            "binding:host_id": _host(tx, context, router, there, config),
        }
    )
    (port,) = update_ports(tx, elevated(context), [Update(port, changes)], config=config)
    _own(tx, router, port)
    _touch(tx, context, router, port["network_id"], config)
    return _view(router, port, [row.id for row in rows])


def interface_remove(
    tx: Tx,
    context: Context,
    router: Values,
    *,
    port_id: str | None,
    subnet: Values | None,
    config: NetworkConfig,
) -> dict[str, Any]:
    """Take the router off a subnet, or a port (and subnet) from it."""
    there = attachments(tx, [router["id"]])
    attached = _attached(there, router, port_id, subnet)
    going = attached.subnet_ids if subnet is None or port_id is not None else [subnet["id"]]
    _check_unused(tx, there, router, going)
    (port,) = fetch(tx, PORT, [attached.port_id], lock=True)
    left = [ip for ip in port["fixed_ips"] if ip["subnet_id"] not in going]
    if left:
        changes = Values({"fixed_ips": left})
        update_ports(tx, elevated(context), [Update(port, changes)], config=config)
    else:
        tx.execute(delete(router_ports).where(router_ports.c.port_id == port["id"]))
        delete_ports(tx, elevated(context), [port], config)
    _prefixes_return(tx, context, there, going)
    _touch(tx, context, router, port["network_id"], config)
    return _view(router, port, going)


def _prefixes_return(tx: Tx, context: Context, there: Attachments, going: Sequence[str]) -> None:
    """A delegated prefix goes with the router that has asked for it."""
    delegated = [one for one in going if there.subnets[one].subnetpool_id == DELEGATED]
    if delegated:
        left = {row.subnet_id for row in tx.rows(_STILL_ROUTED, {"ids": delegated})}
        subnets_delegate(tx, context, {one: PROVISIONAL for one in delegated if one not in left})


def _bad(text: str) -> BadRequest:
    return BadRequest(resource="router", msg=text)


def _check_address_mode(subnet: Mapping[str, Any]) -> None:
    if subnet["ip_version"] == 6 and not subnet["ipv6_ra_mode"] and subnet["ipv6_address_mode"]:
        raise _bad(
            f"IPv6 subnet {subnet['id']} configured to receive RAs from an external router cannot be "
            "added to Neutron Router."
        )


def _check_apart(there: Attachments, router: Values, new: Sequence[Attached]) -> None:
    on_port = {one for attached in there.attached_ports.get(router["id"], ()) for one in attached.subnet_ids}
    check_apart(there.reached(router["id"]), new, on_port)


def _check_inside_pools(context: Context, port: Values, subnet: Mapping[str, Any]) -> None:
    """A project that has a port on another's subnet may not give the router an address beside the pools."""
    if subnet["project_id"] == context.project_id:
        return
    pools = [
        (ipaddress.ip_address(pool["start"]), ipaddress.ip_address(pool["end"]))
        for pool in subnet["allocation_pools"]
    ]
    for ip in port["fixed_ips"]:
        address: Any = ipaddress.ip_address(ip["ip_address"])
        if ip["subnet_id"] == subnet["id"] and not any(first <= address <= last for first, last in pools):
            raise _bad(
                f"Cannot add interface to router because specified port {port['id']} has an IP address out "
                f"of the allocation pool of subnet {subnet['id']}, which is not owned by the project making "
                "the request"
            )


def _check_unused(tx: Tx, there: Attachments, router: Values, going: Sequence[str]) -> None:
    if any(there.subnets[subnet_id].ip_version == 6 for subnet_id in going):
        ndp_check_subnets_unused(tx, router["id"], going)
    leading = used_by_floating_ips(tx, [router["id"]])
    used = subnets_used(leading)
    if any(row.fixed_port_id is None for row in leading):
        used |= subnets_forwarded(tx, [router["id"]])
    for subnet_id in going:
        values = {"router_id": router["id"], "subnet_id": subnet_id}
        if subnet_id in used:
            raise RouterInterfaceInUseByFloatingIP(**values)
        prefix = ipaddress.ip_network(there.subnets[subnet_id].cidr)
        if any(ipaddress.ip_address(route["nexthop"]) in prefix for route in router["routes"]):
            raise RouterInterfaceInUseByRoute(**values)


def _ipv6_port(there: Attachments, router: Values, network_id: str) -> AttachedPort | None:
    for attached in there.interfaces(router["id"]):
        if attached.network_id == network_id and any(":" in ip["ip_address"] for ip in attached.fixed_ips):
            return attached
    return None


def _attached(there: Attachments, router: Values, port_id: str | None, subnet: Values | None) -> AttachedPort:
    for attached in there.interfaces(router["id"]):
        if port_id is not None:
            if attached.port_id == port_id:
                if subnet is not None and subnet["id"] not in attached.subnet_ids:
                    raise SubnetMismatchForPort(port_id=port_id, subnet_id=subnet["id"])
                return attached
        elif subnet is not None and subnet["id"] in attached.subnet_ids:
            return attached
    if port_id is not None:
        raise RouterInterfaceNotFound(router_id=router["id"], port_id=port_id)
    assert subnet is not None
    raise RouterInterfaceNotFoundForSubnet(router_id=router["id"], subnet_id=subnet["id"])


def _host(tx: Tx, context: Context, router: Values, there: Attachments, config: NetworkConfig) -> str:
    """The host of the router, none where its machine will bring the port along."""
    if router["gateway_vm"]:
        return ""
    gateway = there.gateway(router["id"])
    outside = {router["id"]: gateway.network_id if gateway is not None else None}
    return routers_host(tx, context, outside, config).get(router["id"], "")


def _subnets(tx: Tx, fixed_ips: Sequence[Mapping[str, str]]) -> list[Any]:
    return tx.rows(_SUBNETS, {"ids": [ip["subnet_id"] for ip in fixed_ips]})


def _own(tx: Tx, router: Values, port: Values) -> None:
    row = {"port_id": port["id"], "router_id": router["id"], "port_type": interface_owner(router)}
    tx.insert(router_ports, [row])


def _touch(tx: Tx, context: Context, router: Values, network_id: str, config: NetworkConfig) -> None:
    touch(tx, routers, [router["id"]], context.now)
    if router["distributed"]:
        central_ports_sync(tx, context, [router["id"]], config, network_id)
    tx.emit(router_event(context, "router.update", router))


def _view(router: Values, port: Values, subnet_ids: Sequence[str]) -> dict[str, Any]:
    return {
        "id": router["id"],
        "project_id": port["project_id"],
        "tenant_id": port["project_id"],
        "port_id": port["id"],
        "network_id": port["network_id"],
        "subnet_id": subnet_ids[-1],
        "subnet_ids": list(subnet_ids),
    }
