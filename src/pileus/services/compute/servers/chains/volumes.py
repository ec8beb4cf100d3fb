"""Volumes of servers: attached and detached while the server runs, or for its next start.

- attach: ``connect``, the volume's node opens it for the server's host; ``check``, it has and did not refuse,
  and the host is to have it; ``node``, the host reports that the machine has it; ``settle``, it is in use.
- detach: ``node``, the host reports that the machine has let go of it; ``settle``, the volume is left, and is
  what its other attachments make of it.

The operation of an attach has the attachment's id, so that whoever hears of a connection finds it. A
volume that its host will not let go of (the guest holds it) stays attached, and the action says why.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import delete, select, update

from pileus.core.context import Context
from pileus.core.errors import Conflict
from pileus.flow.chain import Chain, Step, Wait, give_up, waits_until
from pileus.resource.declaration import Values
from pileus.resource.event import event
from pileus.resource.rows import fetch
from pileus.services.compute.servers.attached_volumes import ATTACHED, ATTACHING, DETACHING, MOVING
from pileus.services.compute.servers.chains.common import (
    NODE,
    Parts,
    begin,
    server_of,
    task_timeout_s,
    told,
    update_told,
)
from pileus.services.compute.servers.chains.evacuate import EVACUATE
from pileus.services.compute.servers.chains.evacuate import SPAWN as EVACUATE_SPAWN
from pileus.services.compute.servers.chains.resize import RESIZE, REVERT
from pileus.services.compute.servers.chains.resize import SPAWN as RESIZE_SPAWN
from pileus.services.compute.servers.chains.shelve import SPAWN as UNSHELVE_SPAWN
from pileus.services.compute.servers.chains.shelve import UNSHELVE
from pileus.services.compute.servers.cleanup import put_error
from pileus.services.compute.servers.instance_actions import action_finish
from pileus.services.compute.servers.resource import SERVER
from pileus.services.compute.tables.servers import server_volumes, servers
from pileus.services.compute.uses.volume import (
    attachment_complete,
    attachments_end,
    attachments_read,
    volume_held,
    volume_set,
)
from pileus.store import operations as operation_rows
from pileus.store.column_in import column_in
from pileus.store.operations import (
    WAITING,
    Operation,
    operation_create,
    operation_go_on,
    operation_list_of,
)
from pileus.store.tx import Tx

CONNECT, CHECK, SETTLE = "connect", "check", "settle"
_c = server_volumes.c


class NotOpened(Conflict):
    message = "Volume {id} can't be opened on {host}: {reason}"


def begin_attach(
    tx: Tx, context: Context, server: Values, attachment_id: str, volume_id: str, parts: Parts
) -> None:
    """Have a volume that is reserved for a server put into its machine."""
    operation_create(
        tx,
        operation_id=attachment_id,
        kind=ATTACH.kind,
        resource_id=server["id"],
        step=ATTACH.first.name,
        now=context.now,
        data={"attachment_id": attachment_id, "volume_id": volume_id},
        project_id=server["project_id"],
        request_id=context.request_id,
        waits_until=waits_until(ATTACH, parts, context.now),
    )


def begin_detach(tx: Tx, context: Context, server: Values, row: Any, parts: Parts) -> None:
    """Have a volume taken out of a server's machine, and left."""
    tx.execute(update(server_volumes).where(_c.attachment_id == row.attachment_id).values(state=DETACHING))
    data = {"attachment_id": row.attachment_id, "volume_id": row.volume_id}
    begin(tx, context, DETACH, server, data, parts)


def connections_came(tx: Tx, context: Context, attachment_ids: Collection[str], parts: Parts) -> None:
    """Volumes were opened, or refused: what waits for them goes on."""
    ids = sorted(attachment_ids)
    _moved(tx, context, ids, parts)
    if operation_go_on(tx, ids, from_step=CONNECT, to_step=CHECK, now=context.now):
        tx.emit(event(context, "operation.ready", ids[0], None))


_MOVES = {chain.kind: (chain, step) for chain, step in (
    (RESIZE, RESIZE_SPAWN), (REVERT, RESIZE_SPAWN), (EVACUATE, EVACUATE_SPAWN), (UNSHELVE, UNSHELVE_SPAWN),
)}  # fmt: skip
"""The chains after which a server is on another host, and the step in which that has to report it."""


def _moved(tx: Tx, context: Context, attachment_ids: list[str], parts: Parts) -> None:
    """Volumes of servers that were put on other hosts: these may have the servers, or never will. Few at a
    time are refused."""
    chosen = column_in(tx, _c.attachment_id, attachment_ids)
    rows = tx.rows(select(server_volumes).where(chosen, _c.state == MOVING))
    if not rows:
        return
    found = attachments_read(tx, [row.attachment_id for row in rows])
    several = fetch(tx, SERVER, sorted({row.server_id for row in rows}), [servers.c.deleted_at.is_(None)])
    by_id = {server["id"]: server for server in several if server["host"] is not None}
    tx.emit_many([update_told(context, server) for server in by_id.values()])
    for row in rows:
        one = found.get(row.attachment_id)
        if one is not None and one.error and row.server_id in by_id:
            server = by_id[row.server_id]
            reason = str(NotOpened(id=row.volume_id, host=server["host"], reason=one.error))
            _turn_round(tx, context, server, reason, parts)


