"""Writing volumes anew from images, since 3.68. Source: Block Storage API reference, "Reimage a volume"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pileus.core.context import Context
from pileus.resource import types
from pileus.resource.declaration import Update, Values
from pileus.resource.rows import fetch
from pileus.services.volume.config import VolumeConfig
from pileus.services.volume.errors import InvalidVolume
from pileus.services.volume.events import volume_event
from pileus.services.volume.messages import message_create
from pileus.services.volume.operations import Ended, begin
from pileus.services.volume.policy import MEMBER, rules
from pileus.services.volume.rules import states
from pileus.services.volume.volumes.creation import source_image
from pileus.services.volume.volumes.lookup import (
    find_volume,
    must_be,
    must_be_placed,
    must_not_be_frozen,
    target_of,
    volume_change,
)
from pileus.services.volume.volumes.resource import VOLUME
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Action

REIMAGE = "volume.reimage"


def _begin(tx: Tx, request: Request, asked: Mapping[str, Any], config: VolumeConfig) -> None:
    """Have an image's content put in the place of a volume's. One that is reserved for a server keeps its
    reservation."""
    volume = find_volume(tx, request, lock=True)
    allowed = [states.AVAILABLE, states.ERROR]
    if asked.get("reimage_reserved"):
        request.authorise("volume:reimage_reserved", target_of(volume))
        allowed.append(states.RESERVED)
    must_be(volume, "reimage", *allowed)
    must_be_placed(volume)
    must_not_be_frozen(tx, volume)
    if volume["encrypted"]:
        raise InvalidVolume(reason="Encrypted volumes are not written anew.")
    source = source_image(tx, request, asked["image_id"], volume["size"])
    before = states.RESERVED if volume["status"] == states.RESERVED else states.AVAILABLE
    changes = {"status": states.DOWNLOADING, "previous_status": before}
    changed = volume_change(tx, request.context, volume, **changes)
    begin(
        *(tx, request.context, REIMAGE, volume["id"], volume["project_id"], config.copy_timeout_s),
        **source.data,
        image_metadata=dict(source.image_metadata or {}),
    )
    tx.emit(volume_event(request.context, "volume.update", changed, status=states.DOWNLOADING))


def finish_reimage(tx: Tx, context: Context, several: Sequence[Ended], *, config: VolumeConfig) -> None:
    """Volumes have an image's content, or have lost their own."""
    ended = {one.operation.resource_id: one for one in several}
    updates, failed = [], []
    for volume in fetch(tx, VOLUME, sorted(ended), lock=True):
        one = ended[volume["id"]]
        changes: dict[str, Any] = {}
        if one.error is None:
            changes |= {
                "made": True,
                "bootable": True,
                "volume_image_metadata": one.operation.data["image_metadata"],
            }
        else:
            failed.append((volume["id"], volume["project_id"], one.error))
        if volume["status"] == states.DOWNLOADING:
            back = volume["previous_status"] or states.AVAILABLE
            changes |= {"status": back if one.error is None else states.ERROR, "previous_status": None}
        updates.append(Update(volume, Values(changes)))
    VOLUME.change(tx, context, updates)
    message_create(tx, context, config, failed, "reimage volume")
    tx.emit_many(
        [
            volume_event(context, "volume.update", one.original, status=one.changes.get("status"))
            for one in updates
        ]
    )


def reimage_actions(config: VolumeConfig) -> dict[str, Action]:
    """The action."""

    async def reimage(request: Request, argument: Any) -> Reply:
        """Have a volume written anew from an image."""
        await request.write(_begin, request, argument, config)
        return Reply.empty(202)

    body = types.dict_of({"image_id": types.uuid, "reimage_reserved": types.boolean}, required=("image_id",))
    return {
        "os-reimage": Action(
            body,
            reimage,
            rule="volume:reimage",
            versions=("3.68", ""),
            reply=NO_BODY,
            summary="Have a volume written anew from an image",
        )
    }


REIMAGES = Noun(
    name="volume_reimage", rules=rules({"volume:reimage": MEMBER, "volume:reimage_reserved": MEMBER})
)
