"""Views of volumes: which parts of one a caller sees, and the types of replies."""

from __future__ import annotations

from typing import Any

import msgspec

from pileus.resource import types
from pileus.resource.replies import (
    FLAG,
    INTEGER,
    LINKS,
    MOMENT,
    MOMENT_OR_NULL,
    TEXT,
    TEXT_BY_KEY,
    TEXT_OR_NULL,
    UUID,
    UUID_OR_NULL,
    always,
)
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.volume.api import at_least
from pileus.services.volume.volumes.resource import HOST, MIGRATION, NAME_ID, PROJECT
from pileus.web.request import Request

_GUARDED = {
    HOST: "volume_extension:volume_host_attribute",
    PROJECT: "volume_extension:volume_tenant_attribute",
    MIGRATION: "volume_extension:volume_mig_status_attribute",
    NAME_ID: "volume_extension:volume_mig_status_attribute",
}
_FOR_ADMINISTRATORS = ("migration_status", "provider_id", "cluster_name")


def plain(value: Any) -> Any:
    """A value of a view, which may be JSON still."""
    return msgspec.json.decode(bytes(value)) if isinstance(value, msgspec.Raw) else value


def volume_view(request: Request, action: str, view: dict[str, Any]) -> dict[str, Any]:
    """A view of a volume as the caller may see it."""
    if "status" not in view:
        return view  # of a short list
    access = request.access
    administers = access.allows("volume_extension:volume_host_attribute")
    target = {"project_id": view[PROJECT]}
    for name, rule in _GUARDED.items():
        if action in ("create", "update") or not access.allows(rule, target):
            view.pop(name, None)
    if not administers:
        for name in _FOR_ADMINISTRATORS:
            view.pop(name, None)
        if view["attachments"]:
            view["attachments"] = [{**one, "host_name": None} for one in view["attachments"]]
    if action in ("create", "update"):
        view.pop("volume_image_metadata", None)
    read_only = view.pop("read_only", None)
    if read_only is not None:
        view["metadata"] = {**plain(view["metadata"]), "readonly": str(read_only)}
    return view


_ATTACHMENT = always(
    {
        **dict.fromkeys(("id", "attachment_id", "volume_id"), UUID),
        "server_id": UUID_OR_NULL,
        "host_name": TEXT_OR_NULL,
        "device": TEXT_OR_NULL,
        "attached_at": MOMENT_OR_NULL,
    }
)
_FIELDS: dict[str, Type] = {
    "id": UUID,
    "name": TEXT_OR_NULL,
    "description": TEXT_OR_NULL,
    "size": INTEGER,
    "status": TEXT,
    "availability_zone": TEXT_OR_NULL,
    "bootable": types.enum("true", "false"),
    "multiattach": FLAG,
    "encrypted": FLAG,
    "volume_type": TEXT_OR_NULL,
    "snapshot_id": UUID_OR_NULL,
    "source_volid": UUID_OR_NULL,
    "consistencygroup_id": UUID_OR_NULL,
    "metadata": TEXT_BY_KEY,
    "user_id": TEXT,
    "replication_status": TEXT_OR_NULL,
    "attachments": types.list_of(_ATTACHMENT),
    "created_at": MOMENT,
    "updated_at": MOMENT_OR_NULL,
    "links": LINKS,
}
_SOMETIMES: dict[str, Type] = {
    "volume_image_metadata": types.nullable(TEXT_BY_KEY),
    "migration_status": TEXT_OR_NULL,
    PROJECT: TEXT,
    HOST: TEXT_OR_NULL,
    MIGRATION: TEXT_OR_NULL,
    NAME_ID: UUID_OR_NULL,
}
_SINCE: dict[str, tuple[str, Type]] = {
    "group_id": ("3.13", UUID_OR_NULL),
    "service_uuid": ("3.48", UUID_OR_NULL),
    "shared_targets": ("3.48", types.nullable(FLAG)),
    "volume_type_id": ("3.63", UUID_OR_NULL),
    "consumes_quota": ("3.65", FLAG),
}
_SOMETIMES_SINCE: dict[str, tuple[str, Type]] = {
    "provider_id": ("3.21", TEXT_OR_NULL),
    "cluster_name": ("3.61", TEXT_OR_NULL),
    "encryption_key_id": ("3.64", UUID_OR_NULL),
}


def volume_type(version: Version) -> Type:
    """A volume as it is shown at a microversion."""
    fields = _FIELDS | {name: kind for name, (first, kind) in _SINCE.items() if at_least(version, first)}
    sometimes = _SOMETIMES | {
        name: kind for name, (first, kind) in _SOMETIMES_SINCE.items() if at_least(version, first)
    }
    return always(fields, sometimes)


BRIEF = always({"id": UUID, "name": TEXT_OR_NULL, "links": LINKS})
