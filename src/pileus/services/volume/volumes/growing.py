"""Growing volumes, also while they are open. Source: Block Storage API reference, "Extend a volume size"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pileus.core.context import Context
from pileus.resource.declaration import Update, Values
from pileus.resource.rows import fetch
from pileus.services.volume.api import LARGEST, since
from pileus.services.volume.config import VolumeConfig
from pileus.services.volume.errors import BadRequest, InvalidVolume
from pileus.services.volume.events import RESIZED, volume_event
from pileus.services.volume.messages import message_create
from pileus.services.volume.operations import Ended, begin
from pileus.services.volume.pools.reading import pools_read
from pileus.services.volume.quotas.counting import check_size, limits_of, spend
from pileus.services.volume.rules import states
from pileus.services.volume.volumes.lookup import (
    find_volume,
    must_be_placed,
    must_not_be_frozen,
    target_of,
    volume_change,
)
from pileus.services.volume.volumes.resource import VOLUME
from pileus.store.tx import Tx
from pileus.web.request import Request

EXTEND = "volume.extend"


def volume_extend(tx: Tx, request: Request, new_size: int, config: VolumeConfig) -> None:
    """Have a volume grow. Raises InvalidVolume, QuotaError, BadRequest."""
    volume = find_volume(tx, request, lock=True)
    allowed = [states.AVAILABLE]
    if since(request, "3.42"):
        allowed.append(states.IN_USE)
    if volume["status"] not in allowed:
        raise InvalidVolume(
            reason=f"Volume {volume['id']} status must be '{' or '.join(allowed)}' to extend, currently "
            f"{volume['status']}."
        )
    if volume["status"] == states.IN_USE:
        request.authorise("volume:extend_attached_volume", target_of(volume))
    size = volume["size"]
    if not size < new_size <= LARGEST:
        raise BadRequest(
            f"Invalid input received: New size for extend must be greater than current size. "
            f"(current: {size}, extended: {new_size})."
        )
    must_be_placed(volume)
    must_not_be_frozen(tx, volume)
    check_size(limits_of(tx, volume["project_id"]), new_size)
    more = new_size - size
    spend(tx, volume["project_id"], {"gigabytes": more}, volume["volume_type_id"])
    tx.lock("volume_placement")
    pool = next(
        (one for one in pools_read(tx, config, request.context.now) if one.host == volume["host"]), None
    )
    if pool is None or not pool.up:
        raise InvalidVolume(reason=f"The pool of volume {volume['id']} is down.")
    if pool.room < more:
        raise BadRequest(f"Invalid input received: The pool of volume {volume['id']} has no room for it.")
    changed = volume_change(
        tx,
        request.context,
        volume,
        status=states.EXTENDING,
        previous_status=volume["status"],
        wanted_size_gib=new_size,
    )
    begin(
        *(tx, request.context, EXTEND, volume["id"], volume["project_id"], config.operation_timeout_s),
        size_gib=new_size,
    )
    tx.emit(volume_event(request.context, "volume.update", changed, status=states.EXTENDING))


def finish_extend(tx: Tx, context: Context, several: Sequence[Ended], *, config: VolumeConfig) -> None:
    """Volumes have grown, or could not; ``volume.resize`` says to whoever has one open that it is larger."""
    ended = {one.operation.resource_id: one for one in several}
    updates, failed = [], []
    for volume in fetch(tx, VOLUME, sorted(ended), lock=True):
        one = ended[volume["id"]]
        changes: dict[str, Any] = {"wanted_size_gib": None}
        if one.error is None:
            changes["size"] = one.operation.data["size_gib"]
        else:
            failed.append((volume["id"], volume["project_id"], one.error))
        if volume["status"] == states.EXTENDING:
            before = volume["previous_status"] or states.AVAILABLE
            changes |= {
                "status": before if one.error is None else states.ERROR_EXTENDING,
                "previous_status": None,
            }
        updates.append(Update(volume, Values(changes)))
    VOLUME.change(tx, context, updates)
    message_create(tx, context, config, failed, "extend volume")
    tx.emit_many(
        [
            volume_event(context, RESIZED if "size" in one.changes else "volume.update", one.original)
            for one in updates
        ]
    )
