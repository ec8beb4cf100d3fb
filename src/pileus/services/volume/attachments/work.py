"""Units of work of attachments: reserved, connected, complete, gone; and what becomes of the volume.

A volume is ``reserved`` while an attachment has no connector, ``attaching`` once it has, ``in-use`` when
one is complete. Siblings call these in transactions of their own; the API's checks are in
``requests.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, null, select, update

from pileus.core.context import Context
from pileus.core.ids import new_id
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.resource.rows import fetch
from pileus.services.volume.errors import AttachmentNotFound, InvalidVolume
from pileus.services.volume.events import volume_event
from pileus.services.volume.rules import states
from pileus.services.volume.tables.volumes import volume_attachments
from pileus.services.volume.volumes.resource import VOLUME
from pileus.store.column_in import column_in
from pileus.store.tx import Tx

CONNECTING = "connecting"
"""The status of a connection that the old actions made, which is nobody's attachment."""
_SHARED = (states.IN_USE, states.ATTACHING, states.RESERVED)
_BUSY = (states.EXTENDING, states.UPLOADING, states.BACKING_UP, states.DOWNLOADING)
"""States after which a volume is what it was before: that has to be what its attachments make of it then."""
_c = volume_attachments.c
_CONNECT = (
    update(volume_attachments)
    .where(_c.id == bindparam("which"))
    .values(
        connector=bindparam("to"),
        connection=null(),
        error=None,
        host=bindparam("on"),
        mountpoint=bindparam("at"),
        status=states.ATTACHING,
        updated_at=bindparam("now"),
    )
)


def attachment_insert(
    tx: Tx,
    context: Context,
    volume: Values,
    *,
    status: str,
    server_id: str | None = None,
    mode: str = "rw",
    **values: Any,
) -> dict[str, Any]:
    """Write a new attachment."""
    row = attachment_row(context, volume, status=status, server_id=server_id, mode=mode, **values)
    tx.insert(volume_attachments, [row])
    tx.emit(event(context, "volume_attachment.create", str(row["id"]), volume["project_id"]))
    return row


def attachment_row(
    context: Context,
    volume: Values,
    *,
    status: str,
    server_id: str | None = None,
    mode: str = "rw",
    **values: Any,
) -> dict[str, Any]:
    """The row of a new attachment, which nobody has written yet."""
    return {
        "id": new_id(),
        "volume_id": volume["id"],
        "project_id": volume["project_id"],
        "server_id": server_id,
        "host": None,
        "mountpoint": None,
        "mode": mode,
        "status": status,
        "connector": None,
        "connection": None,
        "error": None,
        "attached_at": None,
        "created_at": context.now,
        "updated_at": None,
        **values,
    }


def attachment_reserve(
    tx: Tx, context: Context, volume: Values, server_id: str | None, mode: str = "rw"
) -> dict[str, Any]:
    """Reserve a volume, held already, for a server. Raises InvalidVolume where it is not free, nor shared."""
    free = volume["status"] == states.AVAILABLE or (volume["multiattach"] and volume["status"] in _SHARED)
    if not free:
        raise InvalidVolume(
            reason=f"Volume {volume['id']} status must be available to reserve, but the current status is "
            f"{volume['status']}."
        )
    if volume["read_only"]:
        mode = "ro"
    row = attachment_insert(
        tx, context, volume, status=states.RESERVED_ATTACHMENT, server_id=server_id, mode=mode
    )
    if volume["status"] == states.AVAILABLE:
        volume_set(tx, context, volume, states.RESERVED)
    return row


def volume_set(tx: Tx, context: Context, volume: Values, status: str, **more: Any) -> None:
    """Say what state a volume is in; nothing where it is in it."""
    if volume["status"] == status and not more:
        return
    changed = VOLUME.change(tx, context, [Update(volume, Values({"status": status, **more}))])[0]
    tx.emit(volume_event(context, "volume.update", changed, status=status))


