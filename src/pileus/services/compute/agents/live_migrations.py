"""Live migrations as the two hosts of one hear and tell of them.

Each host knows the other one by the certificate that this one's agent has reported: it is handed on here, so
that no other host is let in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, select

from pileus.core.context import Context
from pileus.resource.declaration import Values
from pileus.resource.rows import fetch
from pileus.services.compute.servers.chains.common import NODE, Parts
from pileus.services.compute.servers.chains.live_migration import (
    LIVE,
    PREPARE,
    START,
    SWITCH,
    live_arrival,
    live_progress,
)
from pileus.services.compute.servers.resource import SERVER
from pileus.services.compute.tables.nodes import compute_nodes
from pileus.services.compute.tables.servers import servers
from pileus.store.column_in import column_in
from pileus.store.operations import PENDING, RUNNING, WAITING, Operation, operations
from pileus.store.tx import Tx
from pileus.wire.hypervisor import MigrationProgress, OperationReport


class Arrival(NamedTuple):
    """A server that a host is to make room for: by which operation, and who may bring it."""

    operation_id: str
    certificate: str


def certificates_of(tx: Tx) -> dict[str, str]:
    """The certificates of hosts' agents."""
    c = compute_nodes.c
    rows = tx.rows(select(c.host, c.certificate).where(c.certificate.is_not(None)))
    return {row.host: row.certificate for row in rows}


def arrivals_read(tx: Tx, coming: Sequence[Values]) -> dict[str, Arrival]:
    """Of servers that are to come to a host: those that it may let in now."""
    c = operations.c
    steps = (PREPARE, START, NODE, SWITCH)
    where = [column_in(tx, c.resource_id, [server["id"] for server in coming]), c.step.in_(steps)]
    under_way = {one.resource_id: one.id for one in _live(tx, where)}
    certificates = certificates_of(tx)
    return {
        server["id"]: Arrival(under_way[server["id"]], certificates.get(server["host"], ""))
        for server in coming
        if server["id"] in under_way
    }


def live_progress_take(
    tx: Tx, context: Context, host: str, several: Iterable[MigrationProgress], parts: Parts
) -> None:
    """Take what a host says of servers that leave it."""
    said = {one.operation_id: one for one in several}
    for operation, server in _of(tx, said):
        if server["host"] == host and operation.step == NODE:
            live_progress(tx, context, server, operation, said[operation.id], parts)


def live_arrivals_take(
    tx: Tx, context: Context, host: str, several: Iterable[OperationReport], parts: Parts
) -> None:
    """Take what a host says of servers that come to it."""
    said = {one.operation_id: one for one in several}
    for operation, server in _of(tx, said):
        if (operation.data or {}).get("dest") == host and server["host"] != host:
            live_arrival(tx, context, server, operation, said[operation.id], parts)


def _of(tx: Tx, operation_ids: Collection[str]) -> list[tuple[Operation, Values]]:
    """The live migrations among operations, and their servers, held; two statements."""
    found = _live(tx, [column_in(tx, operations.c.id, sorted(operation_ids))])
    ids = sorted({one.resource_id for one in found})
    if not ids:
        return []
    held = fetch(tx, SERVER, ids, [servers.c.deleted_at.is_(None)], lock=True)
    by_id = {server["id"]: server for server in held}
    return [(one, by_id[one.resource_id]) for one in found if one.resource_id in by_id]


def _live(tx: Tx, where: Sequence[ColumnElement[bool]]) -> list[Operation]:
    """Live migrations that have neither ended nor failed."""
    c = operations.c
    rows = tx.rows(
        select(operations).where(*where, c.kind == LIVE.kind, c.state.in_((PENDING, RUNNING, WAITING)))
    )
    return [Operation(**row._mapping) for row in rows]
