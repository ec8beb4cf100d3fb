"""Volumes of servers as their hosts report them: chains that attach and detach go on, or turn round."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select, update

from pileus.core.context import Context
from pileus.flow.chain import give_up
from pileus.resource.event import event
from pileus.services.compute.servers.attached_volumes import ATTACHED, MOVING
from pileus.services.compute.servers.chains.common import NODE, Parts
from pileus.services.compute.servers.chains.volumes import ATTACH, DETACH, SETTLE
from pileus.services.compute.tables.servers import server_volumes
from pileus.services.compute.uses.volume import attachments_complete
from pileus.store import operations as operation_rows
from pileus.store.column_in import column_in
from pileus.store.operations import WAITING, operation_get, operation_go_on, operations
from pileus.store.tx import Tx
from pileus.wire.hypervisor import ServerReport

_CHAINS = {chain.kind: chain for chain in (ATTACH, DETACH)}


def volumes_take(tx: Tx, context: Context, reports: Sequence[ServerReport], parts: Parts) -> None:
    """Take the volumes that machines have, and those that were refused. The chains that wait for them are
    few, and so are the statements."""
    _moved(tx, context, reports)
    said = {one.server_id: one for one in reports}
    c = operations.c
    waiting = tx.rows(
        select(c.id, c.kind, c.resource_id, c.data)
        .where(
            column_in(tx, c.resource_id, sorted(said)),
            c.kind.in_(sorted(_CHAINS)),
            c.state == WAITING,
            c.step == NODE,
        )
        .order_by(c.id)
    )
    ready = []
    for row in waiting:
        report, volume_id = said[row.resource_id], row.data["volume_id"]
        refused = report.refused.get(volume_id)
        if (volume_id in report.volumes) == (row.kind == ATTACH.kind):
            ready.append(row.id)
        elif refused is not None and (operation := operation_get(tx, row.id)) is not None:
            give_up(operation_rows, tx, context, _CHAINS[row.kind], operation, refused, parts)
            tx.emit(event(context, "operation.ready", row.id, None))
    if ready and operation_go_on(tx, ready, from_step=NODE, to_step=SETTLE, now=context.now):
        tx.emit(event(context, "operation.ready", ready[0], None))


def _moved(tx: Tx, context: Context, reports: Sequence[ServerReport]) -> None:
    """Volumes that came along with their servers are in use where they are now."""
    has = {one.server_id: one.volumes for one in reports if one.volumes}
    if not has:
        return
    c = server_volumes.c
    moving = select(c.attachment_id, c.server_id, c.volume_id)
    rows = tx.rows(moving.where(column_in(tx, c.server_id, sorted(has)), c.state == MOVING))
    ids = [row.attachment_id for row in rows if row.volume_id in has[row.server_id]]
    if ids:
        attachments_complete(tx, context, ids)
        tx.execute(update(server_volumes).where(column_in(tx, c.attachment_id, ids)).values(state=ATTACHED))
