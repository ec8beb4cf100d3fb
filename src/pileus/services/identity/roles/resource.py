"""The declaration of roles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.wordings.keystone import KEYSTONE
from pileus.services.identity.common.attributes import ADDITIONAL, EXTRA, ID, NAME
from pileus.services.identity.common.errors import RoleNotFound
from pileus.services.identity.common.options import OPTIONS
from pileus.services.identity.tables.roles import roles

ROLE = Resource(
    "role",
    table=roles,
    wording=KEYSTONE,
    not_found=RoleNotFound,
    additional=ADDITIONAL,
    attributes=(
        ID,
        NAME,
        Attribute(
            "domain_id", types.nullable(types.string(64, minimum=1)), create=True, update=True, filter=True
        ),
        Attribute("description", types.nullable(types.string(None)), create=True, update=True),
        OPTIONS,
        EXTRA,
    ),
)


def role_target(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """The parts that policy rules name of a role."""
    if values is None:
        return {}
    return {
        "target.role.id": values["id"],
        "target.role.name": values["name"],
        "target.role.domain_id": values["domain_id"],
    }
