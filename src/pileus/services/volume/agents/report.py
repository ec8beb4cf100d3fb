"""Reports of storage agents: pools as they are, operations that ended, exports that are open.

One report is one unit of work. A host speaks of its own pools only; what it says of others is passed over.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import or_, select

from pileus.core.context import Context
from pileus.resource.event import event
from pileus.services.volume.agents.kinds import ON_NODE
from pileus.services.volume.agents.state import of_host
from pileus.services.volume.attachments.connections import is_answer
from pileus.services.volume.config import VolumeConfig
from pileus.services.volume.events import CONNECTED
from pileus.services.volume.operations import NODE, Ended
from pileus.services.volume.pools.work import pools_take
from pileus.services.volume.rules import states
from pileus.services.volume.tables.volumes import volume_attachments, volume_snapshots, volumes
from pileus.services.volume.uses.image import ImageFiles
from pileus.store.column_in import column_in
from pileus.store.events import newest_position
from pileus.store.operations import (
    DONE,
    FAILED,
    PENDING,
    RUNNING,
    WAITING,
    Operation,
    operation_end,
    operations,
)
from pileus.store.tx import Tx
from pileus.wire import scopes
from pileus.wire.hypervisor import OperationReport
from pileus.wire.switch import Acknowledged
from pileus.wire.volume import ExportReport, VolumeProgress, VolumeReport


class Parts(NamedTuple):
    """Settings, and the bytes of images."""

    config: VolumeConfig
    images: ImageFiles


def volume_report(tx: Tx, context: Context, report: VolumeReport, *, parts: Parts) -> Acknowledged:
    """Take a report; the answer's position is the newest of what concerns the host's pools."""
    if report.pools is not None:
        pools_take(tx, context, report.host, report.pools)
    if report.progress:
        _progress(tx, report.host, report.progress)
    if report.operations:
        _operations(tx, context, report.host, report.operations, parts.config)
    if report.exports:
        _exports(tx, context, report.host, report.exports)
    return Acknowledged(position=newest_position(tx, {scopes.volumes(report.host)}))


def _mine(tx: Tx, host: str, operation_ids: Collection[str]) -> list[Any]:
    """Those of some operations that the host carries out, held."""
    c = operations.c
    return list(
        tx.rows(
            select(operations)
            .where(
                column_in(tx, c.id, sorted(operation_ids)),
                c.kind.in_(sorted(ON_NODE)),
                c.state.in_((PENDING, RUNNING, WAITING)),
                c.step == NODE,
                or_(c.resource_id.in_(select(volumes.c.id).where(volumes.c.node == host)), of_host(host)),
            )
            .with_for_update()
        )
    )


def _operations(
    tx: Tx, context: Context, host: str, reports: Sequence[OperationReport], config: VolumeConfig
) -> None:
    said = {one.operation_id: one for one in reports}
    ended = [
        Ended(Operation(**row._mapping), said[row.id].error, said[row.id].result)
        for row in _mine(tx, host, said)
    ]
    operations_finish(tx, context, ended, config)


def operations_finish(tx: Tx, context: Context, ended: Sequence[Ended], config: VolumeConfig) -> None:
    """End operations, and make of volumes what follows; by kind, together."""
    kinds: dict[str, list[Ended]] = {}
    errors: dict[str | None, list[str]] = {}
    for one in ended:
        kinds.setdefault(one.operation.kind, []).append(one)
        errors.setdefault(one.error, []).append(one.operation.id)
    for error, ids in errors.items():
        operation_end(tx, DONE if error is None else FAILED, context.now, ids=ids, error=error)
    for kind, several in kinds.items():
        ON_NODE[kind].finish(tx, context, several, config=config)


def _exports(tx: Tx, context: Context, host: str, reports: Sequence[ExportReport]) -> None:
    c = volume_attachments.c
    said = {one.export_id: one for one in reports}
    rows = tx.rows(
        select(c.id, c.status, c.connection, c.connector, c.error, c.project_id).where(
            column_in(tx, c.id, sorted(said)),
            c.connector.is_not(None),
            c.volume_id.in_(select(volumes.c.id).where(volumes.c.node == host)),
        )
    )
    changed = []
    for row in rows:
        report = said[row.id]
        connection, error = report.connection, report.error
        if connection is not None and not is_answer(connection, row.connector, host):
            connection, error = None, f"The host {host} has opened it in a way that nobody asked for."
        given = None if connection is None else msgspec.to_builtins(connection)
        if given is None and row.status == states.ATTACHED:
            given = row.connection  # whoever has it open keeps it, and gets it back this way
        if (row.connection, row.error) != (given, error):
            changed.append((row, {"connection": given, "error": error}))
    for row, values in changed:  # few: one a request that waits for it
        tx.execute(volume_attachments.update().where(c.id == row.id).values(values))
    tx.emit_many([event(context, CONNECTED, row.id, row.project_id) for row, _ in changed])


def _progress(tx: Tx, host: str, said: Sequence[VolumeProgress]) -> None:
    """Snapshots show how far they are."""
    percents = {one.operation_id: one.percent for one in said}
    c = volume_snapshots.c
    for row in _mine(tx, host, percents):
        if (snapshot_id := row.data.get("snapshot_id")) and not row.data.get("source"):
            text = f"{percents[row.id]}%"
            tx.execute(volume_snapshots.update().where(c.id == snapshot_id, ~c.made).values(progress=text))