def attachment_connect(
    tx: Tx, context: Context, volume: Values, attachment_id: str, connector: Mapping[str, Any], **more: Any
) -> None:
    """Have the volume's node open it for a connector."""
    values = {
        "connector": dict(connector),
        "connection": None,
        "error": None,
        "host": connector.get("host"),
        "mountpoint": connector.get("mountpoint"),
        "updated_at": context.now,
        **more,
    }
    tx.execute(update(volume_attachments).where(_c.id == attachment_id).values(values))
    tx.emit(volume_event(context, "volume.update", volume, attachment=attachment_id))


def attachment_complete(
    tx: Tx, context: Context, volume: Values, attachment_id: str, mountpoint: str | None = None
) -> None:
    """A volume is attached: it is in use."""
    values: dict[str, Any] = {"status": states.ATTACHED, "attached_at": context.now}
    if mountpoint is not None:
        values["mountpoint"] = mountpoint
    tx.execute(
        update(volume_attachments).where(_c.id == attachment_id).values(updated_at=context.now, **values)
    )
    volume_set(tx, context, volume, states.IN_USE)


def attachments_connect(
    tx: Tx, context: Context, several: Sequence[tuple[Values, str, Mapping[str, Any]]]
) -> None:
    """Have the nodes of volumes open them: each volume, held, its attachment's id and the connector."""
    if not several:
        return
    tx.execute(
        _CONNECT,
        [
            {
                "which": key,
                "to": dict(connector),
                "on": connector.get("host"),
                "at": connector.get("mountpoint"),
                "now": context.now,
            }
            for _, key, connector in several
        ],
    )
    free = [volume for volume, _, _ in several if volume["status"] in (states.AVAILABLE, states.RESERVED)]
    VOLUME.change(tx, context, [Update(one, Values({"status": states.ATTACHING})) for one in free])
    tx.emit_many([volume_event(context, "volume.update", one, attachment=key) for one, key, _ in several])


def attachments_replace(
    tx: Tx, context: Context, wanted: Mapping[str, Mapping[str, Any] | None]
) -> dict[str, str]:
    """Put new attachments into the places of others, for these connectors (None: only reserved). By the ids
    of those that go, the ids of the new ones."""
    before = attachments_read(tx, list(wanted))
    rows = {
        key: {
            **row._mapping,
            "id": new_id(),
            "status": states.RESERVED_ATTACHMENT if wanted[key] is None else states.ATTACHING,
            "connector": wanted[key],
            "connection": None,
            "error": None,
            "host": (wanted[key] or {}).get("host"),
            "attached_at": None,
            "created_at": context.now,
            "updated_at": None,
        }
        for key, row in before.items()
    }
    tx.insert(volume_attachments, list(rows.values()))
    tx.emit_many(
        [event(context, "volume_attachment.create", one["id"], one["project_id"]) for one in rows.values()]
    )
    attachments_end(tx, context, list(rows))
    return {key: one["id"] for key, one in rows.items()}


def attachments_complete(tx: Tx, context: Context, attachment_ids: Sequence[str]) -> None:
    """Volumes are attached: they are in use."""
    chosen = column_in(tx, _c.id, list(attachment_ids))
    tx.execute(
        update(volume_attachments)
        .where(chosen)
        .values(status=states.ATTACHED, attached_at=context.now, updated_at=context.now)
    )
    ids = sorted({row.volume_id for row in tx.rows(select(_c.volume_id).where(chosen))})
    held = fetch(tx, VOLUME, ids, lock=True) if ids else []
    changes = Values({"status": states.IN_USE})
    changed = VOLUME.change(tx, context, [Update(volume, changes) for volume in held])
    tx.emit_many([volume_event(context, "volume.update", one, status=states.IN_USE) for one in changed])


