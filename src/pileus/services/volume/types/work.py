"""Units of work of volume types, their access, extra specs and encryption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, or_, select, true, update

from pileus.core.context import Context
from pileus.core.errors import Conflict, NotFound
from pileus.core.ids import new_id
from pileus.resource.access import Access
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.resource.quota import quota_limits
from pileus.resource.rows import fetch
from pileus.services.volume.config import VolumeConfig
from pileus.services.volume.errors import BadRequest
from pileus.services.volume.policy import is_admin
from pileus.services.volume.quotas.counting import CLASS_SERVICE, OF_A_TYPE, SERVICE, of_type
from pileus.services.volume.tables.types import (
    volume_default_types,
    volume_type_encryption,
    volume_type_projects,
    volume_types,
)
from pileus.services.volume.tables.volumes import volumes
from pileus.services.volume.types.resource import VOLUME_TYPE
from pileus.store.errors import Duplicate
from pileus.store.tx import Tx


class VolumeTypeExists(Conflict):
    message = "Volume Type {name} already exists."


class VolumeTypeInUse(BadRequest):
    message = "Target volume type is still in use."


class DefaultTypeDeleted(BadRequest):
    message = "The volume type {id} is a default volume type and cannot be deleted."


class NamedTypeNotFound(NotFound):
    message = "Volume type with name {name} could not be found."


class AccessExists(Conflict):
    message = "Volume type access for {id} / {project_id} combination already exists."


class AccessNotFound(NotFound):
    message = "Volume type access not found for {id} / {project_id} combination."


class ExtraSpecNotFound(NotFound):
    message = "Volume Type {id} has no extra specs with key {key}."


class EncryptionExists(BadRequest):
    message = "Volume type encryption for type {id} already exists."


class EncryptionNotFound(NotFound):
    message = "Volume type encryption for type {id} does not exist."


def mine(context: Context) -> ColumnElement[bool]:
    """The types that are public, or that the caller's project was given."""
    given = select(volume_type_projects.c.volume_type_id).where(
        volume_type_projects.c.project_id == (context.project_id or "")
    )
    return or_(volume_types.c.is_public, volume_types.c.id.in_(given))


def visible(access: Access) -> ColumnElement[bool]:
    """The types that the caller may see: all for an administrator."""
    return true() if is_admin(access) else mine(access.context)


def type_find(tx: Tx, access: Access, type_id: str, *, lock: bool = False) -> Values:
    """One type that the caller may see; VolumeTypeNotFound otherwise."""
    found = fetch(tx, VOLUME_TYPE, [type_id], [visible(access)], lock=lock)
    if not found:
        raise VOLUME_TYPE.not_found(type_id)
    return found[0]


def type_named(tx: Tx, access: Access, name: str) -> Values:
    """A type by its id or its name, if the caller may see it; NotFound otherwise."""
    c = volume_types.c
    found = fetch(tx, VOLUME_TYPE, None, [or_(c.id == name, c.name == name), visible(access)])
    if not found:
        raise NamedTypeNotFound(name=name)
    return min(found, key=lambda one: one["id"] != name)


def default_type(tx: Tx, context: Context, config: VolumeConfig) -> Values:
    """The type of a project's volumes that name none: the project's own default, else the cloud's."""
    c = volume_default_types.c
    own = tx.scalar(select(c.volume_type_id).where(c.project_id == (context.project_id or "")))
    where = volume_types.c.id == own if own else volume_types.c.name == config.default_type
    found = fetch(tx, VOLUME_TYPE, None, [where])
    if not found:
        raise NamedTypeNotFound(name=config.default_type)
    return found[0]


def types_seed(tx: Tx, context: Context, config: VolumeConfig) -> None:
    """Make the type of volumes that name none, where it is missing."""
    if tx.first(select(volume_types.c.id).where(volume_types.c.name == config.default_type)) is None:
        row = {
            "id": new_id(),
            "name": config.default_type,
            "description": "Default Volume Type",
            "is_public": True,
            "extra_specs": {},
            "qos_specs_id": None,
            "created_at": context.now,
            "updated_at": None,
        }
        try:
            with tx.savepoint():
                tx.insert(volume_types, [row])
        except Duplicate:
            return  # another server has made it at the same time


