"""Units of work of NDP proxies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, bindparam, select

from pileus.core.context import Context
from pileus.core.errors import Conflict, Invalid
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.resource.wordings.neutron import BadRequest
from pileus.services.network.common.copies import copied
from pileus.services.network.common.errors import PortNotFound, RouterNotFound
from pileus.services.network.ndp_proxies.resource import NDP_PROXY
from pileus.services.network.networks.tables import networks
from pileus.services.network.ports.tables import ports
from pileus.services.network.routers.ndp import scopes_of
from pileus.services.network.routers.reading import Attachments, attachments
from pileus.services.network.routers.tables import routers
from pileus.store.errors import Duplicate
from pileus.store.tx import Tx
from pileus.wire import scopes


class PortUnreachableRouter(Conflict):
    message = "The port {port_id} cannot reach the router {router_id} by IPv6 subnet."


class RouterNDPProxyNotEnable(Conflict):
    message = (
        "The enable_ndp_proxy parameter of router {router_id} must be set as True while create ndp proxy "
        "entry on it."
    )


class AddressScopeConflict(Conflict):
    message = (
        "The IPv6 address scope {ext_address_scope} of external network conflict with internal network's "
        "IPv6 address scope {internal_address_scope}."
    )


class InvalidAddress(Invalid):
    message = "The address {address} is invalid, reason: {reason}."


class NeutronDbObjectDuplicateEntry(Conflict):
    message = (
        "Failed to create a duplicate NDPProxy: for attribute(s) ['router_id', 'ip_address'] with value(s) "
        "{router_id}-{ip_address}"
    )


_ROUTERS = select(routers).where(routers.c.id.in_(bindparam("ids", expanding=True))).with_for_update()
_PORTS = (
    select(ports, networks.c.project_id.label("network_project_id"))
    .select_from(ports.join(networks, networks.c.id == ports.c.network_id))
    .where(ports.c.id.in_(bindparam("ids", expanding=True)))
)


def ndp_proxy_create(tx: Tx, context: Context, specs: Sequence[Values]) -> list[Values]:
    """Write new proxies; six statements for any number."""
    specs = copied(specs)
    router_ids = sorted({spec["router_id"] for spec in specs})
    found_routers = {row.id: row for row in tx.rows(_ROUTERS, {"ids": router_ids})}
    found_ports = {row.id: row for row in tx.rows(_PORTS, {"ids": [spec["port_id"] for spec in specs]})}
    there = attachments(tx, router_ids)
    outside = {one: there.gateway(one) for one in router_ids}
    concerned = {row.network_id for row in found_ports.values()}
    address_scopes = scopes_of(tx, concerned | {one.network_id for one in outside.values() if one})
    for spec in specs:
        port = found_ports.get(spec["port_id"])
        if port is None or not _may_use(context, port.project_id, port.network_project_id):
            raise PortNotFound(port_id=spec["port_id"])
        router = found_routers.get(spec["router_id"])
        if router is None or not _may_use(context, router.project_id):
            raise RouterNotFound(router_id=spec["router_id"])
        _fill_address(spec, port, router, there)
        gateway = outside[router.id]
        scope = address_scopes.get(gateway.network_id) if gateway is not None else None
        inner = address_scopes.get(port.network_id)
        if scope != inner:
            raise AddressScopeConflict(ext_address_scope=scope, internal_address_scope=inner)
    try:
        with tx.savepoint():
            NDP_PROXY.insert(tx, context, specs)
    except Duplicate:
        raise NeutronDbObjectDuplicateEntry(
            router_id=specs[-1]["router_id"], ip_address=specs[-1]["ip_address"]
        ) from None
    _tell(tx, context, "create", specs)
    return specs


def ndp_proxy_update(tx: Tx, context: Context, updates: Sequence[Update]) -> list[Values]:
    """Change names and descriptions."""
    return NDP_PROXY.change(tx, context, updates)


def ndp_proxy_delete(tx: Tx, context: Context, originals: Sequence[Values]) -> None:
    """Delete proxies."""
    NDP_PROXY.remove(tx, originals)
    _tell(tx, context, "delete", originals)


def _may_use(context: Context, *projects: str) -> bool:
    return context.is_admin or context.project_id in projects


def _fill_address(spec: Values, port: Row[Any], router: Row[Any], there: Attachments) -> None:
    """Check that the router reaches the port by IPv6, and choose the address where none was named."""
    ids = {"router_id": router.id, "port_id": port.id}
    own = [one for one in there.interfaces(router.id) if one.network_id == port.network_id]
    if not own:
        raise PortUnreachableRouter(**ids)
    if not router.enable_ndp_proxy:
        raise RouterNDPProxyNotEnable(router_id=router.id)
    six = {ip["ip_address"]: ip["subnet_id"] for ip in port.fixed_ips if ":" in ip["ip_address"]}
    if not six:
        raise BadRequest(
            resource="ndp_proxy", msg=f"Requested port {port.id} must allocate one IPv6 address at least"
        )
    reached = {ip["subnet_id"] for one in own for ip in one.fixed_ips if ":" in ip["ip_address"]}
    address = spec["ip_address"]
    if address is None:
        address = next((ip for ip, subnet_id in six.items() if subnet_id in reached), None)
        if address is None:
            raise PortUnreachableRouter(**ids)
    elif address not in six:
        raise InvalidAddress(address=address, reason=f"This address not belong to the port {port.id}")
    elif six[address] not in reached:
        raise InvalidAddress(address=address, reason=f"This address cannot reach the router {router.id}")
    spec["ip_address"] = address


def _tell(tx: Tx, context: Context, verb: str, several: Sequence[Mapping[str, Any]]) -> None:
    tx.emit_many(
        [
            event(
                context,
                f"ndp_proxy.{verb}",
                one["id"],
                one["project_id"],
                [scopes.router(one["router_id"])],
                router_id=one["router_id"],
                port_id=one["port_id"],
            )
            for one in several
        ]
    )
