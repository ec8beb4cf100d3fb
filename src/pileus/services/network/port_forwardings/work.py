"""Units of work of port forwardings: facts first, then decisions, then one write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row, select, update

from pileus.core.context import Context
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.services.network.common.copies import copied
from pileus.services.network.common.errors import InUse, PortNotFound
from pileus.services.network.common.revisions import next_revision, touch
from pileus.services.network.floating_ips.reach import routers_between
from pileus.services.network.floating_ips.tables import floating_ips
from pileus.services.network.floating_ips.work import FloatingIPPortAlreadyAssociated, PortInQuarantine
from pileus.services.network.networks.tables import networks
from pileus.services.network.port_forwardings.resource import PORT_FORWARDING
from pileus.services.network.port_forwardings.tables import port_forwardings
from pileus.services.network.ports.tables import ports
from pileus.services.network.rules.forwarding import bad, complete, refuse_overlap, refuse_same
from pileus.store.column_in import column_in
from pileus.store.errors import Duplicate
from pileus.store.tx import Tx
from pileus.wire import scopes


class PortHasBindingFloatingIP(InUse):
    message = (
        "Cannot create port forwarding to floating IP {floating_ip_address} ({fip_id}) with port {port_id} "
        "using fixed IP {fixed_ip}, as that port already has a binding floating IP."
    )


class Facts(NamedTuple):
    """Rows that are read once for all port forwardings of a unit, by id."""

    floating: Mapping[str, Row[Any]]
    ports: Mapping[str, Row[Any]]
    associated: Mapping[str, Row[Any]]
    """Floating IPs that lead to one of the ports whole, by the port's id."""
    others: list[Mapping[str, Any]]
    routers: Mapping[tuple[str, str], str]


def read_facts(tx: Tx, wanted: Sequence[Mapping[str, Any]]) -> Facts:
    """Floating IPs (held until the end) and those that lead to the ports, the ports, what the floating IPs
    and ports forward already, and the routers from one to the other: four statements."""
    floating_ids = sorted({one["floatingip_id"] for one in wanted})
    port_ids = sorted({one["internal_port_id"] for one in wanted})
    concerned = column_in(tx, floating_ips.c.id, floating_ids) | column_in(
        tx, floating_ips.c.fixed_port_id, port_ids
    )
    held = tx.rows(select(floating_ips).where(concerned).order_by(floating_ips.c.id).with_for_update())
    floating = {row.id: row for row in held if row.id in floating_ids}
    statement = (
        select(ports, networks.c.project_id.label("network_project_id"))
        .select_from(ports.join(networks, networks.c.id == ports.c.network_id))
        .where(column_in(tx, ports.c.id, port_ids))
    )
    found = {row.id: row for row in tx.rows(statement)}
    same = column_in(tx, port_forwardings.c.floatingip_id, floating_ids) | column_in(
        tx, port_forwardings.c.internal_port_id, port_ids
    )
    return Facts(
        floating,
        found,
        {row.fixed_port_id: row for row in held if row.fixed_port_id in port_ids},
        [dict(row._mapping) for row in tx.rows(select(port_forwardings).where(same))],
        routers_between(
            tx,
            {ip["subnet_id"] for port in found.values() for ip in port.fixed_ips},
            {row.floating_network_id for row in floating.values()},
        ),
    )


def port_forwarding_create(tx: Tx, context: Context, specs: Sequence[Values]) -> list[Values]:
    """Write new port forwardings; their floating IPs belong to the router that forwards."""
    specs = copied(specs)
    facts = read_facts(tx, specs)
    for spec in specs:
        complete(spec, {name: spec[name] for name in spec.given})
        _fill_address(context, spec, facts)
        refuse_overlap(spec, facts.others)
        facts.others.append(spec)
    routers = {spec["id"]: _router_of(spec, facts) for spec in specs}
    try:
        with tx.savepoint():
            PORT_FORWARDING.insert(tx, context, specs)
    except Duplicate:  # of two requests at once, by a port that both forward to
        raise bad("A duplicate port forwarding entry with same attributes already exists") from None
    of_router: dict[str, set[str]] = {}
    for spec in specs:
        of_router.setdefault(routers[spec["id"]], set()).add(spec["floatingip_id"])
    for router_id, floating_ids in of_router.items():
        _set_router(tx, context, sorted(floating_ids), router_id)
    _tell(tx, context, "create", specs, facts, routers)
    return specs