def type_create(tx: Tx, context: Context, specs: list[Values]) -> list[Values]:
    """Write new types; a private one is nobody's until projects are given it."""
    for spec in specs:
        spec |= {"qos_specs_id": None, "updated_at": None}
        spec.setdefault("description", None)
    try:
        with tx.savepoint():
            VOLUME_TYPE.insert(tx, context, specs)
    except Duplicate:
        raise VolumeTypeExists(name=specs[0]["name"]) from None
    tx.emit_many([event(context, "volume_type.create", one["id"], None, name=one["name"]) for one in specs])
    return specs


def type_update(tx: Tx, context: Context, updates: list[Update]) -> list[Values]:
    """Change a type; the limits of a type whose name is another go with it."""
    for one in updates:
        if not one.changes:
            raise BadRequest("Specify volume type name, description, is_public or a combination thereof.")
    try:
        with tx.savepoint():
            changed = VOLUME_TYPE.change(tx, context, updates)
    except Duplicate:
        raise VolumeTypeExists(name=updates[0].changes["name"]) from None
    for one, after in zip(updates, changed, strict=True):
        if after["name"] != one.original["name"]:
            _rename_limits(tx, one.original["name"], after["name"])
    tx.emit_many([event(context, "volume_type.update", one["id"], None) for one in changed])
    return changed


def _rename_limits(tx: Tx, old: str, new: str) -> None:
    c = quota_limits.c
    for kind in OF_A_TYPE:
        tx.execute(
            update(quota_limits)
            .where(c.service.in_((SERVICE, CLASS_SERVICE)), c.resource == of_type(kind, old))
            .values(resource=of_type(kind, new))
        )


def type_delete(tx: Tx, context: Context, originals: list[Values], *, config: VolumeConfig) -> None:
    """Delete types that no volume is of. Raises VolumeTypeInUse, DefaultTypeDeleted."""
    ids = [one["id"] for one in originals]
    for one in originals:
        if one["name"] == config.default_type:
            raise DefaultTypeDeleted(id=one["id"])
    if tx.first(select(volumes.c.id).where(volumes.c.volume_type_id.in_(ids)).limit(1)) is not None:
        raise VolumeTypeInUse
    own = select(volume_default_types.c.project_id).where(volume_default_types.c.volume_type_id.in_(ids))
    if tx.first(own.limit(1)) is not None:
        raise DefaultTypeDeleted(id=ids[0])
    for table in (volume_type_projects, volume_type_encryption):
        tx.execute(delete(table).where(table.c.volume_type_id.in_(ids)))
    VOLUME_TYPE.remove(tx, originals)
    tx.emit_many([event(context, "volume_type.delete", one["id"], None) for one in originals])


# -- access


def access_list(tx: Tx, access: Access, type_id: str) -> list[dict[str, str]]:
    """The projects that have a private type; NotFound for a public one, as Cinder has it."""
    if type_find(tx, access, type_id)["is_public"]:
        raise NotFound("Access list not available for public volume types.")
    c = volume_type_projects.c
    rows = tx.rows(select(c.project_id).where(c.volume_type_id == type_id).order_by(c.project_id))
    return [{"volume_type_id": type_id, "project_id": row.project_id} for row in rows]


def access_add(tx: Tx, access: Access, type_id: str, project_id: str) -> None:
    """Give a private type to a project."""
    if type_find(tx, access, type_id, lock=True)["is_public"]:
        raise Conflict("Type access modification is not applicable to public volume type.")
    try:
        with tx.savepoint():
            tx.insert(volume_type_projects, [{"volume_type_id": type_id, "project_id": project_id}])
    except Duplicate:
        raise AccessExists(id=type_id, project_id=project_id) from None
    tx.emit(event(access.context, "volume_type.access", type_id, None, added=project_id))


