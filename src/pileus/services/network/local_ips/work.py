"""Units of work of local IPs and their associations with ports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, and_, bindparam, delete, select

from pileus.core.context import Context
from pileus.core.errors import Invalid, NotFound
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.resource.rows import fetch
from pileus.resource.wordings.neutron import BadRequest
from pileus.services.network.common.copies import copied
from pileus.services.network.common.errors import InUse, NetworkNotFound
from pileus.services.network.common.quotas import network_quota, spend
from pileus.services.network.config import NetworkConfig
from pileus.services.network.local_ips.resource import LOCAL_IP
from pileus.services.network.local_ips.tables import local_ip_associations, local_ips
from pileus.services.network.networks.tables import networks
from pileus.services.network.networks.visible import visible_networks
from pileus.services.network.ports.defaults import elevated, new_port
from pileus.services.network.ports.delete import delete_ports
from pileus.services.network.ports.facts import facts_of_new
from pileus.services.network.ports.resource import PORT
from pileus.services.network.ports.tables import ports
from pileus.services.network.ports.work import port_create
from pileus.services.network.rules import device_owners
from pileus.store.errors import Duplicate, Referenced
from pileus.store.tx import Tx
from pileus.wire import scopes

LOCAL_IP_QUOTA = network_quota("local_ip", -1, local_ips.c.project_id)


class LocalIPInUse(InUse):
    message = "Local IP {id} is still associated with one or more ports."


class LocalIPNoIP(Invalid):
    message = "Specified Port {port_id} has no fixed IPs configured."


class LocalIPRequestedIPNotFound(Invalid):
    message = "Specified Port {port_id} does not have requested IP address: {ip}."


class LocalIPNoRequestedIP(Invalid):
    message = "Specified Port {port_id} has several IPs, should specify exact IP address to use for Local IP."


class LocalIPPortOrNetworkRequired(Invalid):
    message = "Either Port ID or Network ID must be specified for Local IP create."


class LocalIPAssociationNotFound(NotFound):
    message = "Local IP {local_ip_id} association with port {port_id} could not be found."


class NeutronDbObjectDuplicateEntry(InUse):
    message = (
        "Failed to create a duplicate LocalIPAssociation: for attribute(s) ['PRIMARY'] with value(s) "
        "{fixed_port_id}-{local_ip_id}"
    )


_PORTS = (
    select(
        ports.c.id,
        ports.c.project_id,
        ports.c.network_id,
        ports.c.fixed_ips,
        networks.c.project_id.label("network_project_id"),
    )
    .select_from(ports.join(networks, networks.c.id == ports.c.network_id))
    .where(ports.c.id.in_(bindparam("ids", expanding=True)))
)
_ASSOCIATIONS = (
    select(
        local_ip_associations.c.local_ip_id,
        local_ip_associations.c.fixed_port_id,
        local_ip_associations.c.fixed_ip,
        local_ips.c.local_ip_address,
        ports.c.host,
    )
    .select_from(
        local_ip_associations.join(local_ips, local_ips.c.id == local_ip_associations.c.local_ip_id).join(
            ports, ports.c.id == local_ip_associations.c.fixed_port_id
        )
    )
    .where(local_ip_associations.c.local_ip_id == bindparam("local_ip"))
    .order_by(local_ip_associations.c.fixed_port_id)
)


def local_ip_create(
    tx: Tx, context: Context, specs: Sequence[Values], *, config: NetworkConfig
) -> list[Values]:
    """Write new local IPs: with the address of a port, or of a port of their own on a network."""
    specs = copied(specs)
    spend(tx, specs, LOCAL_IP_QUOTA)
    named = sorted({spec["local_port_id"] for spec in specs if spec["local_port_id"]})
    found = {row.id: row for row in tx.rows(_PORTS, {"ids": named})} if named else {}
    for spec in specs:
        if spec["local_port_id"]:
            port = _usable(context, found, spec["local_port_id"], "local_ip")
            spec["local_ip_address"] = _address(port, spec["local_ip_address"])
            spec["network_id"] = port.network_id
        elif not spec["network_id"]:
            raise LocalIPPortOrNetworkRequired()
    _make_ports(tx, context, [spec for spec in specs if not spec["local_port_id"]], config)
    LOCAL_IP.insert(tx, context, specs)
    tx.emit_many([event(context, "local_ip.create", spec["id"], spec["project_id"]) for spec in specs])
    return specs


def local_ip_update(tx: Tx, context: Context, updates: Sequence[Update]) -> list[Values]:
    """Change names and descriptions."""
    return LOCAL_IP.change(tx, context, updates)


def local_ip_delete(tx: Tx, context: Context, originals: Sequence[Values], *, config: NetworkConfig) -> None:
    """Delete local IPs with their own ports; LocalIPInUse while one leads to a port."""
    try:
        with tx.savepoint():
            LOCAL_IP.remove(tx, originals)
    except Referenced:
        raise LocalIPInUse(id=originals[0]["id"]) from None
    of_them = fetch(tx, PORT, [one["local_port_id"] for one in originals], lock=True)
    own = [port for port in of_them if port["device_owner"] == device_owners.LOCAL_IP]
    delete_ports(tx, elevated(context), own, config)
    tx.emit_many([event(context, "local_ip.delete", one["id"], one["project_id"]) for one in originals])


def associations_of(tx: Tx, local_ip_id: str, port_id: str | None = None) -> list[dict[str, Any]]:
    """The associations of a local IP, or the one with a port, as they are shown."""
    return [
        _view(row)
        for row in tx.rows(_ASSOCIATIONS, {"local_ip": local_ip_id})
        if port_id in (None, row.fixed_port_id)
    ]


def association_of(tx: Tx, local_ip_id: str, port_id: str) -> dict[str, Any]:
    """The association with a port; LocalIPAssociationNotFound."""
    for view in associations_of(tx, local_ip_id, port_id):
        return view
    raise LocalIPAssociationNotFound(local_ip_id=local_ip_id, port_id=port_id)


def association_create(
    tx: Tx, context: Context, local_ip: Values, port_id: str, fixed_ip: str | None
) -> dict[str, Any]:
    """Lead a local IP to a port, for those on its host."""
    found = {row.id: row for row in tx.rows(_PORTS, {"ids": [port_id]})}
    port = _usable(context, found, port_id, "local_ip_port_association")
    # Packets of everybody on the port's network are led there, whatever the address is elsewhere.
    if port.network_id != local_ip["network_id"] and not (
        context.is_admin or port.network_project_id == local_ip["project_id"]
    ):
        raise BadRequest(
            resource="local_ip_port_association",
            msg=f"Port {port_id} is on a network of another project than the Local IP",
        )
    address = _address(port, fixed_ip)
    row = {"local_ip_id": local_ip["id"], "fixed_port_id": port_id, "fixed_ip": address}
    try:
        with tx.savepoint():
            tx.insert(local_ip_associations, [row])
    except Duplicate:
        raise NeutronDbObjectDuplicateEntry(local_ip_id=local_ip["id"], fixed_port_id=port_id) from None
    _tell(tx, context, "create", local_ip, port_id)
    return association_of(tx, local_ip["id"], port_id)


def association_delete(tx: Tx, context: Context, local_ip: Values, port_id: str) -> None:
    """Lead it there no more; LocalIPAssociationNotFound."""
    association_of(tx, local_ip["id"], port_id)
    table = local_ip_associations
    where = and_(table.c.local_ip_id == local_ip["id"], table.c.fixed_port_id == port_id)
    tx.execute(delete(table).where(where))
    _tell(tx, context, "delete", local_ip, port_id)


def _make_ports(tx: Tx, context: Context, specs: Sequence[Values], config: NetworkConfig) -> None:
    """Give local IPs ports of their own."""
    if not specs:
        return
    network_ids = {spec["network_id"] for spec in specs}
    visible = visible_networks(tx, context, network_ids)
    for network_id in sorted(network_ids - visible.keys()):
        raise NetworkNotFound(network_id=network_id)
    as_admin = elevated(context)
    wanted = [
        new_port(
            as_admin,
            project_id=spec["project_id"],
            network_id=spec["network_id"],
            device_id=spec["id"],
            device_owner=device_owners.LOCAL_IP,
            fixed_ips=[{"ip_address": spec["local_ip_address"]}] if spec["local_ip_address"] else None,
        )
        for spec in specs
    ]
    facts = facts_of_new(tx, as_admin, wanted, config)
    for network_id in sorted(network_ids):
        if not any(subnet.ip_version == 4 for subnet in facts.subnets[network_id]):
            raise BadRequest(
                resource="local_ip", msg=f"Network {network_id} does not contain any IPv4 subnet"
            )
    made = port_create(tx, as_admin, wanted, config=config, facts=facts)
    for spec, port in zip(specs, made, strict=True):
        spec["local_port_id"] = port["id"]
        spec["local_ip_address"] = port["fixed_ips"][0]["ip_address"]


def _usable(context: Context, found: Mapping[str, Row[Any]], port_id: str, resource: str) -> Row[Any]:
    """The port, if the caller may use it."""
    port = found.get(port_id)
    if port is None or not (
        context.is_admin or context.project_id in (port.project_id, port.network_project_id)
    ):
        raise BadRequest(resource=resource, msg=f"Port {port_id} not found")
    return port


def _address(port: Row[Any], asked: str | None) -> str:
    """The address of a port that is asked for, or its only one."""
    held = [str(ip["ip_address"]) for ip in port.fixed_ips]
    if asked is not None:
        if asked not in held:
            raise LocalIPRequestedIPNotFound(port_id=port.id, ip=asked)
        return asked
    if not held:
        raise LocalIPNoIP(port_id=port.id)
    if len(held) > 1:
        raise LocalIPNoRequestedIP(port_id=port.id)
    return held[0]


def _view(row: Row[Any]) -> dict[str, Any]:
    return {
        "local_ip_id": row.local_ip_id,
        "local_ip_address": row.local_ip_address,
        "fixed_port_id": row.fixed_port_id,
        "fixed_ip": row.fixed_ip,
        "host": row.host or "",
    }


def _tell(tx: Tx, context: Context, verb: str, local_ip: Values, port_id: str) -> None:
    """Wake the switch agent of the port's host."""
    tx.emit(
        event(
            context,
            f"local_ip_association.{verb}",
            local_ip["id"],
            local_ip["project_id"],
            [scopes.port(port_id)],
            port_id=port_id,
        )
    )
