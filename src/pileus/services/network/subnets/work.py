"""Units of work of subnets."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, select

from pileus.core.context import Context
from pileus.core.errors import Invalid
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.resource.wordings.neutron import BadRequest
from pileus.services.network.common.copies import copied, copied_updates
from pileus.services.network.common.errors import InUse, InvalidInput, NetworkNotFound
from pileus.services.network.common.quotas import network_quota, spend
from pileus.services.network.common.revisions import touch
from pileus.services.network.config import NetworkConfig
from pileus.services.network.dhcp.ports import dhcp_ports_sync
from pileus.services.network.networks.tables import networks
from pileus.services.network.ports.slaac import addresses_remove, ports_using, slaac_addresses_add
from pileus.services.network.routers.tables import router_ports
from pileus.services.network.rules import addresses, device_owners, segments
from pileus.services.network.subnetpools.allocation import prefixes_allocate
from pileus.services.network.subnets import places
from pileus.services.network.subnets.resource import SUBNET
from pileus.services.network.subnets.tables import ip_allocations, subnets
from pileus.store.errors import Referenced
from pileus.store.tx import Tx
from pileus.wire import scopes

SUBNET_QUOTA = network_quota("subnet", 100, subnets.c.project_id)


class SubnetInUse(InUse):
    message = "Unable to complete operation on subnet {subnet_id}: {reason}."


class GatewayIpInUse(InUse):
    message = "Current gateway ip {ip_address} already in use by port {port_id}. Unable to update."


class DNSNameServersExhausted(Invalid):
    message = (
        "Unable to complete operation for {subnet_id}. "
        "The number of DNS nameservers exceeds the limit {quota}."
    )


class HostRoutesExhausted(Invalid):
    message = (
        "Unable to complete operation for {subnet_id}. The number of host routes exceeds the limit {quota}."
    )


class NetworkSubnetPoolAffinityError(Invalid):
    message = "Subnets hosted on the same network must be allocated from the same subnet pool."


_NETWORKS = select(networks.c.id, networks.c.external, networks.c.mtu).where(
    networks.c.id.in_(bindparam("ids", expanding=True))
)
_GATEWAY_PORT = (
    select(ip_allocations.c.port_id)
    .select_from(ip_allocations.join(router_ports, router_ports.c.port_id == ip_allocations.c.port_id))
    .where(
        ip_allocations.c.subnet_id == bindparam("subnet"), ip_allocations.c.ip_address == bindparam("gateway")
    )
)
_PREFIXES = select(
    subnets.c.network_id,
    subnets.c.id,
    subnets.c.cidr,
    subnets.c.ip_version,
    subnets.c.subnetpool_id,
    subnets.c.segment_id,
).where(subnets.c.network_id.in_(bindparam("ids", expanding=True)))


def subnet_create(
    tx: Tx, context: Context, specs: Sequence[Values], *, config: NetworkConfig
) -> list[Values]:
    """Write new subnets; of two that overlap in one network one is refused, also when they come at once."""
    specs = copied(specs)
    network_ids = sorted({spec["network_id"] for spec in specs})
    prefixes_allocate(tx, context, specs, delegation_is_default=config.ipv6_pd_enabled)
    for spec in specs:
        _complete(spec, config)
    spend(tx, specs, SUBNET_QUOTA)
    tx.lock(*(f"subnets:{network_id}" for network_id in network_ids))
    found = {row.id: row for row in tx.rows(_NETWORKS, {"ids": network_ids})}
    missing = set(network_ids) - found.keys()
    if missing:
        raise NetworkNotFound(network_id=min(missing))
    for spec in specs:
        network = found[spec["network_id"]]
        segments.check_mtu(network.id, network.mtu, {spec["ip_version"]})
        spec["router:external"] = network.external
    existing: dict[str, list[tuple[str, str]]] = {network_id: [] for network_id in network_ids}
    pools: dict[tuple[str, int], str | None] = {}
    placed: dict[str, set[str | None]] = {}
    for row in tx.rows(_PREFIXES, {"ids": network_ids}):
        existing[row.network_id].append((row.id, row.cidr))
        pools[(row.network_id, row.ip_version)] = row.subnetpool_id
        placed.setdefault(row.network_id, set()).add(row.segment_id)
    places.check_new(tx, specs, placed)
    for spec in specs:
        family = (spec["network_id"], spec["ip_version"])
        if pools.setdefault(family, spec["subnetpool_id"]) != spec["subnetpool_id"]:
            raise NetworkSubnetPoolAffinityError()
        others = existing[spec["network_id"]]
        apart = [one for one in others if addresses.PROVISIONAL not in (one[1], spec["cidr"])]
        other = addresses.overlapping(ipaddress.ip_network(spec["cidr"]), apart)
        if other is not None:
            raise InvalidInput(
                f"Requested subnet with cidr: {spec['cidr']} for network: {spec['network_id']} "
                f"overlaps with another subnet"
            )
        others.append((spec["id"], spec["cidr"]))
    places.route_new(tx, context, specs)
    try:
        with tx.savepoint():
            SUBNET.insert(tx, context, specs)
    except Referenced:
        raise NetworkNotFound(network_id=network_ids[0]) from None
    automatic = [spec for spec in specs if _is_automatic(spec)]
    if automatic:
        slaac_addresses_add(tx, context, automatic)
    with_dhcp = {spec["network_id"] for spec in specs if spec["enable_dhcp"]}
    dhcp_ports_sync(tx, context, with_dhcp, config)
    touch(tx, networks, network_ids, context.now)
    tx.emit_many([_event(context, "subnet.create", spec) for spec in specs])
    return specs


def subnet_update(
    tx: Tx, context: Context, updates: Sequence[Update], *, config: NetworkConfig
) -> list[Values]:
    """Change subnets; what is given must go together with what stays."""
    updates = copied_updates(updates)
    for one in updates:
        merged = Values({**one.original, **one.changes}, one.changes.given)
        _check_gateway_free(tx, one.original, merged["gateway_ip"])
        _check(merged, config, before=one.original)
        for name in one.changes:
            one.changes[name] = merged[name]
    places.check_changed(tx, updates)
    places.route_changed(tx, updates)
    after = SUBNET.change(tx, context, updates)
    switched = {
        new["network_id"]
        for one, new in zip(updates, after, strict=True)
        if any(new[name] != one.original[name] for name in ("enable_dhcp", "segment_id"))
    }
    dhcp_ports_sync(tx, context, switched, config)
    touch(tx, networks, {subnet["network_id"] for subnet in after}, context.now)
    tx.emit_many([_event(context, "subnet.update", subnet) for subnet in after])
    return after


def subnet_delete(tx: Tx, context: Context, originals: Sequence[Values], *, config: NetworkConfig) -> None:
    """Delete subnets; SubnetInUse while a port has an address that it did not give itself."""
    ids = [subnet["id"] for subnet in originals]
    automatic = {subnet["id"] for subnet in originals if _is_automatic(subnet)}
    found = ports_using(tx, ids)
    for row in found:
        if row.subnet_id not in automatic and row.device_owner not in device_owners.AUTO_DELETED:
            raise _in_use(row.subnet_id)
    try:
        with tx.savepoint():
            addresses_remove(tx, context, found, ids)
            SUBNET.remove(tx, originals)
            places.route_without(tx, context, originals)
    except Referenced:
        # A port got an address between the look and the delete.
        raise _in_use(ids[0]) from None
    with_dhcp = {subnet["network_id"] for subnet in originals if subnet["enable_dhcp"]}
    dhcp_ports_sync(tx, context, with_dhcp, config)
    touch(tx, networks, {subnet["network_id"] for subnet in originals}, context.now)
    tx.emit_many([_event(context, "subnet.delete", subnet) for subnet in originals])


def _check_gateway_free(tx: Tx, subnet: Values, gateway_ip: str | None) -> None:
    """GatewayIpInUse where the gateway's address is to go, and a router has it."""
    present = subnet["gateway_ip"]
    if present is not None and gateway_ip != present:
        port = tx.first(_GATEWAY_PORT, {"subnet": subnet["id"], "gateway": present})
        if port is not None:
            raise GatewayIpInUse(ip_address=present, port_id=port.port_id)