def port_forwarding_update(tx: Tx, context: Context, updates: Sequence[Update]) -> list[Values]:
    """Change port forwardings; what is given must go together with what stays."""
    merged = []
    for one in updates:
        wish = Values({**one.original, **one.changes})
        for name in ("internal_port_range", "external_port_range"):
            if wish[name] is None:
                wish[name] = one.original[name]
        if "internal_port_id" in one.changes and "internal_ip_address" not in one.changes:
            wish["internal_ip_address"] = None
        complete(wish, one.changes)
        merged.append(wish)
    facts = read_facts(tx, merged)
    routers = {}
    for wish in merged:
        _fill_address(context, wish, facts)
        refuse_same(wish, facts.others, facts.floating[wish["floatingip_id"]].floating_ip_address)
        refuse_overlap(wish, facts.others)
        routers[wish["id"]] = _router_of(wish, facts)
    changed = [
        Update(one.original, Values({name: wish[name] for name in wish if wish[name] != one.original[name]}))
        for one, wish in zip(updates, merged, strict=True)
    ]
    try:
        with tx.savepoint():
            after = PORT_FORWARDING.change(tx, context, changed)
    except Duplicate:
        raise bad("A duplicate port forwarding entry with same attributes already exists") from None
    _tell(tx, context, "update", after, facts, routers)
    return after


def port_forwarding_delete(tx: Tx, context: Context, originals: Sequence[Values]) -> None:
    """Delete port forwardings; a floating IP whose last one goes belongs to no router any more."""
    facts = read_facts(tx, originals)
    PORT_FORWARDING.remove(tx, originals)
    going = {one["id"] for one in originals}
    left = {other["floatingip_id"] for other in facts.others if other["id"] not in going}
    _set_router(tx, context, sorted({one["floatingip_id"] for one in originals} - left), None)
    _tell(tx, context, "delete", originals, facts, {})


def _fill_address(context: Context, one: Values, facts: Facts) -> None:
    """Check the port of one and what leads to it already, and choose its address where none was named."""
    floating, port = facts.floating[one["floatingip_id"]], facts.ports.get(one["internal_port_id"])
    if port is None or not (
        context.is_admin or context.project_id in (port.project_id, port.network_project_id)
    ):
        raise PortNotFound(port_id=one["internal_port_id"])
    if port.quarantined and not context.is_admin:
        raise PortInQuarantine(port_id=port.id)
    inside = [ip["ip_address"] for ip in port.fixed_ips if "." in ip["ip_address"]]
    if not inside:
        raise bad(f"Requested internal port {port.id} must allocate an IPv4 address at least.")
    one["internal_ip_address"] = one.get("internal_ip_address") or inside[0]
    leading = facts.associated.get(port.id)
    if leading is not None:
        raise PortHasBindingFloatingIP(
            floating_ip_address=leading.floating_ip_address,
            fip_id=leading.id,
            port_id=port.id,
            fixed_ip=one["internal_ip_address"],
        )
    if floating.fixed_port_id is not None:
        raise FloatingIPPortAlreadyAssociated(
            port_id=port.id,
            fip_id=floating.id,
            floating_ip_address=floating.floating_ip_address,
            fixed_ip=one["internal_ip_address"],
            net_id=floating.floating_network_id,
        )
    if one["internal_ip_address"] not in inside:
        fixed_ips = [ip for ip in port.fixed_ips if ip["ip_address"] in inside]
        raise bad(
            f"Requested internal IP address {one['internal_ip_address']} is not suitable for internal "
            f"neutron port {port.id}, as its fixed_ips are {fixed_ips}"
        )


def _router_of(one: Mapping[str, Any], facts: Facts) -> str:
    """Find the router that forwards; the floating IP's own, where it has one."""
    floating, port = facts.floating[one["floatingip_id"]], facts.ports[one["internal_port_id"]]
    subnets = {ip["ip_address"]: ip["subnet_id"] for ip in port.fixed_ips}
    subnet_id = subnets[one["internal_ip_address"]]
    router_id = facts.routers.get((subnet_id, floating.floating_network_id))
    if router_id is None:
        raise bad(
            f"External network {floating.floating_network_id} is not reachable from subnet {subnet_id}. "
            f"Cannot set Port forwarding for port {port.id} with Floating IP {floating.id}"
        )
    if floating.router_id not in (None, router_id):
        raise bad(
            f"The Floating IP {floating.id} had been set on router {floating.router_id}, the internal "
            f"Neutron port {port.id} can not reach it"
        )
    return router_id


def _set_router(tx: Tx, context: Context, floating_ids: Sequence[str], router_id: str | None) -> None:
    if floating_ids:
        values = {"router_id": router_id, **next_revision(floating_ips, context.now)}
        if router_id is None:
            values["status"] = "DOWN"
        where = column_in(tx, floating_ips.c.id, floating_ids)
        tx.execute(update(floating_ips).where(where).values(values))


def _tell(
    tx: Tx,
    context: Context,
    verb: str,
    several: Sequence[Mapping[str, Any]],
    facts: Facts,
    routers: Mapping[str, str],
) -> None:
    """Count a change of the ports, and emit an event for each; the L3 agent of its router looks again."""
    touch(tx, ports, {one["internal_port_id"] for one in several}, context.now)
    events = []
    for one in several:
        parent = facts.floating[one["floatingip_id"]]
        router_id = routers.get(one["id"], parent.router_id)
        concerned = [scopes.router(router_id)] if router_id else []
        events.append(
            event(
                context,
                f"port_forwarding.{verb}",
                one["id"],
                parent.project_id,
                concerned,
                floatingip_id=parent.id,
            )
        )
    tx.emit_many(events)
