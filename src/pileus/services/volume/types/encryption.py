"""Encryption of volume types. Source: Block Storage API reference, "Volume types" (encryption specs)."""

from __future__ import annotations

from typing import Any

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.resource.replies import FLAG, INTEGER, MOMENT, TEXT, UUID, always, named
from pileus.resource.types import Type
from pileus.services.volume.api import enforce, wrapped
from pileus.services.volume.policy import ADMIN, rules
from pileus.services.volume.types import work
from pileus.web.body import declared_body
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Route

_FIELDS: dict[str, Type] = {
    "provider": types.string(255, minimum=1),
    "control_location": types.enum("front-end", "back-end"),
    "cipher": types.nullable(types.string(255)),
    "key_size": types.nullable(types.integer(0, 4096)),
}
_CREATE = wrapped("encryption", _FIELDS, ("provider", "control_location"))
_UPDATE = wrapped("encryption", _FIELDS)
_NAMES = ("provider", "control_location", "cipher", "key_size")
_RULE = "volume_extension:volume_type_encryption:"
_ALL, _ONE = "/v3/types/{id}/encryption", "/v3/types/{id}/encryption/{key}"
_SPECS = {
    "provider": TEXT,
    "control_location": TEXT,
    "cipher": types.nullable(TEXT),
    "key_size": types.nullable(INTEGER),
}
_SHOWN = types.dict_of(
    {
        **_SPECS,
        "volume_type_id": UUID,
        "encryption_id": UUID,
        "deleted": FLAG,
        "created_at": MOMENT,
        "updated_at": types.nullable(MOMENT),
        "deleted_at": types.nullable(MOMENT),
    }
)


def _view(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _NAMES}


def _stamp(moment: Any) -> str | None:
    return None if moment is None else str(moment.isoformat(timespec="microseconds"))


async def show_encryption(request: Request) -> Reply:
    """Show a type's encryption: an empty object where its volumes are not encrypted."""
    enforce(request)
    row = await request.read(work.encryption_read, request.access, request.path["id"])
    if row is None:
        return Reply.json({})
    times = {"created_at": _stamp(row.created_at), "updated_at": _stamp(row.updated_at), "deleted_at": None}
    ids = {"volume_type_id": row.volume_type_id, "encryption_id": row.id}
    return Reply.json({**ids, **_view(row), **times, "deleted": False})


async def show_item(request: Request) -> Reply:
    """Show one item of a type's encryption."""
    enforce(request)
    row = await request.read(work.encryption_read, request.access, request.path["id"])
    key = request.path["key"]
    if row is None or key not in _NAMES:
        raise NotFound
    return Reply.json({key: getattr(row, key)})


async def create_encryption(request: Request) -> Reply:
    """Have the volumes of a type encrypted."""
    enforce(request)
    values = declared_body(request)["encryption"]
    row = await request.write(work.encryption_create, request.access, request.path["id"], values)
    view = {"volume_type_id": row["volume_type_id"], "encryption_id": row["id"]}
    return Reply.json({"encryption": {**view, **{name: row[name] for name in _NAMES}}})


async def update_encryption(request: Request) -> Reply:
    """Change how they will be encrypted."""
    enforce(request)
    values = declared_body(request)["encryption"]
    path = request.path
    await request.write(work.encryption_update, request.access, path["id"], path["key"], values)
    return Reply.json({"encryption": values})


async def delete_encryption(request: Request) -> Reply:
    """Have new volumes of a type not encrypted."""
    enforce(request)
    await request.write(work.encryption_delete, request.access, request.path["id"], request.path["key"])
    return Reply.empty(202)


TYPE_ENCRYPTION = Noun(
    name="volume_type_encryption",
    rules=rules({_RULE + name: ADMIN for name in ("create", "get", "update", "delete")}),
    extensions=(
        Extension("encryption", "VolumeTypeEncryption", "Encryption support for volume types."),
        Extension("os-volume-encryption-metadata", "VolumeEncryptionMetadata", "Encryption of volumes."),
    ),
    routes=(
        Route("GET", _ALL, show_encryption, rule=_RULE + "get", reply=_SHOWN, summary="Show encryption"),
        Route(
            "POST",
            _ALL,
            create_encryption,
            rule=_RULE + "create",
            body=_CREATE,
            reply=named("encryption", always({**_SPECS, "volume_type_id": UUID, "encryption_id": UUID})),
            summary="Have the volumes of a type encrypted",
        ),
        Route(
            "GET",
            _ONE,
            show_item,
            rule=_RULE + "get",
            reply=types.dict_of(_SPECS),
            summary="Show an item of encryption",
        ),
        Route(
            "PUT",
            _ONE,
            update_encryption,
            rule=_RULE + "update",
            body=_UPDATE,
            reply=named("encryption", types.dict_of(_SPECS)),
            summary="Change encryption",
        ),
        Route(
            "DELETE",
            _ONE,
            delete_encryption,
            rule=_RULE + "delete",
            reply=NO_BODY,
            status=202,
            summary="Have new volumes of a type not encrypted",
        ),
    ),
)