def _in_use(subnet_id: str) -> SubnetInUse:
    return SubnetInUse(subnet_id=subnet_id, reason="One or more ports have an IP allocation from this subnet")


def _is_automatic(subnet: Values) -> bool:
    return addresses.is_automatic(subnet["ipv6_ra_mode"], subnet["ipv6_address_mode"])


def _event(context: Context, kind: str, subnet: Values) -> Any:
    return event(
        context,
        kind,
        subnet["id"],
        subnet["project_id"],
        [scopes.network(subnet["network_id"]), scopes.dhcp_network(subnet["network_id"])],
        network_id=subnet["network_id"],
        cidr=subnet["cidr"],
    )


def _complete(spec: Values, config: NetworkConfig) -> None:
    """Fill in the gateway and the pools that were not given, and check everything."""
    if spec.get("cidr") is None:
        raise BadRequest(resource="subnets", msg="a subnetpool must be specified in the absence of a cidr")
    prefix = _prefix(spec)
    spec["cidr"] = str(prefix)
    if "gateway_ip" not in spec.given:
        spec["gateway_ip"] = addresses.default_gateway(prefix)
        addresses.check_default_gateway(prefix, spec["gateway_ip"])
    _check(spec, config, before=None)


def _prefix(subnet: Values) -> addresses.IPNetwork:
    provisional = subnet["subnetpool_id"] == addresses.DELEGATED
    return addresses.network(subnet["cidr"], subnet["ip_version"], provisional=provisional)


