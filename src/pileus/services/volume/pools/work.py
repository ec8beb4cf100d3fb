"""Units of work of services and pools: they appear by reporting, administrators change them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import bindparam, delete, select, update

from pileus.core.context import Context
from pileus.core.errors import Invalid
from pileus.core.ids import new_id
from pileus.resource.event import event
from pileus.services.volume.errors import BadRequest, ServiceNotFound
from pileus.services.volume.pools.reading import BACKUP_BINARY, VOLUME_BINARY, service_host
from pileus.services.volume.tables.pools import volume_pools, volume_services
from pileus.store.column_in import column_in
from pileus.store.errors import Duplicate
from pileus.store.tx import Tx
from pileus.store.upsert import upsert
from pileus.wire.volume import PoolReport


class BadPool(Invalid):
    message = "The report of the pool {pool} can't be taken: its capabilities have more than {limit} bytes."


class InvalidHost(BadRequest):
    message = "Invalid input received: Host {host} could not be found."


_LONGEST = 1 << 14
_POOL_COLUMNS = tuple(column.name for column in volume_pools.columns if column.name not in ("node", "name"))
_SEEN = (
    update(volume_services)
    .where(volume_services.c.host == bindparam("of_host"), volume_services.c.binary == bindparam("of_binary"))
    .values(reported_at=bindparam("now"))
)


def services_seen(tx: Tx, context: Context, hosts: Collection[str], binary: str) -> None:
    """Write down that services live, and make those known that are new. Two statements, four where one is
    new."""
    if not hosts:
        return
    c, wanted = volume_services.c, sorted(hosts)
    rows = tx.rows(select(c.host).where(column_in(tx, c.host, wanted), c.binary == binary))
    known = {row.host for row in rows}
    if known:
        seen = {"of_binary": binary, "now": context.now}
        tx.execute(_SEEN, [{**seen, "of_host": host} for host in sorted(known)])
    fresh = [
        {
            "id": new_id(),
            "host": host,
            "binary": binary,
            "disabled": False,
            "disabled_reason": None,
            "frozen": False,
            "reported_at": context.now,
            "created_at": context.now,
        }
        for host in wanted
        if host not in known
    ]
    try:
        with tx.savepoint():
            tx.insert(volume_services, fresh)
    except Duplicate:
        return  # the same report came twice at the same time
    tx.emit_many(
        [event(context, "volume_service.create", str(one["id"]), None, name=one["host"]) for one in fresh]
    )


def pools_take(tx: Tx, context: Context, node: str, pools: Sequence[PoolReport]) -> None:
    """Write down which pools a node has now; pools that it has no more are forgotten (not their volumes)."""
    rows = [_row(context, node, pool) for pool in pools]
    names = [pool.name for pool in pools]
    c = volume_pools.c
    tx.execute(delete(volume_pools).where(c.node == node, c.name.not_in(names)))
    if rows:
        tx.execute(upsert(tx.dialect, volume_pools, _POOL_COLUMNS), rows)
    services_seen(tx, context, [service_host(node, name) for name in names], VOLUME_BINARY)
    if any(pool.backups for pool in pools):
        services_seen(tx, context, [node], BACKUP_BINARY)


def _row(context: Context, node: str, pool: PoolReport) -> dict[str, Any]:
    if len(msgspec.json.encode(pool.configurations)) > _LONGEST:
        raise BadPool(pool=pool.name, limit=_LONGEST)
    return {
        "node": node,
        "name": pool.name,
        "driver": pool.driver,
        "backend_name": pool.backend_name,
        "protocol": pool.protocol,
        "total_bytes": pool.total_bytes,
        "free_bytes": pool.free_bytes,
        "thin": pool.thin,
        "over_subscription_ratio": pool.over_subscription_ratio,
        "reserved_percentage": pool.reserved_percentage,
        "multiattach": pool.multiattach,
        "backups": pool.backups,
        "backup_place": pool.backup_place,
        "shared": pool.shared,
        "availability_zone": pool.availability_zone,
        "disk_formats": list(pool.disk_formats),
        "capabilities": {name: value for name, value in pool.configurations.items() if _is_plain(value)},
        "error": pool.error,
        "updated_at": context.now,
    }


def _is_plain(value: Any) -> bool:
    """Whether a capability is a text, a number, a truth or a list of them: what types can ask for."""
    several = value if isinstance(value, list) else [value]
    return all(isinstance(one, str | int | float) for one in several)


def service_change(
    tx: Tx, context: Context, host: str, binary: str | None, changes: Mapping[str, Any]
) -> None:
    """Change the service of a host. Raises ServiceNotFound; InvalidHost where no binary is named."""
    c = volume_services.c
    where = [c.host == host, c.binary == (binary or VOLUME_BINARY)]
    if not tx.execute(update(volume_services).where(*where).values(dict(changes))).rowcount:
        raise InvalidHost(host=host) if binary is None else ServiceNotFound(host=host)
    tx.emit(event(context, "volume_service.update", host, None, name=host, **changes))
