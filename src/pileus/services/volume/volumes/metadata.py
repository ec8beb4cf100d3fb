"""Metadata of volumes, and of the images that they were made of.

Source: Block Storage API reference, "Volumes", "Volume actions".
"""

from __future__ import annotations

from typing import Any

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.resource.replies import TEXT_BY_KEY, named
from pileus.services.volume.api import METADATA, merged
from pileus.services.volume.metadata import metadata_routes
from pileus.services.volume.policy import ADMIN, MEMBER, READER, rules
from pileus.services.volume.volumes.lookup import find_volume, volume_change
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Action

_IMAGE = "volume_extension:volume_image_metadata:"


class ImageMetadataNotFound(NotFound):
    message = "Metadata for volume {id} could not be found."


def _image_read(tx: Tx, request: Request) -> dict[str, str]:
    return dict(find_volume(tx, request)["volume_image_metadata"] or {})


def _image_set(tx: Tx, request: Request, added: dict[str, str]) -> dict[str, str]:
    volume = find_volume(tx, request, lock=True)
    wanted = merged(volume["volume_image_metadata"] or {}, added)
    volume_change(tx, request.context, volume, volume_image_metadata=wanted)
    return wanted


def _image_unset(tx: Tx, request: Request, key: str) -> None:
    volume = find_volume(tx, request, lock=True)
    kept = dict(volume["volume_image_metadata"] or {})
    if kept.pop(key, None) is None:
        raise ImageMetadataNotFound(id=volume["id"])
    volume_change(tx, request.context, volume, volume_image_metadata=kept or None)


async def set_image_metadata(request: Request, argument: Any) -> Reply:
    """Set items of a volume's image metadata."""
    return Reply.json({"metadata": await request.write(_image_set, request, argument["metadata"])})


async def unset_image_metadata(request: Request, argument: Any) -> Reply:
    """Remove an item of a volume's image metadata."""
    await request.write(_image_unset, request, argument["key"])
    return Reply.empty(200)


async def show_image_metadata(request: Request, argument: Any) -> Reply:
    """Show a volume's image metadata."""
    return Reply.json({"metadata": await request.read(_image_read, request)})


_REPLY = named("metadata", TEXT_BY_KEY)

IMAGE_METADATA_ACTIONS = {
    "os-set_image_metadata": Action(
        types.dict_of({"metadata": METADATA}, required=("metadata",)),
        set_image_metadata,
        rule=_IMAGE + "set",
        reply=_REPLY,
        status=200,
        summary="Set image metadata",
    ),
    "os-unset_image_metadata": Action(
        types.dict_of({"key": types.string(255, minimum=1)}, required=("key",)),
        unset_image_metadata,
        rule=_IMAGE + "remove",
        reply=NO_BODY,
        status=200,
        summary="Remove an item of image metadata",
    ),
    "os-show_image_metadata": Action(
        types.anything,
        show_image_metadata,
        rule=_IMAGE + "show",
        reply=_REPLY,
        status=200,
        summary="Show image metadata",
    ),
}

VOLUME_METADATA = Noun(
    name="volume_metadata",
    rules=rules(
        {
            "volume:get_volume_metadata": READER,
            "volume:create_volume_metadata": MEMBER,
            "volume:update_volume_metadata": MEMBER,
            "volume:delete_volume_metadata": MEMBER,
            "volume:update_volume_admin_metadata": ADMIN,
            _IMAGE + "show": READER,
            _IMAGE + "set": MEMBER,
            _IMAGE + "remove": MEMBER,
        }
    ),
    extensions=(Extension("os-vol-image-meta", "VolumeImageMetadata", "Show image metadata of volumes."),),
    routes=metadata_routes(
        "/v3/volumes/{id}",
        find_volume,
        volume_change,
        "a volume",
        get="volume:get_volume_metadata",
        create="volume:create_volume_metadata",
        update="volume:update_volume_metadata",
        delete="volume:delete_volume_metadata",
    ),
)
