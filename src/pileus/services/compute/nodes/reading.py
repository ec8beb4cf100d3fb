"""Facts about the hosts that run servers: read together, in a constant number of statements."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import func, literal_column, select, union_all

from pileus.services.compute.config import ComputeConfig
from pileus.services.compute.rules.scheduler import HostFacts
from pileus.services.compute.tables.nodes import (
    aggregate_hosts,
    aggregates,
    compute_nodes,
    compute_services,
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
    """A hypervisor, its service, and what it has promised (``vcpus_used`` and so on)."""

    row: Any
    service: ServiceFacts
    vcpus_used: int
    memory_used_mib: int
    disk_used_gib: int
    servers: int


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
).subquery("promised")
"""The promises of hosts: to servers that are on them, and to those that come or may come back."""

_USED = select(
    PROMISED.c.host,
    func.sum(PROMISED.c.vcpus).label("vcpus"),
    func.sum(PROMISED.c.memory_mib).label("memory_mib"),
    func.sum(PROMISED.c.disk_gib).label("disk_gib"),
    func.sum(PROMISED.c.servers).label("servers"),
).group_by(PROMISED.c.host)


def nodes_read(tx: Tx, config: ComputeConfig, now: dt.datetime) -> list[NodeFacts]:
    """All hypervisors by host. Six statements."""
    services = {one.host: one for one in services_read(tx, config, now) if one.binary == COMPUTE_BINARY}
    used = {row.host: row for row in tx.rows(_USED)}
    found = []
    for row in tx.rows(select(compute_nodes).order_by(compute_nodes.c.number)):
        service = services.get(row.host)
        if service is None:
            continue
        mine = used.get(row.host)
        found.append(
            NodeFacts(
                row,
                service,
                int(mine.vcpus) if mine else 0,
                (int(mine.memory_mib) if mine else 0) + config.reserved_memory_mib,
                int(mine.disk_gib) if mine else 0,
                int(mine.servers) if mine else 0,
            )
        )
    return found


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
            zone=node.service.zone,
            up=node.service.up,
            seen_at=node.service.seen_at,
            enabled=not node.service.disabled,
            disabled_reason=node.service.disabled_reason,
            vcpus=node.row.vcpus,
            vcpus_used=node.vcpus_used,
            memory_mib=node.row.memory_mib,
            memory_used_mib=node.memory_used_mib,
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