def attachment_remove(tx: Tx, context: Context, volume: Values, attachment_ids: Sequence[str]) -> None:
    """Attachments end: the volume's node closes it, and it is what its other attachments make of it."""
    tx.execute(delete(volume_attachments).where(_c.id.in_(list(attachment_ids))))
    status = status_by_attachments(tx, volume["id"])
    tx.emit_many(
        [event(context, "volume_attachment.delete", one, volume["project_id"]) for one in attachment_ids]
    )
    changed = volume
    if volume["status"] in (*_SHARED, states.DETACHING, states.ERROR, *_BUSY):
        changed = VOLUME.change(tx, context, [Update(volume, Values({_where(volume): status}))])[0]
    tx.emit(volume_event(context, "volume.update", changed, status=status))


def status_by_attachments(tx: Tx, volume_id: str) -> str:
    """The state that a volume's attachments make of it; ``available`` where it has none."""
    return _status({row.status for row in tx.rows(select(_c.status).where(_c.volume_id == volume_id))})


def attachment_read(tx: Tx, attachment_id: str, *, lock: bool = False) -> Any:
    """The row of an attachment. Raises AttachmentNotFound."""
    statement = select(volume_attachments).where(_c.id == attachment_id)
    row = tx.first(statement.with_for_update() if lock else statement)
    if row is None:
        raise AttachmentNotFound(id=attachment_id)
    return row


def volume_held(tx: Tx, volume_id: str) -> Values:
    """A volume, held until the transaction ends. Raises VolumeNotFound."""
    found = fetch(tx, VOLUME, [volume_id], lock=True)
    if not found:
        raise VOLUME.not_found(volume_id)
    return found[0]


def attachments_of_volume(tx: Tx, volume_id: str) -> list[Any]:
    """The rows of a volume's attachments, oldest first."""
    statement = select(volume_attachments).where(_c.volume_id == volume_id)
    return list(tx.rows(statement.order_by(_c.created_at, _c.id)))


def attachments_drop(tx: Tx, context: Context, volume: Values, attachment_ids: Sequence[str]) -> None:
    """Connections end that are nobody's attachments: the volume stays in its state."""
    tx.execute(delete(volume_attachments).where(_c.id.in_(list(attachment_ids))))
    tx.emit(volume_event(context, "volume.update", volume))


def attachments_end(tx: Tx, context: Context, attachment_ids: Sequence[str]) -> list[Values]:
    """End attachments of several volumes; the volumes, which are what their other attachments make of
    them."""
    rows = tx.rows(select(_c.id, _c.volume_id).where(column_in(tx, _c.id, list(attachment_ids))))
    ids = sorted({row.volume_id for row in rows})
    if not ids:
        return []
    held = fetch(tx, VOLUME, ids, lock=True)
    tx.execute(delete(volume_attachments).where(column_in(tx, _c.id, [row.id for row in rows])))
    left: dict[str, set[str]] = {}
    for row in tx.rows(select(_c.volume_id, _c.status).where(column_in(tx, _c.volume_id, ids))):
        left.setdefault(row.volume_id, set()).add(row.status)
    updates = [
        Update(volume, Values({_where(volume): _status(left.get(volume["id"], set()))}))
        for volume in held
        if volume["status"] in (*_SHARED, states.DETACHING, *_BUSY)
    ]
    VOLUME.change(tx, context, updates)
    tx.emit_many([volume_event(context, "volume.update", volume) for volume in held])
    return held


def _where(volume: Values) -> str:
    """Where the state is noted that attachments make of a volume."""
    return "previous_status" if volume["status"] in _BUSY else "status"


def _status(left: set[str]) -> str:
    """The state that attachments make of their volume."""
    for attached, status in (
        (states.ATTACHED, states.IN_USE),
        (states.ATTACHING, states.ATTACHING),
        (states.RESERVED_ATTACHMENT, states.RESERVED),
    ):
        if attached in left:
            return status
    return states.AVAILABLE


def attachments_read(tx: Tx, attachment_ids: Sequence[str]) -> dict[str, Any]:
    """The rows of attachments by their ids."""
    if not attachment_ids:
        return {}
    found = tx.rows(select(volume_attachments).where(column_in(tx, _c.id, list(attachment_ids))))
    return {row.id: row for row in found}
