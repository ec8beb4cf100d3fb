"""The ends of groups, and of their snapshots: when those of their volumes and snapshots have ended that
were waited for."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import ColumnElement, Select, delete, select, update

from pileus.core.context import Context
from pileus.resource.event import event
from pileus.services.volume.rules import states
from pileus.services.volume.tables.groups import volume_group_snapshots, volume_groups
from pileus.services.volume.tables.volumes import volume_snapshots, volumes
from pileus.store.column_in import column_in
from pileus.store.tx import Tx

_MAKING = (states.CREATING, states.DOWNLOADING)
_g, _s = volume_groups.c, volume_group_snapshots.c


def groups_settle(tx: Tx, context: Context, group_ids: Collection[str | None]) -> None:
    """A group that is being made is there once its volumes are, and one that is being deleted is gone with
    the last of them."""
    ids = sorted({one for one in group_ids if one})
    if not ids:
        return
    waits = (states.CREATING, states.DELETING)
    held = select(volume_groups).where(column_in(tx, _g.id, ids), _g.status.in_(waits))
    left = _left(tx, select(volumes.c.group_id, volumes.c.status), volumes.c.group_id, ids)
    for row in tx.rows(held.with_for_update()):
        has = left.get(row.id, set())
        if row.status == states.DELETING and not has:
            tx.execute(delete(volume_groups).where(_g.id == row.id))
            tx.emit(event(context, "group.delete", row.id, row.project_id))
            continue
        status = _settled(row.status, has)
        if status != row.status:
            values = {"status": status, "updated_at": context.now}
            tx.execute(update(volume_groups).where(_g.id == row.id).values(values))
            tx.emit(event(context, "group.update", row.id, row.project_id))


def _settled(status: str, has: Collection[str]) -> str:
    if status == states.DELETING:
        return status if states.DELETING in has else states.ERROR_DELETING
    if any(one in _MAKING for one in has):
        return status
    return states.ERROR if states.ERROR in has else states.AVAILABLE


def group_snapshots_settle(tx: Tx, context: Context, ids: Collection[str | None]) -> None:
    """A group snapshot that is being deleted is gone with the last of its snapshots."""
    wanted = sorted({one for one in ids if one})
    if not wanted:
        return
    c = volume_snapshots.c
    left = _left(tx, select(c.group_snapshot_id, c.status), c.group_snapshot_id, wanted)
    held = select(volume_group_snapshots).where(column_in(tx, _s.id, wanted), _s.status == states.DELETING)
    for row in tx.rows(held.with_for_update()):
        has = left.get(row.id, set())
        if not has:
            tx.execute(delete(volume_group_snapshots).where(_s.id == row.id))
            tx.emit(event(context, "group_snapshot.delete", row.id, row.project_id))
        elif states.DELETING not in has:
            values = {"status": states.ERROR_DELETING, "updated_at": context.now}
            tx.execute(update(volume_group_snapshots).where(_s.id == row.id).values(values))
            tx.emit(event(context, "group_snapshot.update", row.id, row.project_id))


def _left(
    tx: Tx, statement: Select[tuple[str, str]], column: ColumnElement[str], ids: list[str]
) -> Mapping[str, set[str]]:
    """The statuses of what things still have, by the things."""
    found: dict[str, set[str]] = {}
    for key, status in map(tuple, tx.rows(statement.where(column_in(tx, column, ids)))):
        found.setdefault(key, set()).add(status)
    return found
