"""Types of replies about servers, by microversion. Source: Compute API reference, "Servers", and what
``view.py`` shows."""

from __future__ import annotations

from pileus.resource import types
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.compute.api import at_least
from pileus.services.compute.replies import (
    COUNT,
    FLAG,
    INTEGER,
    LINKS,
    MOMENT,
    MOMENT_OR_NULL,
    NULL,
    TEXT,
    TEXT_BY_KEY,
    TEXT_OR_NULL,
    TEXTS,
    UUID,
    Fields,
    always,
    named,
    named_list,
)

_ADDRESS = {"addr": TEXT, "version": types.enum(4, 6)}
_FULL_ADDRESS = {
    **_ADDRESS,
    "OS-EXT-IPS:type": types.enum("fixed", "floating"),
    "OS-EXT-IPS-MAC:mac_addr": types.mac,
}
ADDRESSES = types.dict_of({}, additional=types.list_of(always(_ADDRESS)))
_FULL_ADDRESSES = types.dict_of({}, additional=types.list_of(always(_FULL_ADDRESS)))
_IMAGE = types.one_of(always({"id": UUID, "links": LINKS}), types.enum(""))
_FAULT = always({"code": INTEGER, "message": TEXT, "created": MOMENT}, {"details": TEXT})
_NAMES = types.list_of(always({"name": TEXT}))
_GROUPS = types.list_of(UUID, maximum=1)


def _flavor(version: Version) -> Type:
    if not at_least(version, "2.47"):
        return always({"id": TEXT, "links": LINKS})
    return always(
        {
            "original_name": TEXT,
            **dict.fromkeys(("vcpus", "ram", "disk", "ephemeral", "swap"), COUNT),
            "extra_specs": TEXT_BY_KEY,
        }
    )


_SOMETIMES: Fields = {"progress": COUNT, "fault": _FAULT}
"""Fields that a server shows in some states only."""


def _basic(version: Version) -> dict[str, Type]:
    """The fields that updates and rebuilds answered with before 2.75, and that all views have."""
    fields: dict[str, Type] = {
        "id": UUID,
        **dict.fromkeys(("name", "status", "tenant_id", "user_id", "hostId"), TEXT),
        "metadata": TEXT_BY_KEY,
        "image": _IMAGE,
        "flavor": _flavor(version),
        "created": MOMENT,
        "updated": MOMENT,
        "addresses": ADDRESSES,
        "accessIPv4": TEXT,
        "accessIPv6": TEXT,
        "links": LINKS,
        "OS-DCF:diskConfig": types.enum("AUTO", "MANUAL"),
    }
    by_version: tuple[tuple[str, str, Type], ...] = (
        ("2.9", "locked", FLAG),
        ("2.19", "description", TEXT_OR_NULL),
        ("2.26", "tags", TEXTS),
        ("2.63", "trusted_image_certificates", NULL),
        ("2.73", "locked_reason", TEXT_OR_NULL),
        ("2.90", "OS-EXT-SRV-ATTR:hostname", TEXT),
        ("2.96", "pinned_availability_zone", TEXT_OR_NULL),
    )
    return fields | {name: kind for first, name, kind in by_version if at_least(version, first)}


def _full(version: Version, *, alone: bool) -> tuple[dict[str, Type], dict[str, Type]]:
    """The fields that are always there, and those that are sometimes; ``alone``: not in a list."""
    fields = _basic(version) | {
        "addresses": _FULL_ADDRESSES,
        "key_name": TEXT_OR_NULL,
        "config_drive": TEXT,
        "OS-EXT-AZ:availability_zone": TEXT,
        "OS-EXT-STS:task_state": TEXT_OR_NULL,
        "OS-EXT-STS:vm_state": TEXT,
        "OS-EXT-STS:power_state": COUNT,
        "OS-SRV-USG:launched_at": MOMENT_OR_NULL,
        "OS-SRV-USG:terminated_at": MOMENT_OR_NULL,
        "os-extended-volumes:volumes_attached": types.list_of(
            always({"id": UUID}, {"delete_on_termination": FLAG})
        ),
    }
    if alone and at_least(version, "2.71"):
        fields["server_groups"] = _GROUPS
    return fields, {**_SOMETIMES, "security_groups": _NAMES, **_for_admins(version)}


def _for_admins(version: Version) -> dict[str, Type]:
    fields: dict[str, Type] = {
        "OS-EXT-SRV-ATTR:host": TEXT_OR_NULL,
        "OS-EXT-SRV-ATTR:hypervisor_hostname": TEXT_OR_NULL,
        "OS-EXT-SRV-ATTR:instance_name": TEXT,
    }
    if at_least(version, "2.3"):
        texts = ("reservation_id", "hostname", "kernel_id", "ramdisk_id", "root_device_name")
        fields |= {
            **{f"OS-EXT-SRV-ATTR:{name}": TEXT for name in texts},
            "OS-EXT-SRV-ATTR:launch_index": COUNT,
            "OS-EXT-SRV-ATTR:user_data": TEXT_OR_NULL,
        }
    if at_least(version, "2.16"):
        fields["host_status"] = types.enum("UP", "DOWN", "MAINTENANCE", "")
    return fields


def brief_list(version: Version) -> Type:
    """The reply of ``GET /servers``."""
    return named_list("servers", always({"id": UUID, "name": TEXT, "links": LINKS}), links="servers_links")


def full_list(version: Version) -> Type:
    """The reply of ``GET /servers/detail``."""
    return named_list("servers", always(*_full(version, alone=False)), links="servers_links")


def shown(version: Version) -> Type:
    """The reply of ``GET /servers/{id}``."""
    return named("server", always(*_full(version, alone=True)))


def _changed(version: Version) -> tuple[dict[str, Type], dict[str, Type]]:
    if at_least(version, "2.75"):
        return _full(version, alone=True)
    fields = _basic(version)
    if at_least(version, "2.71"):
        fields["server_groups"] = _GROUPS
    return fields, {**_SOMETIMES}


def updated(version: Version) -> Type:
    """The reply of ``PUT /servers/{id}``."""
    return named("server", always(*_changed(version)))


def rebuilt(version: Version) -> Type:
    """The reply of the action ``rebuild``."""
    fields, sometimes = _changed(version)
    fields["adminPass"] = TEXT
    if at_least(version, "2.54"):
        fields["key_name"] = TEXT_OR_NULL
    if at_least(version, "2.57"):
        fields["user_data"] = TEXT_OR_NULL
        sometimes.pop("OS-EXT-SRV-ATTR:user_data", None)
    return named("server", always(fields, sometimes))


CREATED = types.one_of(
    named(
        "server",
        always(
            {
                "id": UUID,
                "links": LINKS,
                "OS-DCF:diskConfig": types.enum("AUTO", "MANUAL"),
                "security_groups": _NAMES,
                "adminPass": TEXT,
            }
        ),
    ),
    named("reservation_id", TEXT),
)
"""The reply of ``POST /servers``."""
