"""Whether routers answer outside for IPv6 addresses behind them (``enable_ndp_proxy``)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import bindparam, select

from pileus.core.errors import Conflict
from pileus.resource.declaration import Update, Values
from pileus.services.network.ndp_proxies.tables import ndp_proxies
from pileus.services.network.ports.tables import ports
from pileus.services.network.routers.tables import router_ports
from pileus.services.network.rules import device_owners
from pileus.services.network.subnetpools.tables import subnetpools
from pileus.services.network.subnets.tables import subnets
from pileus.store.column_in import column_in
from pileus.store.tx import Tx


class RouterGatewayNotValid(Conflict):
    message = "Can not enable ndp proxy on router {router_id}, {reason}."


class RouterGatewayInUseByNDPProxy(Conflict):
    message = (
        "Unable to unset external gateway of router {router_id}, There are one or more ndp proxies still in "
        "use on the router."
    )


class RouterInterfaceInUseByNDPProxy(Conflict):
    message = (
        "Unable to remove subnet {subnet_id} from router {router_id}, There are one or more ndp proxies "
        "still in use on the subnet."
    )


_GATEWAYS = (
    select(router_ports.c.router_id, ports.c.network_id, ports.c.fixed_ips)
    .select_from(router_ports.join(ports, ports.c.id == router_ports.c.port_id))
    .where(
        router_ports.c.port_type == device_owners.ROUTER_GATEWAY,
        router_ports.c.router_id.in_(bindparam("ids", expanding=True)),
    )
)
_PROXIED = (
    select(ndp_proxies.c.router_id, ndp_proxies.c.ip_address, ports.c.fixed_ips)
    .select_from(ndp_proxies.join(ports, ports.c.id == ndp_proxies.c.port_id))
    .where(ndp_proxies.c.router_id.in_(bindparam("ids", expanding=True)))
)


def scopes_of(tx: Tx, network_ids: Collection[str]) -> dict[str, str]:
    """The IPv6 address scopes of networks, of those that have one; one statement."""
    if not network_ids:
        return {}
    statement = (
        select(subnets.c.network_id, subnetpools.c.address_scope_id)
        .select_from(subnets.join(subnetpools, subnetpools.c.id == subnets.c.subnetpool_id))
        .where(
            column_in(tx, subnets.c.network_id, sorted(network_ids)),
            subnets.c.ip_version == 6,
            subnetpools.c.address_scope_id.is_not(None),
        )
    )
    return dict(map(tuple, tx.rows(statement)))


def ndp_of_new(tx: Tx, specs: Sequence[Values]) -> None:
    """Check new routers, and fill in what they do not say; no statement where none asks for it."""
    asking = [spec for spec in specs if spec["enable_ndp_proxy"]]
    for spec in asking:
        if not spec["external_gateway_info"]:
            reason = "The request body not contain external gateway information"
            raise RouterGatewayNotValid(router_id=spec["id"], reason=reason)
    outside = {spec["external_gateway_info"]["network_id"] for spec in asking}
    known = scopes_of(tx, outside)
    for spec in asking:
        network_id = spec["external_gateway_info"]["network_id"]
        if network_id not in known:
            reason = (
                f"The external network {network_id} don't support IPv6 ndp proxy, the network has no IPv6 "
                "subnets or has no IPv6 address scope"
            )
            raise RouterGatewayNotValid(router_id=spec["id"], reason=reason)
    for spec in specs:
        spec["enable_ndp_proxy"] = bool(spec["enable_ndp_proxy"])


def ndp_before_gateways(updates: Sequence[Update]) -> None:
    """Refuse to enable it where the gateway goes; whoever loses his gateway loses it."""
    for one in updates:
        changes = one.changes
        if changes.get("enable_ndp_proxy", False) is None:
            del changes["enable_ndp_proxy"]
        if "external_gateway_info" in changes and not changes["external_gateway_info"]:
            if changes.get("enable_ndp_proxy"):
                reason = "The router's external gateway will be unset"
                raise RouterGatewayNotValid(router_id=one.original["id"], reason=reason)
            if one.original["enable_ndp_proxy"]:
                changes["enable_ndp_proxy"] = False


def ndp_after_gateways(tx: Tx, updates: Sequence[Update]) -> None:
    """Check the gateways of routers that shall have it from now on; two statements, none for none."""
    asking = [one.original["id"] for one in updates if one.changes.get("enable_ndp_proxy")]
    if not asking:
        return
    six: dict[str, set[str]] = {}
    for row in tx.rows(_GATEWAYS, {"ids": asking}):
        if any(":" in ip["ip_address"] for ip in row.fixed_ips):
            six.setdefault(row.router_id, set()).add(row.network_id)
    known = scopes_of(tx, set().union(*six.values()))
    for router_id in asking:
        if six.get(router_id, set()).isdisjoint(known):
            reason = (
                "The router has no external gateway or the external gateway port has no IPv6 address or IPv6 "
                "address scope"
            )
            raise RouterGatewayNotValid(router_id=router_id, reason=reason)


def ndp_check_gateways_unused(tx: Tx, router_ids: Sequence[str]) -> None:
    """RouterGatewayInUseByNDPProxy where a router has proxies; one statement."""
    for row in tx.rows(_PROXIED, {"ids": list(router_ids)}):
        raise RouterGatewayInUseByNDPProxy(router_id=row.router_id)


def ndp_check_subnets_unused(tx: Tx, router_id: str, subnet_ids: Collection[str]) -> None:
    """RouterInterfaceInUseByNDPProxy where a proxied address is of one of these; one statement."""
    for row in tx.rows(_PROXIED, {"ids": [router_id]}):
        for ip in row.fixed_ips:
            if ip["ip_address"] == row.ip_address and ip["subnet_id"] in subnet_ids:
                raise RouterInterfaceInUseByNDPProxy(router_id=router_id, subnet_id=ip["subnet_id"])
