"""Units of work of compute services: they appear by reporting, administrators change and delete them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from sqlalchemy import bindparam, delete, or_, select, update

from pileus.core.context import Context
from pileus.core.errors import Conflict, Invalid, NotFound
from pileus.core.ids import new_id
from pileus.resource.event import event
from pileus.services.compute.nodes.reading import COMPUTE_BINARY
from pileus.services.compute.tables.nodes import compute_nodes, compute_services
from pileus.services.compute.tables.placement import (
    placement_aggregates,
    placement_allocations,
    placement_inventories,
    placement_provider_traits,
    placement_providers,
)
from pileus.services.compute.tables.servers import servers
from pileus.store.errors import Duplicate
from pileus.store.tx import Tx
from pileus.wire.hypervisor import Inventory


class HostBinaryNotFound(NotFound):
    message = "Could not find binary {binary} on host {host}."


class ServiceNotFound(NotFound):
    message = "Service {id} could not be found."


class BadInventory(Invalid):
    message = "The report of {host} can't be taken: its cpu_info has more than {limit} bytes."


class ServiceInUse(Conflict):
    message = (
        "Unable to delete compute service that is hosting instances. Migrate or delete the instances first."
    )


_LONGEST_CPU_INFO = 1 << 16
_KNOWN = select(compute_services.c.number).where(
    compute_services.c.host == bindparam("of_host"), compute_services.c.binary == bindparam("of_binary")
)
_SEEN = (
    update(compute_services)
    .where(
        compute_services.c.host == bindparam("of_host"), compute_services.c.binary == bindparam("of_binary")
    )
    .values(reported_at=bindparam("now"))
)


def service_seen(tx: Tx, context: Context, host: str, binary: str) -> None:
    """Write down that a service lives, and make it known where it is new."""
    where = {"of_host": host, "of_binary": binary}
    if tx.execute(_SEEN, {**where, "now": context.now}).rowcount:
        return
    row: dict[str, Any] = {
        "id": new_id(),
        "host": host,
        "binary": binary,
        "disabled": False,
        "disabled_reason": None,
        "forced_down": False,
        "reported_at": context.now,
        "created_at": context.now,
    }
    try:
        with tx.savepoint():
            tx.insert(compute_services, [row])
    except Duplicate:
        return  # the same report came twice at the same time
    tx.emit(event(context, "compute_service.create", row["id"], None, host=host, binary=binary))


def inventory_take(tx: Tx, context: Context, host: str, inventory: Inventory) -> None:
    """Write down what a host has now; at most four statements."""
    if len(msgspec.json.encode(inventory.cpu_info)) > _LONGEST_CPU_INFO:
        raise BadInventory(host=host, limit=_LONGEST_CPU_INFO)
    service_seen(tx, context, host, COMPUTE_BINARY)
    values = {
        "hypervisor_hostname": inventory.hypervisor_hostname,
        "hypervisor_type": inventory.hypervisor_type,
        "hypervisor_version": inventory.hypervisor_version,
        "vcpus": inventory.vcpus,
        "memory_mib": inventory.memory_mib,
        "disk_gib": inventory.disk_gib,
        "memory_used_mib": inventory.memory_used_mib,
        "disk_free_gib": inventory.disk_free_gib,
        "cpu_info": inventory.cpu_info,
        "virtualisation": inventory.virtualisation,
        "availability_zone": inventory.availability_zone,
        "booted_at": inventory.booted_at,
        "certificate": inventory.certificate or None,
        "updated_at": context.now,
    }
    if tx.execute(update(compute_nodes).where(compute_nodes.c.host == host).values(values)).rowcount:
        return
    try:
        with tx.savepoint():
            tx.insert(compute_nodes, [{"id": new_id(), "host": host, **values}])
    except Duplicate:
        return
    tx.emit(event(context, "compute_node.create", host, None, host=host))


def service_change(tx: Tx, context: Context, where: Mapping[str, Any], changes: Mapping[str, Any]) -> Any:
    """Enable, disable or force down one service, found by ``id`` or by ``host`` and ``binary``."""
    conditions = [compute_services.c[name] == value for name, value in where.items()]
    row = tx.first(select(compute_services).where(*conditions).with_for_update())
    if row is None:
        if "id" in where:
            raise ServiceNotFound(id=where["id"])
        raise HostBinaryNotFound(binary=where["binary"], host=where["host"])
    tx.execute(update(compute_services).where(compute_services.c.number == row.number).values(dict(changes)))
    tx.emit(event(context, "compute_service.update", row.id, None, host=row.host, **changes))
    return row.host


def service_delete(tx: Tx, context: Context, service_id: str, by_number: bool) -> None:
    """Forget a service and its hypervisor; ServiceInUse while it has servers. A living host comes back."""
    column = compute_services.c.number if by_number else compute_services.c.id
    key: Any = int(service_id) if by_number else service_id
    row = tx.first(select(compute_services).where(column == key).with_for_update())
    if row is None:
        raise ServiceNotFound(id=service_id)
    if row.binary == COMPUTE_BINARY:
        hosting = tx.first(
            select(servers.c.id)
            .where(
                or_(servers.c.host == row.host, servers.c.kept_host == row.host),
                servers.c.deleted_at.is_(None),
            )
            .limit(1)
        )
        if hosting is not None:
            raise ServiceInUse()
        _resources_forget(tx, row.host)
        tx.execute(delete(compute_nodes).where(compute_nodes.c.host == row.host))
    tx.execute(delete(compute_services).where(compute_services.c.number == row.number))
    tx.emit(event(context, "compute_service.delete", row.id, None, host=row.host))


def _resources_forget(tx: Tx, host: str) -> None:
    """Forget all that operators told of a host's resources, and of those below it."""
    node_id = tx.scalar(select(compute_nodes.c.id).where(compute_nodes.c.host == host))
    if node_id is None:
        return
    table = placement_providers
    ids = [node_id, *(row.id for row in tx.rows(select(table.c.id).where(table.c.root_id == node_id)))]
    takers = select(placement_allocations.c.consumer_id).where(placement_allocations.c.provider_id.in_(ids))
    if tx.first(takers.limit(1)) is not None:
        raise ServiceInUse("Others have resources of this host. Delete their allocations first.")
    for one in (placement_inventories, placement_provider_traits, placement_aggregates):
        tx.execute(delete(one).where(one.c.provider_id.in_(ids)))
    tx.execute(delete(table).where(table.c.id.in_(ids)))


def servers_on(tx: Tx, hosts: Collection[str]) -> dict[str, list[dict[str, str]]]:
    """The servers of hosts as hypervisors list them."""
    found: dict[str, list[dict[str, str]]] = {}
    rows = tx.rows(
        select(servers.c.id, servers.c.name, servers.c.host)
        .where(servers.c.host.in_(sorted(hosts)), servers.c.deleted_at.is_(None))
        .order_by(servers.c.created_at, servers.c.id)
    )
    for row in rows:
        found.setdefault(row.host, []).append({"name": row.name, "uuid": row.id})
    return found
