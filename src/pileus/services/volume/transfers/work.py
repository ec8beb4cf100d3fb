"""Units of work of transfers: offered, accepted, taken back."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, func, select, update

from pileus.core.context import Context
from pileus.core.errors import NotFound
from pileus.core.ids import new_id
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.resource.rows import fetch
from pileus.services.volume.api import enforce
from pileus.services.volume.errors import BadRequest, InvalidVolume
from pileus.services.volume.events import volume_event
from pileus.services.volume.quotas.counting import spend
from pileus.services.volume.rules import states
from pileus.services.volume.tables.volumes import volume_attachments, volume_snapshots
from pileus.services.volume.transfers.tables import volume_transfers
from pileus.services.volume.volumes.lookup import must_be, seen_volume, target_of
from pileus.services.volume.volumes.resource import VOLUME
from pileus.store.tx import Tx
from pileus.web.request import Request

_c = volume_transfers.c


class TransferNotFound(NotFound):
    message = "Transfer {id} could not be found."


class BadKey(BadRequest):
    message = "Invalid auth key: Attempt to transfer {id} with invalid auth key."


def _hash(salt: str, key: str) -> str:
    return hmac.new(salt.encode(), key.encode(), hashlib.sha256).hexdigest()


def new_key() -> dict[str, str]:
    """A key that a receiver has to know, its salt and its hash."""
    salt, key = secrets.token_hex(16), secrets.token_hex(8)
    return {"auth_key": key, "salt": salt, "key_hash": _hash(salt, key)}


def transfer_create(
    tx: Tx, request: Request, asked: Mapping[str, Any], key: Mapping[str, str]
) -> dict[str, Any]:
    """Offer a volume, which is nobody's to use meanwhile. Raises InvalidVolume."""
    context = request.context
    volume = seen_volume(tx, request, asked["volume_id"], lock=True)
    enforce(request, target_of(volume))
    must_be(volume, "transfer", states.AVAILABLE)
    if volume["group_id"]:
        raise InvalidVolume(reason="Volumes of groups are not transferred.")
    if volume["encrypted"]:
        raise InvalidVolume(reason="Encrypted volumes are not transferred.")
    if asked.get("no_snapshots") and _snapshots(tx, volume["id"]):
        raise InvalidVolume(reason=f"Volume {volume['id']} has snapshots, which would stay behind.")
    row = {
        "id": new_id(),
        "volume_id": volume["id"],
        "name": asked.get("name"),
        "salt": key["salt"],
        "key_hash": key["key_hash"],
        "no_snapshots": bool(asked.get("no_snapshots")),
        "source_project_id": volume["project_id"],
        "created_at": context.now,
    }
    tx.insert(volume_transfers, [row])
    changed = VOLUME.change(tx, context, [Update(volume, Values({"status": states.AWAITING_TRANSFER}))])[0]
    tx.emit(event(context, "volume_transfer.create", str(row["id"]), volume["project_id"]))
    tx.emit(volume_event(context, "volume.update", changed, status=states.AWAITING_TRANSFER))
    return row


def _snapshots(tx: Tx, volume_id: str) -> tuple[int, int]:
    """How many snapshots a volume has, and their GiB together."""
    c = volume_snapshots.c
    row: Any = tx.first(
        select(func.count().label("many"), func.coalesce(func.sum(c.size_gib), 0).label("gib")).where(
            c.volume_id == volume_id
        )
    )
    return int(row.many), int(row.gib)


def transfer_read(tx: Tx, transfer_id: str) -> Any:
    """The row of a transfer, held. Raises TransferNotFound."""
    row = tx.first(select(volume_transfers).where(_c.id == transfer_id).with_for_update())
    if row is None:
        raise TransferNotFound(id=transfer_id)
    return row


def transfer_accept(tx: Tx, request: Request, key: str) -> Any:
    """Take a volume that is offered, with its snapshots. Raises BadKey, QuotaError, InvalidVolume."""
    context = request.context
    row = transfer_read(tx, request.path["id"])
    if not hmac.compare_digest(row.key_hash, _hash(row.salt, key)):
        raise BadKey(id=row.id)
    volume = fetch(tx, VOLUME, [row.volume_id], lock=True)[0]
    must_be(volume, "transfer", states.AWAITING_TRANSFER)
    project_id = context.project_id or ""
    if project_id != volume["project_id"]:
        many, gib = _snapshots(tx, volume["id"])
        wanted = {"volumes": 1, "gigabytes": volume["size"] + gib, "snapshots": many}
        spend(tx, project_id, wanted, volume["volume_type_id"])
    owner = {"project_id": project_id, "user_id": context.user_id or ""}
    changed = VOLUME.change(tx, context, [Update(volume, Values({**owner, "status": states.AVAILABLE}))])[0]
    snapshots, attachments = volume_snapshots, volume_attachments
    tx.execute(update(snapshots).where(snapshots.c.volume_id == volume["id"]).values(owner))
    # Connections that its old owner has opened (``os-initialize_connection``) are closed.
    tx.execute(delete(attachments).where(attachments.c.volume_id == volume["id"]))
    tx.execute(delete(volume_transfers).where(_c.id == row.id))
    tx.emit(event(context, "volume_transfer.accept", row.id, row.source_project_id, volume_id=volume["id"]))
    tx.emit(volume_event(context, "volume.update", changed, status=states.AVAILABLE))
    return row


def transfer_delete(tx: Tx, context: Context, originals: list[Values]) -> None:
    """Take offers back: the volumes can be used again."""
    ids = [one["id"] for one in originals]
    held = fetch(tx, VOLUME, [one["volume_id"] for one in originals], lock=True)
    back = [volume for volume in held if volume["status"] == states.AWAITING_TRANSFER]
    changed = VOLUME.change(tx, context, [Update(one, Values({"status": states.AVAILABLE})) for one in back])
    tx.execute(delete(volume_transfers).where(_c.id.in_(ids)))
    tx.emit_many(
        [event(context, "volume_transfer.delete", one["id"], one["source_project_id"]) for one in originals]
    )
    tx.emit_many([volume_event(context, "volume.update", one, status=states.AVAILABLE) for one in changed])
