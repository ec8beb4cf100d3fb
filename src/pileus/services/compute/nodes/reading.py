"""Facts about the hosts that run servers: read together, in a constant number of statements."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import and_, case, func, literal_column, select, union_all

from pileus.services.compute.config import ComputeConfig
from pileus.services.compute.rules.providers import DISK_GB, MEMORY_MB, OF_HOSTS, VCPU, Inventory
from pileus.services.compute.rules.scheduler import HostFacts
from pileus.services.compute.tables.nodes import (
    aggregate_hosts,
    aggregates,
    compute_nodes,
    compute_services,
)
from pileus.services.compute.tables.placement import (
    placement_allocations,
    placement_consumers,
    placement_inventories,
)
from pileus.services.compute.tables.servers import allocations, server_migrations, servers
from pileus.services.compute.uses.network import host_addresses
from pileus.store.tx import Tx

COMPUTE_BINARY = "nova-compute"
INTERNAL_ZONE = "internal"
ZONE = "availability_zone"
"""The item of an aggregate's metadata that makes its hosts a zone."""


class ServiceFacts(NamedTuple):
    """A compute service as the API shows it. ``zone`` is ``internal`` for what runs no servers."""

    number: int
    id: str
    host: str
    binary: str
    zone: str
    disabled: bool
    disabled_reason: str | None
    forced_down: bool
    alive: bool
    seen_at: dt.datetime
    address: str | None

    @property
    def up(self) -> bool:
        return self.alive and not self.forced_down


class NodeFacts(NamedTuple):
    """A hypervisor, its service, and what it has promised (``vcpus_used`` and so on; of memory also what no
    server gets). ``said`` is what an operator said of its inventories."""

    row: Any
    service: ServiceFacts
    vcpus_used: int
    memory_used_mib: int
    disk_used_gib: int
    servers: int
    reserved_memory_mib: int
    said: Mapping[str, Inventory]


def zones_by_host(tx: Tx) -> dict[str, str]:
    """The zone that an aggregate gives each host; one statement."""
    rows = tx.rows(_AGGREGATES)
    return {row.host: row.metadata[ZONE] for row in rows if row.metadata.get(ZONE)}


def aggregates_by_host(tx: Tx) -> dict[str, list[Mapping[str, str]]]:
    """The metadata of the aggregates of each host; one statement."""
    found: dict[str, list[Mapping[str, str]]] = {}
    for row in tx.rows(_AGGREGATES):
        if row.metadata:
            found.setdefault(row.host, []).append(row.metadata)
    return found


_AGGREGATES = (
    select(aggregate_hosts.c.host, aggregates.c.metadata)
    .where(aggregates.c.number == aggregate_hosts.c.aggregate)
    .order_by(aggregates.c.number)
)
_BUSY = (
    select(servers.c.host, func.count().label("busy"))
    .where(servers.c.task_state.is_not(None), servers.c.host.is_not(None), servers.c.deleted_at.is_(None))
    .group_by(servers.c.host)
)


def services_read(tx: Tx, config: ComputeConfig, now: dt.datetime) -> list[ServiceFacts]:
    """All compute services, by host and binary. Four statements."""
    since = config.alive_since(now)
    addresses = host_addresses(tx)
    zones = {
        row.host: row.availability_zone
        for row in tx.rows(select(compute_nodes.c.host, compute_nodes.c.availability_zone))
    }
    zones |= zones_by_host(tx)
    found = []
    for row in tx.rows(select(compute_services).order_by(compute_services.c.host, compute_services.c.binary)):
        runs_servers = row.binary == COMPUTE_BINARY
        found.append(
            ServiceFacts(
                row.number,
                row.id,
                row.host,
                row.binary,
                (zones.get(row.host) or config.default_zone) if runs_servers else INTERNAL_ZONE,
                row.disabled,
                row.disabled_reason,
                row.forced_down,
                row.reported_at >= since,
                row.reported_at,
                addresses.get(row.host) if runs_servers else None,
            )
        )
    return found


def host_is_up(tx: Tx, config: ComputeConfig, now: dt.datetime, host: str | None) -> bool:
    """Whether a host's hypervisor agent reports; nobody's host does not."""
    return host is not None and any(
        one.host == host and one.binary == COMPUTE_BINARY and one.up for one in services_read(tx, config, now)
    )


_a, _m = allocations.c, server_migrations.c
_p, _c = placement_allocations.c, placement_consumers.c


def _of_class(resource_class: str) -> Any:
    return func.sum(case((_p.resource_class == resource_class, _p.used), else_=0))


