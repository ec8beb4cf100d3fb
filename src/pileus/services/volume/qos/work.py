"""Units of work of QoS specs: made, changed, given to volume types, deleted; the limits of volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select, update

from pileus.core.context import Context
from pileus.core.errors import Conflict, NotFound
from pileus.core.ids import new_id
from pileus.resource.access import Access
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.resource.rows import fetch
from pileus.services.volume.api import merged
from pileus.services.volume.errors import BadRequest
from pileus.services.volume.qos.resource import QOS_SPECS
from pileus.services.volume.rules.limits import BACK_END, CONSUMERS, front_end, limits_of, objection
from pileus.services.volume.tables.types import volume_qos_specs, volume_types
from pileus.services.volume.tables.volumes import volumes
from pileus.services.volume.types.work import type_find
from pileus.store.column_in import column_in
from pileus.store.errors import Duplicate
from pileus.store.tx import Tx

_t = volume_types.c


class QosSpecsExists(Conflict):
    message = "QoS Specs {name} already exists."


class QosSpecsInUse(BadRequest):
    message = "QoS Specs {id} is still associated with entities."


class QosKeyNotFound(NotFound):
    message = "QoS spec {id} has no spec with key {key}."


class TypeHasOther(BadRequest):
    message = "Invalid volume type: Type {type_id} is already associated with another qos specs: {id}"


def qos_find(tx: Tx, qos_id: str, *, lock: bool = False) -> Values:
    """One of them. Raises QosSpecsNotFound."""
    found = fetch(tx, QOS_SPECS, [qos_id], lock=lock)
    if not found:
        raise QOS_SPECS.not_found(qos_id)
    return found[0]


def _check(consumer: str, specs: Mapping[str, str]) -> None:
    why = objection(consumer, specs)
    if why is not None:
        raise BadRequest(f"Invalid qos specs: {why}.")


def qos_create(tx: Tx, context: Context, asked: Mapping[str, Any]) -> Values:
    """Write new ones. Raises QosSpecsExists, BadRequest."""
    specs = {key: text for key, text in asked.items() if key not in ("name", "consumer")}
    row = {
        "id": new_id(),
        "name": asked["name"],
        "consumer": asked.get("consumer") or BACK_END,
        "specs": merged({}, specs),
        "created_at": context.now,
    }
    _check(row["consumer"], specs)
    try:
        with tx.savepoint():
            tx.insert(volume_qos_specs, [row])
    except Duplicate:
        raise QosSpecsExists(name=asked["name"]) from None
    tx.emit(event(context, "qos_specs.create", row["id"], None, name=row["name"]))
    return Values(row)


def qos_update(tx: Tx, context: Context, qos_id: str, asked: Mapping[str, str | None]) -> None:
    """Set some keys, or say who keeps the limits. None takes a key away."""
    found = qos_find(tx, qos_id, lock=True)
    consumer = asked.get("consumer") or found["consumer"]
    if consumer not in CONSUMERS:
        raise BadRequest(f"Invalid qos specs: Valid consumer of QoS specs are: {', '.join(CONSUMERS)}")
    given = {key: text for key, text in asked.items() if key != "consumer" and text is not None}
    specs = merged(
        {key: text for key, text in found["specs"].items() if asked.get(key, "") is not None}, given
    )
    _check(consumer, specs)
    QOS_SPECS.change(tx, context, [Update(found, Values({"consumer": consumer, "specs": specs}))])
    tx.emit(event(context, "qos_specs.update", qos_id, None))


def qos_unset(tx: Tx, context: Context, qos_id: str, keys: Sequence[str]) -> None:
    """Take keys away. Raises QosKeyNotFound."""
    found = qos_find(tx, qos_id, lock=True)
    for key in keys:
        if key not in found["specs"]:
            raise QosKeyNotFound(id=qos_id, key=key)
    left = {key: text for key, text in found["specs"].items() if key not in keys}
    QOS_SPECS.change(tx, context, [Update(found, Values({"specs": left}))])
    tx.emit(event(context, "qos_specs.update", qos_id, None))


def qos_delete(tx: Tx, context: Context, qos_id: str, *, force: bool) -> None:
    """Delete them; ``force``: also where volume types have them. Raises QosSpecsInUse."""
    found = qos_find(tx, qos_id, lock=True)
    if associations(tx, qos_id):
        if not force:
            raise QosSpecsInUse(id=qos_id)
        disassociate(tx, context, qos_id)
    QOS_SPECS.remove(tx, [found])
    tx.emit(event(context, "qos_specs.delete", qos_id, None))


# -- volume types


def associations(tx: Tx, qos_id: str) -> list[dict[str, str]]:
    """The volume types that have them."""
    qos_find(tx, qos_id)
    rows = tx.rows(select(_t.id, _t.name).where(_t.qos_specs_id == qos_id).order_by(_t.name))
    return [{"association_type": "volume_type", "name": row.name, "id": row.id} for row in rows]


def associate(tx: Tx, access: Access, qos_id: str, type_id: str) -> None:
    """Give them to a volume type. Raises TypeHasOther."""
    qos_find(tx, qos_id, lock=True)
    kind = type_find(tx, access, type_id, lock=True)
    if kind["qos_specs_id"] not in (None, qos_id):
        raise TypeHasOther(type_id=type_id, id=kind["qos_specs_id"])
    tx.execute(update(volume_types).where(_t.id == type_id).values(qos_specs_id=qos_id))
    tx.emit(event(access.context, "volume_type.update", type_id, None, qos_specs_id=qos_id))


def disassociate(tx: Tx, context: Context, qos_id: str) -> None:
    """Take them from all volume types."""
    qos_find(tx, qos_id, lock=True)
    tx.execute(update(volume_types).where(_t.qos_specs_id == qos_id).values(qos_specs_id=None))
    tx.emit(event(context, "qos_specs.update", qos_id, None))


def disassociate_type(tx: Tx, access: Access, qos_id: str, type_id: str) -> None:
    """Take them from one volume type."""
    qos_find(tx, qos_id)
    type_find(tx, access, type_id, lock=True)
    where = [_t.id == type_id, _t.qos_specs_id == qos_id]
    tx.execute(update(volume_types).where(*where).values(qos_specs_id=None))
    tx.emit(event(access.context, "volume_type.update", type_id, None, qos_specs_id=None))


# -- volumes


def _of_volumes(tx: Tx, volume_ids: Sequence[str]) -> list[Any]:
    v, q = volumes.c, volume_qos_specs.c
    joined = volumes.join(volume_types, _t.id == v.volume_type_id).join(
        volume_qos_specs, q.id == _t.qos_specs_id
    )
    statement = select(v.id, v.size_gib, q.consumer, q.specs).select_from(joined)
    return list(tx.rows(statement.where(column_in(tx, v.id, list(volume_ids))))) if volume_ids else []


def volume_limits(tx: Tx, volume_ids: Sequence[str]) -> dict[str, dict[str, int]]:
    """The limits that hypervisors keep, by the volumes that have some: numbers by libvirt's names."""
    rows = _of_volumes(tx, volume_ids)
    found = {row.id: limits_of(row.consumer, row.specs, row.size_gib) for row in rows}
    return {key: limits for key, limits in found.items() if limits}


def volume_qos(tx: Tx, volume_ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """The specs that whoever opens a volume is told, by the volumes that have some."""
    rows = _of_volumes(tx, volume_ids)
    found = {row.id: front_end(row.consumer, row.specs, row.size_gib) for row in rows}
    return {key: specs for key, specs in found.items() if specs}
