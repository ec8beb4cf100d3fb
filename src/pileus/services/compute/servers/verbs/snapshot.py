"""The actions ``createImage`` and ``createBackup``: an image of a server's disk.

Source: Compute API reference, "Create Image" and "Create Server Back Up".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pileus.resource import types
from pileus.resource.declaration import Values
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.compute.api import NAME, at_least, since
from pileus.services.compute.errors import BadRequest, QuotaError
from pileus.services.compute.policy import ADMIN_OR_MEMBER, rules
from pileus.services.compute.quotas.counting import limits_of
from pileus.services.compute.replies import UUID, always
from pileus.services.compute.rules import states
from pileus.services.compute.servers.attached_volumes import root_volume, volumes_of_servers
from pileus.services.compute.servers.chains.common import Parts
from pileus.services.compute.servers.chains.snapshot import begin_snapshot
from pileus.services.compute.servers.checks import check_metadata
from pileus.services.compute.servers.instance_actions import action_begin, action_finish
from pileus.services.compute.servers.lookup import change, must_be_free
from pileus.services.compute.servers.requests import METADATA
from pileus.services.compute.servers.verbs.common import permitted, wake
from pileus.services.compute.servers.verbs.volume_images import mapping_properties, snapshots_begin
from pileus.services.compute.uses.image import (
    IMAGES,
    RESERVED,
    LimitExceeded,
    image_begin,
    images_of,
)
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Action, ByVersion

_NOT_INHERITED = (
    *("cache_in_nova", "bittorrent"),
    *("block_device_mapping", "bdm_v2", "root_device_name", "mappings"),
)
_NOT_INHERITED_PREFIXES = ("img_signature", "os_glance_")
"""Properties of an image that are not true of what is made of it (nova's
``non_inheritable_image_properties``, and Glance's own)."""

_IMAGE = types.dict_of({"name": NAME, "metadata": METADATA}, required=("name",))
_BACKUP = types.dict_of(
    {"name": NAME, "backup_type": types.string(255), "rotation": types.integer(0), "metadata": METADATA},
    required=("name", "backup_type", "rotation"),
)


def _snapshot(tx: Tx, request: Request, verb: str, asked: dict[str, Any], parts: Parts) -> str:
    server = permitted(tx, request, verb)
    must_be_free(request, server)
    metadata = asked.get("metadata") or {}
    if not since(request, "2.39"):
        check_metadata(limits_of(tx, server["project_id"]), metadata)
    if reserved := sorted(RESERVED & set(metadata)):
        raise BadRequest(f"Metadata can't have the names of an image's own attributes: {', '.join(reserved)}")
    backup = verb == "createBackup"
    rows = volumes_of_servers(tx, [server["id"]]).get(server["id"], [])
    if root_volume(rows) is not None:
        if backup:
            raise BadRequest("Backup is not supported for volume-backed instances.")
        return _of_volumes(tx, request, server, rows, asked["name"], metadata, parts)
    image_id = server_image_begin(
        tx,
        request,
        server,
        parts,
        name=asked["name"],
        metadata=metadata,
        kind="backup" if backup else "snapshot",
        own={"backup_type": asked["backup_type"]} if backup else {},
    )
    action_begin(tx, request.context, [server["id"]], verb)
    begin_snapshot(
        tx,
        request.context,
        server,
        image_id,
        parts,
        quiesce=_is_to_be_quiesced(tx, server, metadata),
        backup_type=asked["backup_type"] if backup else None,
        rotation=asked.get("rotation", 0),
    )
    task = states.BACKUP if backup else states.SNAPSHOT
    change(tx, request.context, server, task_state=task, task_since=request.context.now)
    wake(tx, request, server, task_state=task)
    return image_id


def _of_volumes(
    tx: Tx,
    request: Request,
    server: Values,
    rows: Sequence[Any],
    name: str,
    metadata: Mapping[str, str],
    parts: Parts,
) -> str:
    """An image of a server that began from a volume: it is whole at once, the snapshots soon."""
    mapping = snapshots_begin(tx, request.context, rows, name, parts)
    action_begin(tx, request.context, [server["id"]], "createImage")
    image_id = server_image_begin(
        *(tx, request, server, parts),
        name=name,
        metadata=metadata,
        own=mapping_properties(mapping),
        empty=True,
    )
    action_finish(tx, request.context.now, [server["id"]], actions=("createImage",), host=server["host"])
    return image_id


def server_image_begin(
    tx: Tx,
    request: Request,
    server: Values,
    parts: Parts,
    *,
    name: str,
    metadata: Mapping[str, str] = MappingProxyType({}),
    kind: str = "snapshot",
    own: Mapping[str, str] = MappingProxyType({}),
    empty: bool = False,
) -> str:
    """Write an image of a server, which its node will fill (``empty``: nobody will); its id. Raises
    QuotaError."""
    base = _base_of(tx, server)
    # Of all that says where it came from, what an image is called may be said by whoever makes it.
    chosen = {name: text for name, text in metadata.items() if name == "image_type" and kind == "snapshot"}
    try:
        return image_begin(
            tx,
            request.context,
            parts.images,
            {**_inherited(base), **metadata, **_origin(request, server, kind), **chosen, **own},
            name=name,
            visibility="private",
            disk_format="raw" if empty else "qcow2",
            container_format="bare",
            empty=empty,
            min_disk=0 if empty else server["flavor"]["disk"],
            min_ram=base["min_ram"] if base else 0,
        )
    except LimitExceeded as refused:
        raise QuotaError(refused.text) from None


def _base_of(tx: Tx, server: Values) -> Values | None:
    image_id = server["image_id"] or ""
    return images_of(tx, [image_id] if image_id else []).get(image_id)


def _is_to_be_quiesced(tx: Tx, server: Values, metadata: Mapping[str, str]) -> bool:
    asked = (_inherited(_base_of(tx, server)) | dict(metadata)).get("os_require_quiesce", "")
    return asked.lower() in ("yes", "true", "1")


def _inherited(base: Values | None) -> dict[str, str]:
    properties: dict[str, str] = dict(base["properties"]) if base else {}
    return {
        name: value
        for name, value in properties.items()
        if name not in _NOT_INHERITED and not name.startswith(_NOT_INHERITED_PREFIXES)
    }


def _origin(request: Request, server: Values, kind: str) -> dict[str, str]:
    """Properties that tell where an image comes from, by nova's names."""
    return {
        "image_type": kind,
        "image_location": "snapshot",
        "image_state": "available",
        "instance_uuid": server["id"],
        "owner_id": server["project_id"],
        "user_id": request.context.user_id or "",
        "base_image_ref": server["image_id"] or "",
    }


def snapshot_actions(parts: Parts) -> dict[str, Action]:
    """The actions by name."""

    def acting(verb: str, argument: Type, rule: str, summary: str) -> Action:
        async def act(request: Request, argument: Any) -> Reply:
            image_id = await request.write(_snapshot, request, verb, argument, parts)
            if since(request, "2.45"):
                return Reply.json({"image_id": image_id}, 202)
            return Reply.empty(202).header("location", f"{request.base_url}{IMAGES}/{image_id}")

        return Action(argument, act, rule=f"os_compute_api:{rule}", reply=ByVersion(_reply), summary=summary)

    return {
        "createImage": acting("createImage", _IMAGE, "servers:create_image", "Make an image of a server"),
        "createBackup": acting("createBackup", _BACKUP, "os-create-backup", "Make a backup of a server"),
    }


def _reply(version: Version) -> Type:
    return always({"image_id": UUID}) if at_least(version, "2.45") else NO_BODY


SNAPSHOTS = Noun(
    name="server_snapshot",
    rules=rules({"servers:create_image": ADMIN_OR_MEMBER, "os-create-backup": ADMIN_OR_MEMBER}),
)
