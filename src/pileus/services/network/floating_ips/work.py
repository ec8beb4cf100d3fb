"""Units of work of floating IPs.

A floating IP is an address of a port of its own on the external network. Which router translates
follows from where it leads: the one that has an interface on the fixed address's subnet and its
gateway on the floating IP's network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row, bindparam, select

from pileus.core.context import Context
from pileus.core.errors import Conflict, Invalid, NotFound
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.resource.rows import fetch
from pileus.resource.wordings.neutron import BadRequest
from pileus.services.network.common.copies import copied, copied_updates
from pileus.services.network.common.errors import InUse, NetworkNotFound, PortNotFound
from pileus.services.network.common.quotas import network_quota, spend
from pileus.services.network.config import NetworkConfig
from pileus.services.network.floating_ips.reach import check_named_routers, routers_between
from pileus.services.network.floating_ips.resource import FLOATING_IP, port_details
from pileus.services.network.floating_ips.tables import floating_ips
from pileus.services.network.networks.tables import networks
from pileus.services.network.networks.visible import visible_networks
from pileus.services.network.port_forwardings.tables import port_forwardings
from pileus.services.network.ports.defaults import elevated, new_port
from pileus.services.network.ports.delete import delete_ports
from pileus.services.network.ports.facts import facts_of_new
from pileus.services.network.ports.resource import PORT
from pileus.services.network.ports.tables import ports
from pileus.services.network.ports.work import port_create
from pileus.services.network.qos.reading import check_policies, check_policy_changes
from pileus.services.network.rules import device_owners
from pileus.store.column_in import column_in
from pileus.store.errors import Duplicate
from pileus.store.event import Event
from pileus.store.tx import Tx
from pileus.wire import scopes

NO_PORT = "router_id cannot be specified without a port_id"
FLOATING_IP_QUOTA = network_quota("floatingip", 50, floating_ips.c.project_id)


class ExternalGatewayForFloatingIPNotFound(NotFound):
    message = (
        "External network {external_network_id} is not reachable from subnet {subnet_id}.  "
        "Therefore, cannot associate Port {port_id} with a Floating IP."
    )


class FloatingIPPortAlreadyAssociated(InUse):
    message = (
        "Cannot associate floating IP {floating_ip_address} ({fip_id}) with port {port_id} using fixed IP "
        "{fixed_ip}, as that fixed IP already has a floating IP on external network {net_id}."
    )


class ExternalIpAddressExhausted(Invalid):
    message = "Unable to find any IP address on external network {net_id}."


class FipInUseByPortForwarding(InUse):
    message = "Floating IP {id} in use by Port Forwarding resources."


class PortInQuarantine(Conflict):
    message = "Port {port_id} is in quarantine."


class _Target(NamedTuple):
    """Where a floating IP is to lead."""

    port: Row[Any]
    subnet_id: str
    address: str


_PORTS = (
    select(
        ports.c.id,
        ports.c.project_id,
        ports.c.network_id,
        ports.c.name,
        ports.c.mac_address,
        ports.c.admin_state_up,
        ports.c.status,
        ports.c.device_id,
        ports.c.device_owner,
        ports.c.fixed_ips,
        ports.c.quarantined,
        networks.c.project_id.label("network_project_id"),
    )
    .select_from(ports.join(networks, networks.c.id == ports.c.network_id))
    .where(ports.c.id.in_(bindparam("ids", expanding=True)))
)


def floatingip_create(
    tx: Tx, context: Context, specs: Sequence[Values], *, config: NetworkConfig
) -> list[Values]:
    """Write new floating IPs, each with an address of its network; associated with a port if one is named."""
    specs = copied(specs)
    network_ids = {spec["floating_network_id"] for spec in specs}
    visible = visible_networks(tx, context, network_ids)
    for network_id in sorted(network_ids):
        if network_id not in visible:
            raise NetworkNotFound(network_id=network_id)
        if not visible[network_id].external:
            raise _bad(f"Network {network_id} is not a valid external network")
    check_policies(tx, context, {spec["qos_policy_id"] for spec in specs})
    as_admin = elevated(context)
    own_ports = [_own_port(as_admin, spec) for spec in specs]
    facts = facts_of_new(tx, as_admin, own_ports, config)
    for network_id in sorted(network_ids):
        if not any(subnet.ip_version == 4 for subnet in facts.subnets[network_id]):
            raise _bad(f"Network {network_id} does not contain any IPv4 subnet")
    spend(tx, specs, FLOATING_IP_QUOTA)
    made = port_create(tx, as_admin, own_ports, config=config, facts=facts)
    for spec, port in zip(specs, made, strict=True):
        address = next((ip["ip_address"] for ip in port["fixed_ips"] if "." in ip["ip_address"]), None)
        if address is None:
            raise ExternalIpAddressExhausted(net_id=spec["floating_network_id"])
        spec["floating_ip_address"], spec["floating_port_id"] = address, port["id"]
        spec["status"], spec["port_details"] = "DOWN", None
        spec["qos_network_policy_id"] = visible[spec["floating_network_id"]].qos_policy_id
    _associate(tx, context, [(spec, spec) for spec in specs])
    _write(tx, specs, lambda: FLOATING_IP.insert(tx, context, specs))
    tx.emit_many([_event(context, "floatingip.create", spec, spec["router_id"]) for spec in specs])
    _call_followers(tx, context, specs, config)
    return specs


def floatingip_update(
    tx: Tx, context: Context, updates: Sequence[Update], *, config: NetworkConfig
) -> list[Values]:
    """Associate floating IPs with other ports, or with none; a change of something else leaves the port.

    A change of nothing at all clears the association: once it was the only thing that could be changed.
    """
    updates = copied_updates(updates)
    associated = []
    for one in updates:
        changes = one.changes
        if not changes:
            changes["port_id"] = None
        if not {"port_id", "fixed_ip_address", "router_id"} & {*changes}:
            continue
        if not {"port_id", "fixed_ip_address"} & {*changes}:  # it leads where it did, through another router
            changes["fixed_ip_address"] = one.original["fixed_ip_address"]
            changes["port_id"] = one.original["port_id"]
        if "port_id" not in changes and changes["fixed_ip_address"] is None:
            changes["port_id"] = one.original["port_id"]
        changes.setdefault("port_id", None)
        changes.setdefault("fixed_ip_address", None)
        changes.setdefault("router_id", None)
        if changes["port_id"] is changes["fixed_ip_address"] is one.original["port_id"] is None:
            if changes.pop("router_id"):
                raise _bad(NO_PORT)
            continue  # it leads nowhere as a whole, and what it forwards stays
        associated.append((one.original, changes))
    check_policy_changes(tx, context, updates)
    _refuse_forwarding(tx, [original["id"] for original, changes in associated if changes["port_id"]])
    _associate(tx, context, associated)
    for original, changes in associated:
        if any(changes[name] != original[name] for name in ("port_id", "fixed_ip_address", "router_id")):
            changes["status"] = "DOWN"
    merged = [Values({**one.original, **one.changes}) for one in updates]
    after: list[Values] = []
    _write(tx, merged, lambda: after.extend(FLOATING_IP.change(tx, context, updates)))
    tx.emit_many(
        [
            _event(context, "floatingip.update", new, one.original["router_id"], new["router_id"])
            for one, new in zip(updates, after, strict=True)
        ]
    )
    placed = [one for one in updates if {"port_id", "qos_policy_id"} & {*one.changes}]
    moved = {one.original["id"] for one in placed}
    now = [new for new in after if new["id"] in moved]
    _call_followers(tx, context, [*(one.original for one in placed), *now], config)
    return after


def floatingip_delete(
    tx: Tx, context: Context, originals: Sequence[Values], *, config: NetworkConfig
) -> None:
    """Delete floating IPs with their own ports."""
    _refuse_forwarding(tx, [one["id"] for one in originals if one["router_id"] and not one["port_id"]])
    FLOATING_IP.remove(tx, originals)
    own = fetch(tx, PORT, [one["floating_port_id"] for one in originals], lock=True)
    delete_ports(tx, elevated(context), own, config)
    tx.emit_many([_event(context, "floatingip.delete", one, one["router_id"]) for one in originals])
    _call_followers(tx, context, originals, config)


def _call_followers(tx: Tx, context: Context, floating: Sequence[Values], config: NetworkConfig) -> None:
    """Call those who follow where floating IPs lead; not where they lead nowhere."""
    leading: dict[str, set[str]] = {}
    for one in floating:
        if one["router_id"] and one["port_id"]:
            leading.setdefault(one["router_id"], set()).add(one["port_id"])
    for follow in config.followers.floating_ips_changed if leading else ():
        follow(tx, context, leading, config)


def _refuse_forwarding(tx: Tx, ids: Sequence[str]) -> None:
    """FipInUseByPortForwarding where one of these forwards single ports."""
    if ids:
        statement = select(port_forwardings.c.floatingip_id)
        for row in tx.rows(statement.where(column_in(tx, port_forwardings.c.floatingip_id, ids)).limit(1)):
            raise FipInUseByPortForwarding(id=row.floatingip_id)


def _bad(text: str) -> BadRequest:
    return BadRequest(resource="floatingip", msg=text)


def _own_port(context: Context, spec: Values) -> Values:
    fixed_ip = {}
    if spec["subnet_id"]:
        fixed_ip["subnet_id"] = spec["subnet_id"]
    if spec["floating_ip_address"]:
        fixed_ip["ip_address"] = spec["floating_ip_address"]
    return new_port(
        context,
        project_id="",
        network_id=spec["floating_network_id"],
        device_id=spec["id"],
        device_owner=device_owners.FLOATING_IP,
        fixed_ips=[fixed_ip] if fixed_ip else None,
    )


def _associate(tx: Tx, context: Context, wanted: Sequence[tuple[Values, Values]]) -> None:
    """Fill in where each floating IP (as it is, and what is asked for) leads: port, address and router.

    Two statements for any number, and one if routers are named; none where nothing is to lead anywhere.
    """
    for _, asked in wanted:
        if asked["fixed_ip_address"] and not asked["port_id"]:
            raise _bad("fixed_ip_address cannot be specified without a port_id")
        if asked["router_id"] and not asked["port_id"]:
            raise _bad(NO_PORT)
    named = {asked["port_id"] for _, asked in wanted if asked["port_id"]}
    found = {row.id: row for row in tx.rows(_PORTS, {"ids": sorted(named)})} if named else {}
    targets = [
        _target(context, floating, asked, found) if asked["port_id"] else None for floating, asked in wanted
    ]
    check_named_routers(
        tx,
        context,
        {
            (asked["router_id"], floating["floating_network_id"])
            for floating, asked in wanted
            if asked["router_id"]
        },
    )
    unnamed = [asked["router_id"] is None for _, asked in wanted]
    routers = routers_between(
        tx,
        {target.subnet_id for target, none in zip(targets, unnamed, strict=True) if target and none},
        {floating["floating_network_id"] for floating, _ in wanted},
    )
    for (floating, asked), target in zip(wanted, targets, strict=True):
        if target is None:
            asked["port_id"] = asked["fixed_ip_address"] = asked["router_id"] = asked["port_details"] = None
            continue
        router_id = asked["router_id"] or routers.get((target.subnet_id, floating["floating_network_id"]))
        if router_id is None:
            raise ExternalGatewayForFloatingIPNotFound(
                subnet_id=target.subnet_id,
                external_network_id=floating["floating_network_id"],
                port_id=target.port.id,
            )
        asked["port_id"], asked["fixed_ip_address"] = target.port.id, target.address
        asked["router_id"], asked["port_details"] = router_id, port_details(target.port)


def _target(context: Context, floating: Values, asked: Values, found: Mapping[str, Row[Any]]) -> _Target:
    port = found.get(asked["port_id"])
    if port is None or not (
        context.is_admin or context.project_id in (port.project_id, port.network_project_id)
    ):
        raise PortNotFound(port_id=asked["port_id"])
    if port.project_id != floating["project_id"] and not context.is_admin:
        raise _bad(
            f"Cannot process floating IP association with Port {port.id}, since that port is owned by a "
            "different project"
        )
    if port.device_owner in (device_owners.FLOATING_IP, device_owners.DHCP, *device_owners.OF_ROUTERS):
        raise _bad(f"Port {port.id} is unable to be assigned a floating IP")
    leads_there = floating is not asked and floating["port_id"] == port.id
    if port.quarantined and not leads_there and not context.is_admin:
        raise PortInQuarantine(port_id=port.id)
    address = asked["fixed_ip_address"]
    if address:
        if ":" in address:
            raise _bad(
                f"Cannot process floating IP association with {address}, since that is not an IPv4 address"
            )
        for ip in port.fixed_ips:
            if ip["ip_address"] == address:
                return _Target(port, ip["subnet_id"], address)
        raise _bad(f"Port {port.id} does not have fixed ip {address}")
    old = [ip for ip in port.fixed_ips if "." in ip["ip_address"]]
    if not old:
        raise _bad(f"Cannot add floating IP to port {port.id} that has no fixed IPv4 addresses")
    if len(old) > 1:
        raise _bad(
            f"Port {port.id} has multiple fixed IPv4 addresses.  Must provide a specific IPv4 address when "
            "assigning a floating IP"
        )
    return _Target(port, old[0]["subnet_id"], old[0]["ip_address"])


def _write(tx: Tx, floating: Sequence[Values], write: Any) -> None:
    """Write; the key refuses a second floating IP of one network for one fixed address."""
    try:
        with tx.savepoint():
            write()
    except Duplicate:
        clash = _clash(tx, floating)
        raise FloatingIPPortAlreadyAssociated(
            floating_ip_address=clash["floating_ip_address"],
            fip_id=clash["id"],
            port_id=clash["port_id"],
            fixed_ip=clash["fixed_ip_address"],
            net_id=clash["floating_network_id"],
        ) from None


def _clash(tx: Tx, floating: Sequence[Values]) -> Values:
    key = (
        floating_ips.c.fixed_port_id,
        floating_ips.c.floating_network_id,
        floating_ips.c.fixed_ip_address,
        floating_ips.c.id,
    )
    named = [one["port_id"] for one in floating if one["port_id"]]
    rows: Any = tx.rows(select(*key).where(key[0].in_(named)))
    taken = {tuple(row[:3]): row[3] for row in rows}
    for one in floating:
        other = taken.get((one["port_id"], one["floating_network_id"], one["fixed_ip_address"]))
        if other is not None and other != one["id"]:
            return one
    return floating[-1]


def _event(context: Context, kind: str, floating: Values, *router_ids: str | None) -> Event:
    return event(
        context,
        kind,
        floating["id"],
        floating["project_id"],
        [scopes.router(router_id) for router_id in router_ids if router_id],
        floating_ip_address=floating["floating_ip_address"],
        port_id=floating["port_id"],
    )