def access_remove(tx: Tx, access: Access, type_id: str, project_id: str) -> None:
    """Take a private type from a project."""
    if type_find(tx, access, type_id, lock=True)["is_public"]:
        raise Conflict("Type access modification is not applicable to public volume type.")
    c = volume_type_projects.c
    gone = tx.execute(
        delete(volume_type_projects).where(c.volume_type_id == type_id, c.project_id == project_id)
    )
    if not gone.rowcount:
        raise AccessNotFound(id=type_id, project_id=project_id)
    tx.emit(event(access.context, "volume_type.access", type_id, None, removed=project_id))


# -- extra specs


def specs_read(tx: Tx, access: Access, type_id: str) -> dict[str, str]:
    """A type's extra specs."""
    return dict(type_find(tx, access, type_id)["extra_specs"])


def specs_change(
    tx: Tx, access: Access, type_id: str, added: Mapping[str, str], removed: Sequence[str] = ()
) -> dict[str, str]:
    """Set some extra specs and take others away; ExtraSpecNotFound for one that is not there."""
    found = type_find(tx, access, type_id, lock=True)
    specs = dict(found["extra_specs"])
    for key in removed:
        if key not in specs:
            raise ExtraSpecNotFound(id=type_id, key=key)
        del specs[key]
    specs |= added
    VOLUME_TYPE.change(tx, access.context, [Update(found, Values({"extra_specs": specs}))])
    tx.emit(event(access.context, "volume_type.update", type_id, None, extra_specs=sorted(added)))
    return specs


# -- encryption


def encryption_read(tx: Tx, access: Access, type_id: str) -> Any:
    """The row of a type's encryption; None where there is none."""
    type_find(tx, access, type_id)
    table = volume_type_encryption
    return tx.first(select(table).where(table.c.volume_type_id == type_id))


def _unused(tx: Tx, type_id: str) -> None:
    if tx.first(select(volumes.c.id).where(volumes.c.volume_type_id == type_id).limit(1)) is not None:
        raise BadRequest("Cannot change encryption of a volume type that is in use.")


def encryption_create(tx: Tx, access: Access, type_id: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Have the volumes of a type encrypted. Raises EncryptionExists, or BadRequest where it has volumes."""
    type_find(tx, access, type_id, lock=True)
    _unused(tx, type_id)
    row = {
        "volume_type_id": type_id,
        "id": new_id(),
        "cipher": None,
        "key_size": None,
        "control_location": "front-end",
        **values,
        "created_at": access.context.now,
        "updated_at": None,
    }
    try:
        with tx.savepoint():
            tx.insert(volume_type_encryption, [row])
    except Duplicate:
        raise EncryptionExists(id=type_id) from None
    tx.emit(event(access.context, "volume_type.update", type_id, None, encryption=True))
    return row


def encryption_update(tx: Tx, access: Access, type_id: str, key: str, values: Mapping[str, Any]) -> None:
    """Change how the volumes of a type will be encrypted."""
    type_find(tx, access, type_id, lock=True)
    _unused(tx, type_id)
    table = volume_type_encryption
    where = [table.c.volume_type_id == type_id, table.c.id == key]
    changes = {**values, "updated_at": access.context.now}
    if not tx.execute(update(table).where(*where).values(changes)).rowcount:
        raise EncryptionNotFound(id=type_id)
    tx.emit(event(access.context, "volume_type.update", type_id, None, encryption=True))


def encryption_delete(tx: Tx, access: Access, type_id: str, key: str) -> None:
    """Have new volumes of a type not encrypted any more."""
    type_find(tx, access, type_id, lock=True)
    _unused(tx, type_id)
    table = volume_type_encryption
    if not tx.execute(delete(table).where(table.c.volume_type_id == type_id, table.c.id == key)).rowcount:
        raise EncryptionNotFound(id=type_id)
    tx.emit(event(access.context, "volume_type.update", type_id, None, encryption=False))