def _turn_round(tx: Tx, context: Context, server: Values, reason: str, parts: Parts) -> None:
    for operation in operation_list_of(tx, server["id"]):
        chain, at = _MOVES.get(operation.kind, (None, None))
        if chain is not None and operation.step == at and operation.state == WAITING:
            give_up(operation_rows, tx, context, chain, operation, reason, parts)
            tx.emit(event(context, "operation.ready", operation.id, None))
            return
    # it was taken back, and can't be had there any more
    if server["task_state"] is None:
        put_error(tx, context, [server], reason)


def volumes_grew(tx: Tx, context: Context, volume_ids: Collection[str]) -> None:
    """Volumes are larger: the hosts of servers that have them tell the guests."""
    having = select(_c.server_id).where(column_in(tx, _c.volume_id, sorted(volume_ids)))
    found = fetch(tx, SERVER, None, [servers.c.id.in_(having), servers.c.deleted_at.is_(None)])
    tx.emit_many([update_told(context, server, grown=True) for server in found])


def _connected(tx: Tx, context: Context, several: list[Operation], parts: Parts) -> Collection[str]:
    rows = attachments_read(tx, [one.data["attachment_id"] for one in several])
    return [
        one.id
        for one in several
        if (row := rows.get(one.data["attachment_id"])) is None or row.connection or row.error
    ]


def _check(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    row = attachments_read(tx, [operation.data["attachment_id"]]).get(operation.data["attachment_id"])
    server = server_of(tx, operation)
    if row is None or server is None:
        raise Conflict("The server or its volume is gone.")
    if row.connection is None:
        reason = row.error or "its host has not opened it in time."
        raise NotOpened(id=row.volume_id, host=server["host"], reason=reason)
    tx.execute(update(server_volumes).where(_c.attachment_id == row.id).values(state=ATTACHING))
    tx.emit(told(context, ATTACH, operation, server, "volume.connect", detail=row.volume_id))
    tx.emit(update_told(context, server, attached=row.volume_id))


def _attached(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    server = server_of(tx, operation)
    key = operation.data["attachment_id"]
    row = attachments_read(tx, [key]).get(key)
    if server is None:
        return
    if row is None:
        raise Conflict("The volume is gone.")
    attachment_complete(tx, context, volume_held(tx, row.volume_id), key)
    tx.execute(update(server_volumes).where(_c.attachment_id == key).values(state=ATTACHED))
    action_finish(tx, context.now, [server["id"]], actions=("attach_volume",), host=server["host"])
    tx.emit(told(context, ATTACH, operation, server, "volume.attach", detail=row.volume_id))


def _not_attached(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    """The volume is left; a machine that may have got it all the same has it taken out, since its host is not
    to have it any more."""
    key, server = operation.data["attachment_id"], server_of(tx, operation)
    attachments_end(tx, context, [key])
    tx.execute(delete(server_volumes).where(_c.attachment_id == key))
    if server is None:
        return
    action_finish(
        tx,
        context.now,
        [server["id"]],
        actions=("attach_volume",),
        host=server["host"],
        error=operation.error,
    )
    tx.emit(told(context, ATTACH, operation, server, "volume.attach", error=operation.error))
    tx.emit(update_told(context, server, detached=operation.data["volume_id"]))


def _detached(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    key, server = operation.data["attachment_id"], server_of(tx, operation)
    attachments_end(tx, context, [key])
    tx.execute(delete(server_volumes).where(_c.attachment_id == key))
    if server is not None:
        volume_id = operation.data["volume_id"]
        action_finish(tx, context.now, [server["id"]], actions=("detach_volume",), host=server["host"])
        tx.emit(told(context, DETACH, operation, server, "volume.detach", detail=volume_id))
        tx.emit(update_told(context, server, detached=volume_id))


def _not_detached(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    """The server has it still: in its machine, or in the description of its next start. It can be detached
    again."""
    key, server = operation.data["attachment_id"], server_of(tx, operation)
    where = [_c.attachment_id == key, _c.state == DETACHING]
    had = tx.execute(update(server_volumes).where(*where).values(state=ATTACHED)).rowcount
    if server is None:
        return
    if had:
        volume_set(tx, context, volume_held(tx, operation.data["volume_id"]), "in-use")
    action_finish(
        tx,
        context.now,
        [server["id"]],
        actions=("detach_volume",),
        host=server["host"],
        error=operation.error,
    )
    tx.emit(told(context, DETACH, operation, server, "volume.detach", error=operation.error))
    tx.emit(update_told(context, server, attached=operation.data["volume_id"]))


ATTACH = Chain(
    "server.attach_volume",
    (
        Step(CONNECT, wait=Wait(task_timeout_s, over=_connected)),
        Step(CHECK, _check),
        Step(NODE, wait=Wait(task_timeout_s)),
        Step(SETTLE, _attached),
    ),
    on_failed=_not_attached,
)
DETACH = Chain(
    "server.detach_volume",
    (Step(NODE, wait=Wait(task_timeout_s)), Step(SETTLE, _detached)),
    on_failed=_not_detached,
)