PROMISED = union_all(
    select(
        _a.host, _a.project_id, _a.vcpus, _a.memory_mib, _a.disk_gib, literal_column("1").label("servers")
    ),
    select(
        _m.held_host,
        servers.c.project_id,
        _m.held_vcpus,
        _m.held_memory_mib,
        _m.held_disk_gib,
        literal_column("0"),
    ).where(_m.held_host.is_not(None), servers.c.id == _m.server_id),
    select(
        compute_nodes.c.host,
        _c.project_id,
        _of_class(VCPU),
        _of_class(MEMORY_MB),
        _of_class(DISK_GB),
        literal_column("0"),
    )
    .where(_p.provider_id == compute_nodes.c.id, _c.id == _p.consumer_id, _p.resource_class.in_(OF_HOSTS))
    .group_by(compute_nodes.c.host, _c.project_id),
).subquery("promised")
"""The promises of hosts: to servers that are on them, to those that come or may come back, and to what
operators have told of (``tables/placement.py``)."""

_NODES = (
    select(compute_nodes, *(column for column in placement_inventories.c if column.name != "provider_id"))
    .outerjoin(
        placement_inventories,
        and_(
            placement_inventories.c.provider_id == compute_nodes.c.id,
            placement_inventories.c.resource_class.in_(OF_HOSTS),
        ),
    )
    .order_by(compute_nodes.c.number)
)
"""Hypervisors, each as often as operators have told of its inventories, and once where they have not."""

_USED = select(
    PROMISED.c.host,
    func.sum(PROMISED.c.vcpus).label("vcpus"),
    func.sum(PROMISED.c.memory_mib).label("memory_mib"),
    func.sum(PROMISED.c.disk_gib).label("disk_gib"),
    func.sum(PROMISED.c.servers).label("servers"),
).group_by(PROMISED.c.host)


def nodes_read(tx: Tx, config: ComputeConfig, now: dt.datetime) -> list[NodeFacts]:
    """All hypervisors by host. Six statements."""
    said: dict[str, dict[str, Inventory]] = {}
    rows: dict[str, Any] = {}
    for row in tx.rows(_NODES):
        rows.setdefault(row.host, row)
        if row.resource_class is not None:
            said.setdefault(row.host, {})[row.resource_class] = inventory_of(row)
    services = {one.host: one for one in services_read(tx, config, now) if one.binary == COMPUTE_BINARY}
    used = {row.host: row for row in tx.rows(_USED)}
    found = []
    for row in rows.values():
        service = services.get(row.host)
        if service is None:
            continue
        mine, here = used.get(row.host), said.get(row.host, {})
        reserved = here[MEMORY_MB].reserved if MEMORY_MB in here else config.reserved_memory_mib
        found.append(
            NodeFacts(
                row,
                service,
                int(mine.vcpus) if mine else 0,
                (int(mine.memory_mib) if mine else 0) + reserved,
                int(mine.disk_gib) if mine else 0,
                int(mine.servers) if mine else 0,
                reserved,
                here,
            )
        )
    return found


def inventory_of(row: Any) -> Inventory:
    """An inventory that an operator has told of."""
    return Inventory(
        total=row.total,
        reserved=row.reserved,
        min_unit=row.min_unit,
        max_unit=row.max_unit,
        step_size=row.step_size,
        allocation_ratio=row.allocation_ratio,
    )


def hosts_for_scheduler(tx: Tx, config: ComputeConfig, now: dt.datetime) -> list[HostFacts]:
    """The hosts in the form that the scheduler weighs. Seven statements, and one more where it is asked how
    busy they are."""
    known = aggregates_by_host(tx)
    asks = "IoOpsFilter" in config.filters or config.weights.busy
    busy = {row.host: int(row.busy) for row in tx.rows(_BUSY)} if asks else {}
    return [
        HostFacts(
            host=node.row.host,
            node=node.row.hypervisor_hostname,
            node_id=node.row.id,
            zone=node.service.zone,
            up=node.service.up,
            seen_at=node.service.seen_at,
            enabled=not node.service.disabled,
            disabled_reason=node.service.disabled_reason,
            vcpus=node.row.vcpus,
            vcpus_used=node.vcpus_used,
            memory_mib=node.row.memory_mib,
            memory_used_mib=node.memory_used_mib - node.reserved_memory_mib,
            reserved_memory_mib=node.reserved_memory_mib,
            said=node.said,
            disk_gib=node.row.disk_gib,
            disk_used_gib=node.disk_used_gib,
            servers=node.servers,
            hypervisor_type=node.row.hypervisor_type,
            hypervisor_version=node.row.hypervisor_version,
            address=node.service.address or "",
            busy=busy.get(node.row.host, 0),
            aggregates=tuple(known.get(node.row.host, ())),
            architecture=str(node.row.cpu_info.get("arch", "")),
        )
        for node in nodes_read(tx, config, now)
    ]
