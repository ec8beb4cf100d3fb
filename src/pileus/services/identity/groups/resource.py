"""The declaration of groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.resource.declaration import Resource
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


def group_target(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """The parts that policy rules name of a group."""
    if values is None:
        return {}
    return {
        "target.group.id": values["id"],
        "target.group.domain_id": values["domain_id"],
        "target.domain_id": values["domain_id"],
    }