def _check(subnet: Values, config: NetworkConfig, before: Values | None) -> None:
    prefix = _prefix(subnet)
    version = prefix.version
    if subnet["enable_dhcp"] and (before is None or not before["enable_dhcp"]):
        addresses.check_dhcp(prefix)
    addresses.check_ipv6_modes(
        prefix,
        subnet["enable_dhcp"],
        subnet["ipv6_ra_mode"],
        subnet["ipv6_address_mode"],
        new=before is None,
    )
    if subnet["gateway_ip"] is not None:
        subnet["gateway_ip"] = addresses.check_gateway(prefix, subnet["gateway_ip"])
    given = subnet.get("allocation_pools")
    if given is None:
        pools = addresses.default_pools(prefix, subnet["gateway_ip"])
    else:
        pairs = [(pool["start"], pool["end"]) for pool in given]
        # Pools that were there before may have been written under another gateway's name: the same check.
        pools = addresses.check_pools(prefix, pairs, subnet["gateway_ip"])
    if before is None or "allocation_pools" in subnet.given:
        subnet["allocation_pools"] = [
            {"start": addresses.text(pool.first, version), "end": addresses.text(pool.last, version)}
            for pool in pools
        ]
    if len(subnet["dns_nameservers"]) > config.max_dns_nameservers:
        raise DNSNameServersExhausted(subnet_id=subnet["id"], quota=config.max_dns_nameservers)
    if len(subnet["host_routes"]) > config.max_host_routes:
        raise HostRoutesExhausted(subnet_id=subnet["id"], quota=config.max_host_routes)
    for route in subnet["host_routes"]:
        if ipaddress.ip_network(route["destination"]).version != version or (
            ipaddress.ip_address(route["nexthop"]).version != version
        ):
            raise InvalidInput(
                f"'{route['destination']},{route['nexthop']}' does not match the ip_version '{version}'"
            )
    for server in subnet["dns_nameservers"]:
        if ipaddress.ip_address(server).version != version:
            raise InvalidInput(f"dns_nameserver '{server}' does not match the ip_version '{version}'")
