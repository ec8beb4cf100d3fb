"""Facts about pools and the services that answer for them: read together, in a constant number of
statements."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import func, select

from pileus import __version__
from pileus.services.volume.config import VolumeConfig
from pileus.services.volume.rules.placement import GIB, Pool
from pileus.services.volume.tables.pools import volume_pools, volume_services
from pileus.services.volume.tables.volumes import volumes
from pileus.store.tx import Tx

VOLUME_BINARY, SCHEDULER_BINARY, BACKUP_BINARY = "cinder-volume", "cinder-scheduler", "cinder-backup"
VENDOR = "Pileus"


class ServiceFacts(NamedTuple):
    """A service as the API shows it."""

    id: str
    host: str
    binary: str
    zone: str
    disabled: bool
    disabled_reason: str | None
    frozen: bool
    up: bool
    seen_at: dt.datetime


def service_host(node: str, pool: str) -> str:
    """A pool's service in Cinder's form."""
    return f"{node}@{pool}"


def pool_host(node: str, pool: str) -> str:
    """A pool in Cinder's form; each backend has one."""
    return f"{node}@{pool}#{pool}"


def services_read(tx: Tx, config: VolumeConfig, now: dt.datetime) -> list[ServiceFacts]:
    """All services, by host and binary. Two statements."""
    c, s = volume_pools.c, volume_services.c
    zones = {
        service_host(row.node, row.name): row.availability_zone
        for row in tx.rows(select(c.node, c.name, c.availability_zone))
    }
    since = config.alive_since(now)
    return [
        ServiceFacts(
            row.id,
            row.host,
            row.binary,
            zones.get(row.host) or config.default_zone,
            row.disabled,
            row.disabled_reason,
            row.frozen,
            row.reported_at >= since,
            row.reported_at,
        )
        for row in tx.rows(select(volume_services).order_by(s.host, s.binary))
    ]


_USED = select(
    volumes.c.host,
    func.count().label("many"),
    func.sum(func.coalesce(volumes.c.wanted_size_gib, volumes.c.size_gib)).label("gib"),
).group_by(volumes.c.host)


def pools_read(tx: Tx, config: VolumeConfig, now: dt.datetime) -> list[Pool]:
    """All pools as the scheduler sees them. Four statements."""
    known = services_read(tx, config, now)
    services = {one.host: one for one in known if one.binary == VOLUME_BINARY}
    off = {one.host for one in known if one.binary == BACKUP_BINARY and one.disabled}
    used = {row.host: row for row in tx.rows(_USED)}
    found = []
    for row in tx.rows(select(volume_pools).order_by(volume_pools.c.node, volume_pools.c.name)):
        host, service = pool_host(row.node, row.name), services.get(service_host(row.node, row.name))
        mine = used.get(host)
        provisioned = int(mine.gib) if mine else 0
        found.append(
            Pool(
                host=host,
                node=row.node,
                name=row.name,
                zone=row.availability_zone or config.default_zone,
                up=service is not None and service.up,
                enabled=service is not None and not service.disabled and not service.frozen,
                error=row.error,
                total=row.total_bytes / GIB,
                free=row.free_bytes / GIB,
                provisioned=provisioned,
                volumes=int(mine.many) if mine else 0,
                thin=row.thin,
                ratio=row.over_subscription_ratio,
                reserved_percentage=row.reserved_percentage,
                capabilities=_capabilities(row, provisioned),
                backup_place=_backup_place(row) if row.backups and row.node not in off else None,
            )
        )
    return found


def _backup_place(row: Any) -> str:
    """Where volumes of a pool are backed up: a place that several nodes share, or their own node."""
    return f"shared/{row.backup_place}" if row.backup_place else f"node/{row.node}"


def _capabilities(row: Any, provisioned: int) -> Mapping[str, Any]:
    """The report of a pool by Cinder's names, which nothing that its driver says besides can take the
    place of."""
    return {
        **row.capabilities,
        "pool_name": row.name,
        "volume_backend_name": row.backend_name,
        "vendor_name": VENDOR,
        "driver_version": __version__,
        "driver": row.driver,
        "storage_protocol": row.protocol or row.driver,
        "total_capacity_gb": round(row.total_bytes / GIB, 2),
        "free_capacity_gb": round(row.free_bytes / GIB, 2),
        "provisioned_capacity_gb": provisioned,
        "allocated_capacity_gb": provisioned,
        "reserved_percentage": row.reserved_percentage,
        "max_over_subscription_ratio": row.over_subscription_ratio,
        "thin_provisioning_support": row.thin,
        "thick_provisioning_support": not row.thin,
        "multiattach": row.multiattach,
        "online_extend_support": True,
        "QoS_support": False,
        "backend_state": "up" if row.error is None else "down",
        "availability_zones": [row.availability_zone] if row.availability_zone else [],
        "timestamp": row.updated_at.isoformat(timespec="microseconds"),
    }
