"""The declaration of flavors. Source: Compute API reference, "Flavors"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pileus.core.context import Context
from pileus.core.ids import new_id
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource, request_time
from pileus.resource.types import BadValue, Type
from pileus.resource.wordings.nova import NOVA
from pileus.services.compute.api import NAME
from pileus.services.compute.errors import FlavorNotFound
from pileus.services.compute.tables.flavors import flavors
from pileus.web.routes import ANYBODY

LARGEST = 2**31 - 1
_ID = re.compile(r"(?! )[a-zA-Z0-9. _-]+(?<! )")


def _parse_id(value: Any) -> str | None:
    """Text that fits into a path; numbers are taken; null and ``auto`` ask for a new one."""
    if value is None or value == "auto":
        return new_id()
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not 1 <= len(value) <= 255 or not _ID.fullmatch(value):
        raise BadValue(
            f"'{value}' is not a valid id",
            f"{value!r} does not match '^(?! )[a-zA-Z0-9. _-]+(?<! )$'",
            value=value,
        )
    return value


def _parse_factor(value: Any) -> float:
    try:
        number = float(value) if not isinstance(value, bool) else -1.0
    except (TypeError, ValueError):
        raise BadValue(f"'{value}' is not a number", f"{value!r} is not a 'float'", value=value) from None
    if not 0 < number <= 3.4e38:
        raise BadValue(
            f"'{value}' is not a number", f"{value!r} does not match '^[0-9]+(\\\\.[0-9]+)?$'", value=value
        )
    return number


def _fresh_id(context: Context, values: Mapping[str, Any]) -> str:
    return new_id()


def _own_id(context: Context, values: Mapping[str, Any]) -> str:
    return str(values["id"])


_FLAVOR_ID = Type("flavor id", _parse_id, {"type": ["string", "number", "null"]}, query=lambda text: text)
_FACTOR = Type("number", _parse_factor, {"type": ["string", "number"]})

_MODERN = ("2.55", "")

DESCRIPTION = types.nullable(types.string(65535))
EXTRA_SPECS = types.dict_of({}, additional=types.string(255))

FLAVOR = Resource(
    "flavor",
    table=flavors,
    wording=NOVA,
    not_found=FlavorNotFound,
    rules={
        "list": "os_compute_api:flavors",
        "get": ANYBODY,  # Nova asks no rule of who looks at a flavor
        "create": "os_compute_api:os-flavor-manage:create",
        "update": "os_compute_api:os-flavor-manage:update",
        "delete": "os_compute_api:os-flavor-manage:delete",
    },
    attributes=(
        Attribute("id", _FLAVOR_ID, default=_fresh_id, create=True, sort=True),
        Attribute("name", NAME, create=True, required=True, sort=True),
        Attribute("ram", types.integer(1, LARGEST), create=True, required=True, sort=True),
        Attribute("vcpus", types.integer(1, LARGEST), create=True, required=True, sort=True),
        Attribute("disk", types.integer(0, LARGEST), create=True, required=True, sort=True),
        Attribute("swap", types.integer(0, LARGEST), default=0, create=True, sort=True),
        Attribute(
            "OS-FLV-EXT-DATA:ephemeral",
            types.integer(0, LARGEST),
            column=flavors.c.ephemeral,
            default=0,
            create=True,
        ),
        Attribute("rxtx_factor", _FACTOR, default=1.0, create=True, sort=True),
        Attribute("OS-FLV-DISABLED:disabled", types.boolean, column=flavors.c.disabled, default=False),
        Attribute(
            "os-flavor-access:is_public",
            types.boolean,
            column=flavors.c.is_public,
            default=True,
            create=True,
        ),
        Attribute("description", DESCRIPTION, create=True, update=True, versions=_MODERN),
        Attribute(
            "extra_specs",
            EXTRA_SPECS,
            default={},
            versions=("2.61", ""),
        ),
        Attribute("flavorid", types.string(), column=flavors.c.id, default=_own_id, visible=False, sort=True),
        Attribute("created_at", types.timestamp, default=request_time, visible=False, sort=True),
        Attribute("updated_at", types.timestamp, default=request_time, visible=False, sort=True),
    ),
    default_sort=(("id", False),),
    description="A size of servers.",
)
