"""The declaration of groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.wordings.keystone import KEYSTONE
from pileus.services.identity.common.attributes import ADDITIONAL, DESCRIPTION, DOMAIN_ID, EXTRA, ID, NAME
from pileus.services.identity.common.errors import GroupNotFound
from pileus.services.identity.tables.groups import groups

GROUP = Resource(
    "group",
    table=groups,
    wording=KEYSTONE,
    not_found=GroupNotFound,
    additional=ADDITIONAL,
    policy_columns={"target.domain_id": groups.c.domain_id},
    attributes=(ID, NAME, DOMAIN_ID, DESCRIPTION, EXTRA),
)


GROUP_OF_USER = Resource(
    "group",
    table=groups,
    wording=KEYSTONE,
    not_found=GroupNotFound,
    additional=ADDITIONAL,
    attributes=(
        *GROUP.attributes.values(),
        Attribute("membership_expires_at", types.nullable(types.timestamp_micro)),
    ),
)
"""A group as one of a user's: ``membership_expires_at`` is when he leaves it, where that is known."""


def group_target(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """The parts that policy rules name of a group."""
    if values is None:
        return {}
    return {
        "target.group.id": values["id"],
        "target.group.domain_id": values["domain_id"],
        "target.domain_id": values["domain_id"],
    }
