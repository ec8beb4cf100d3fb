"""Records of backups, by which another cloud that has the place finds them again.

A record names where the bytes lie, so only administrators export and import them. It is JSON in base64, as
Cinder's are.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from sqlalchemy import select

from pileus.core.names import is_path_part, is_uuid
from pileus.core.times import parse_time
from pileus.resource.declaration import Values
from pileus.resource.event import event
from pileus.resource.rows import fetch
from pileus.services.volume.api import METADATA
from pileus.services.volume.backups.resource import BACKUP
from pileus.services.volume.backups.work import VERIFY, find_backup, node_of
from pileus.services.volume.config import VolumeConfig
from pileus.services.volume.errors import InvalidBackup, ServiceNotFound
from pileus.services.volume.events import told_to
from pileus.services.volume.operations import begin
from pileus.services.volume.pools.reading import BACKUP_BINARY
from pileus.services.volume.quotas.counting import spend
from pileus.services.volume.rules import states
from pileus.services.volume.tables.backups import volume_backups
from pileus.store.tx import Tx
from pileus.web.request import Request

SERVICE = "cinder.backup.drivers.pileus"
LONGEST = 1 << 16

_Line = Annotated[str, Meta(max_length=255, pattern=r"\A[^\x00-\x1f\x7f]*\Z")]
_Size = Annotated[int, Meta(ge=1, le=2**31 - 1)]


class _Facts(msgspec.Struct, frozen=True):
    bootable: bool = False
    metadata: dict[_Line, _Line] = {}
    image_metadata: dict[_Line, _Line] | None = None


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    stored_as: str
    place: Annotated[str, Meta(max_length=300)]
    location: Annotated[str, Meta(max_length=300)]
    container: _Line
    volume_id: str
    size: _Size
    object_count: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    name: _Line | None = None
    description: _Line | None = None
    metadata: dict[_Line, _Line] = {}
    volume_facts: _Facts = _Facts()
    data_timestamp: str


_NAMES = tuple(field.name for field in msgspec.structs.fields(_Record))


def backup_export(tx: Tx, request: Request) -> dict[str, str]:
    """The record of a backup. Raises InvalidBackup where it is not available."""
    backup = find_backup(tx, request)
    if backup["status"] != states.AVAILABLE:
        raise InvalidBackup(reason=f"Backup status must be available and not {backup['status']}.")
    said = {name: backup[name] for name in _NAMES}
    text = msgspec.json.encode({**said, "data_timestamp": said["data_timestamp"].isoformat()})
    return {"backup_service": SERVICE, "backup_url": base64.b64encode(text).decode()}


def _bad(why: str) -> InvalidBackup:
    return InvalidBackup(reason=f"The record can't be imported: {why}")


def _read(asked: dict[str, Any]) -> _Record:
    if asked["backup_service"] != SERVICE:
        raise _bad(f"its service is not {SERVICE}.")
    try:
        text = base64.b64decode(asked["backup_url"], validate=True)
        record = msgspec.json.decode(text, type=_Record)
        METADATA.parse(record.metadata)
        parse_time(record.data_timestamp)
    except (binascii.Error, msgspec.DecodeError, RecursionError, ValueError) as error:
        raise _bad(f"{error}.") from None
    if not all(map(is_uuid, (record.id, record.stored_as, record.volume_id))):
        raise _bad("its ids are none.")
    if not all(map(is_path_part, record.location.split("/"))):
        raise _bad("its location is none.")
    return record


def backup_import(tx: Tx, request: Request, asked: dict[str, Any], config: VolumeConfig) -> Values:
    """Make a backup known whose record it is; its node reads all of it before it is available."""
    context = request.context
    record = _read(asked)
    node = node_of(tx, context, record.place, config)
    if node is None:
        raise ServiceNotFound(host=BACKUP_BINARY)
    if tx.first(select(volume_backups.c.id).where(volume_backups.c.id == record.id)) is not None:
        raise _bad("Backup already exists in database.")
    project_id = context.project_id or ""
    spend(tx, project_id, {"backups": 1, "backup_gigabytes": record.size})
    said = {
        name: getattr(record, name)
        for name in _NAMES
        if name not in ("size", "volume_facts", "data_timestamp")
    }
    row = {
        **said,
        "size_gib": record.size,
        "data_timestamp": parse_time(record.data_timestamp),
        "volume_facts": msgspec.to_builtins(record.volume_facts),
        "project_id": project_id,
        "user_id": context.user_id or "",
        "status": states.CREATING,
        "fail_reason": None,
        "availability_zone": None,
        "snapshot_id": None,
        "parent_id": None,
        "restoring_to": None,
        "node": node,
        "created_at": context.now,
        "updated_at": None,
    }
    tx.insert(volume_backups, [row])
    begin(
        *(tx, context, VERIFY, record.id, project_id, config.copy_timeout_s),
        backup_id=record.id,
        stored_as=record.stored_as,
        location=record.location,
        size_gib=record.size,
    )
    tx.emit(event(context, "backup.create", record.id, project_id, told_to([node]), name=record.name))
    return fetch(tx, BACKUP, [record.id])[0]
