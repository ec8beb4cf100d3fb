"""Images of volumes: a pool's node copies one and brings it to the image service.

Source: Block Storage API reference, "Upload volume to image".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pileus.core.context import Context
from pileus.resource import types
from pileus.resource.declaration import Update, Values
from pileus.resource.replies import FLAG, INTEGER, MOMENT_OR_NULL, TEXT, TEXT_OR_NULL, UUID, always, named
from pileus.resource.rows import fetch
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.volume.api import at_least, since
from pileus.services.volume.config import VolumeConfig
from pileus.services.volume.errors import BadRequest, InvalidVolume
from pileus.services.volume.events import volume_event
from pileus.services.volume.messages import message_create
from pileus.services.volume.operations import Ended, begin
from pileus.services.volume.policy import ADMIN, MEMBER, rules
from pileus.services.volume.rules import states
from pileus.services.volume.types.resource import VOLUME_TYPE
from pileus.services.volume.uses.image import OWN_ATTRIBUTES, ImageFiles, image_begin, image_drop, images_of
from pileus.services.volume.volumes.lookup import find_volume, must_be_placed, target_of, volume_change
from pileus.services.volume.volumes.resource import VOLUME
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Action, ByVersion

UPLOAD = "volume.upload"
_RULE = "volume_extension:volume_actions:"
_FORMATS = ("raw", "qcow2", "vmdk", "vdi", "vpc", "vhd", "vhdx")
_OF_THE_SOURCE = frozenset(
    {"image_id", "image_name", "checksum", "container_format", "disk_format", "min_disk", "min_ram", "size"}
)


def _begin(
    tx: Tx, request: Request, asked: Mapping[str, Any], config: VolumeConfig, files: ImageFiles
) -> dict[str, Any]:
    volume = find_volume(tx, request, lock=True)
    if asked.get("visibility") == "public":
        request.authorise(_RULE + "upload_public", target_of(volume))
    if volume["status"] not in (states.AVAILABLE, states.IN_USE):
        raise InvalidVolume(
            reason=f"Volume {volume['id']} status must be available or in-use, but current status is: "
            f"{volume['status']}."
        )
    if volume["status"] == states.IN_USE and not asked.get("force"):
        raise InvalidVolume(reason=f"Volume {volume['id']} is in use: it is uploaded with force.")
    must_be_placed(volume)
    disk_format, container = asked.get("disk_format") or "raw", asked.get("container_format") or "bare"
    if container != "bare":
        raise BadRequest(f"Invalid input received: The container format {container} is not supported.")
    properties = {
        name: text
        for name, text in (volume["volume_image_metadata"] or {}).items()
        if name not in _OF_THE_SOURCE | OWN_ATTRIBUTES
    }
    image = image_begin(
        *(tx, request.context, files, properties),
        name=asked["image_name"],
        disk_format=disk_format,
        container_format=container,
        visibility=asked.get("visibility") or "private",
        protected=bool(asked.get("protected")),
        min_disk=volume["size"],
    )
    changes = {"status": states.UPLOADING, "previous_status": volume["status"]}
    changed = volume_change(tx, request.context, volume, **changes)
    begin(
        *(tx, request.context, UPLOAD, volume["id"], volume["project_id"], config.copy_timeout_s),
        upload_to=image["id"],
        disk_format=disk_format,
    )
    tx.emit(volume_event(request.context, "volume.update", changed, status=states.UPLOADING))
    kind = fetch(tx, VOLUME_TYPE, [volume["volume_type_id"]])[0]
    return _view(request, changed, image, kind)


def _view(request: Request, volume: Values, image: Values, kind: Values) -> dict[str, Any]:
    def stamp(moment: Any) -> Any:
        return None if moment is None else moment.isoformat(timespec="microseconds")

    view = {
        "id": volume["id"],
        "updated_at": stamp(volume["updated_at"]),
        "status": states.UPLOADING,
        "display_description": volume["description"],
        "size": volume["size"],
        "volume_type": {
            "id": kind["id"],
            "name": kind["name"],
            "description": kind["description"],
            "is_public": kind["is_public"],
            "extra_specs": dict(kind["extra_specs"]),
            "qos_specs_id": kind["qos_specs_id"],
            "created_at": stamp(kind["created_at"]),
            "updated_at": stamp(kind["updated_at"]),
            "deleted": False,
            "deleted_at": None,
        },
        "image_id": image["id"],
        "container_format": image["container_format"],
        "disk_format": image["disk_format"],
        "image_name": image["name"],
    }
    if since(request, "3.1"):
        view |= {"visibility": image["visibility"], "protected": image["protected"]}
    return view


def finish_upload(tx: Tx, context: Context, several: Sequence[Ended], *, config: VolumeConfig) -> None:
    """Images have their bytes, or could not be made: those go."""
    ended = {one.operation.resource_id: one for one in several}
    updates = []
    for volume in fetch(tx, VOLUME, sorted(ended), lock=True):
        if volume["status"] == states.UPLOADING:
            back = {"status": volume["previous_status"] or states.AVAILABLE, "previous_status": None}
            updates.append(Update(volume, Values(back)))
    VOLUME.change(tx, context, updates)
    failed = [one for one in several if one.error is not None]
    images = images_of(tx, [one.operation.data["upload_to"] for one in failed])
    for image in images.values():
        if image["status"] != "active":
            image_drop(tx, context, image)
    told = [(one.operation.resource_id, one.operation.project_id or "", one.error or "") for one in failed]
    message_create(tx, context, config, told, "copy volume to image")
    tx.emit_many([volume_event(context, "volume.update", one.original, **one.changes) for one in updates])


def _body(version: Version) -> Type:
    fields: dict[str, Type] = {
        "image_name": types.string(255, minimum=1),
        "force": types.nullable(types.boolean),
        "disk_format": types.nullable(types.enum(*_FORMATS)),
        "container_format": types.nullable(types.string(255)),
    }
    if at_least(version, "3.1"):
        fields |= {
            "visibility": types.enum("private", "public", "shared", "community"),
            "protected": types.nullable(types.boolean),
        }
    return types.dict_of(fields, required=("image_name",))


_TYPE = always(
    {
        **dict.fromkeys(("id", "qos_specs_id"), types.nullable(UUID)),
        "name": TEXT,
        "description": TEXT_OR_NULL,
        **dict.fromkeys(("is_public", "deleted"), FLAG),
        "extra_specs": types.dict_of({}, additional=TEXT),
        **dict.fromkeys(("created_at", "updated_at", "deleted_at"), MOMENT_OR_NULL),
    }
)
_SHOWN = always(
    {
        "id": UUID,
        "updated_at": MOMENT_OR_NULL,
        "status": TEXT,
        "display_description": TEXT_OR_NULL,
        "size": INTEGER,
        "volume_type": _TYPE,
        "image_id": UUID,
        **dict.fromkeys(("container_format", "disk_format", "image_name"), TEXT),
    },
    {"visibility": TEXT, "protected": FLAG},
)


def upload_actions(config: VolumeConfig, files: ImageFiles) -> dict[str, Action]:
    """The action."""

    async def upload(request: Request, argument: Any) -> Reply:
        """Make an image of a volume."""
        view = await request.write(_begin, request, argument, config, files)
        return Reply.json({"os-volume_upload_image": view}, 202)

    return {
        "os-volume_upload_image": Action(
            ByVersion(_body),
            upload,
            rule=_RULE + "upload_image",
            reply=named("os-volume_upload_image", _SHOWN),
            summary="Make an image of a volume",
        )
    }


UPLOADS = Noun(
    name="volume_upload",
    rules=rules({_RULE + "upload_image": MEMBER, _RULE + "upload_public": ADMIN}),
)
