"""The declarations of projects and domains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, bindparam, false, func, select, true

from pileus.core.context import Context
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.wordings.keystone import KEYSTONE
from pileus.services.identity.common.attributes import (
    ADDITIONAL,
    DESCRIPTION,
    ENABLED,
    EXTRA,
    ID,
    home_domain,
)
from pileus.services.identity.common.errors import DomainNotFound, ProjectNotFound
from pileus.services.identity.common.options import OPTIONS
from pileus.services.identity.tables.projects import project_tags, projects
from pileus.store.column_in import column_in
from pileus.store.tx import Tx

MAX_TAGS = 80

_UNTAG = project_tags.delete().where(project_tags.c.project_id.in_(bindparam("ids", expanding=True)))


def tags_load(tx: Tx, ids: list[str]) -> dict[str, list[str]]:
    """The tags of projects, sorted."""
    found: dict[str, list[str]] = {}
    rows = select(project_tags).where(column_in(tx, project_tags.c.project_id, ids))
    for row in tx.rows(rows.order_by(project_tags.c.project_id, project_tags.c.tag)):
        found.setdefault(row.project_id, []).append(row.tag)
    return found


def _tagged(texts: Sequence[str], *, every: bool, wanted: bool) -> ColumnElement[bool]:
    """Projects with all (or any) of the tags that the texts list with commas; or the others."""
    tags = {tag for text in texts for tag in text.split(",") if tag}
    if not tags:
        return true()  # no tag is named: nothing is asked
    if every and len(tags) > MAX_TAGS:
        return false() if wanted else true()  # no project has so many
    tagged = select(project_tags.c.project_id).where(project_tags.c.tag.in_(sorted(tags)))
    if every:
        tagged = tagged.group_by(project_tags.c.project_id).having(func.count() == len(tags))
    found = projects.c.id.in_(tagged)
    return found if wanted else ~found


TAG_FILTERS = {
    "tags": partial(_tagged, every=True, wanted=True),
    "tags-any": partial(_tagged, every=False, wanted=True),
    "not-tags": partial(_tagged, every=True, wanted=False),
    "not-tags-any": partial(_tagged, every=False, wanted=False),
}


def tags_save(tx: Tx, context: Context, tags: Mapping[str, list[str]]) -> None:
    """Replace the tags of projects."""
    tx.execute(_UNTAG, {"ids": list(tags)})
    tx.insert(
        project_tags, [{"project_id": key, "tag": tag} for key, some in tags.items() for tag in set(some)]
    )


TAG = types.string(255, minimum=1, pattern="[^,/]*")
_TAGS = Attribute(
    "tags",
    types.list_of(TAG, unique=True, maximum=MAX_TAGS),
    loader=tags_load,
    saver=tags_save,
    empty=[],
    default=[],
    create=True,
    update=True,
)
_NAME = Attribute(
    "name", types.string(64, minimum=1), create=True, update=True, required=True, filter=True, sort=True
)

DOMAIN = Resource(
    "domain",
    table=projects,
    wording=KEYSTONE,
    not_found=DomainNotFound,
    additional=ADDITIONAL,
    policy_columns={"target.domain_id": projects.c.id},
    attributes=(
        ID,
        Attribute(
            "explicit_domain_id",
            types.string(36, minimum=1, pattern="[a-zA-Z0-9-]+"),
            create=True,
            visible=False,
        ),
        _NAME,
        DESCRIPTION,
        ENABLED,
        _TAGS,
        OPTIONS,
        EXTRA,
    ),
)

PROJECT = Resource(
    "project",
    table=projects,
    wording=KEYSTONE,
    not_found=ProjectNotFound,
    additional=ADDITIONAL,
    policy_columns={"target.domain_id": projects.c.domain_id},
    attributes=(
        ID,
        _NAME,
        Attribute(
            "domain_id",
            types.nullable(types.string(64)),
            create=True,
            update=True,
            filter=True,
            sort=True,
            default=home_domain,
        ),
        Attribute(
            "parent_id", types.nullable(types.string(64)), create=True, update=True, filter=True, sort=True
        ),
        Attribute("is_domain", types.strict_boolean, create=True, update=True, filter=True, default=False),
        DESCRIPTION,
        ENABLED,
        _TAGS,
        OPTIONS,
        EXTRA,
    ),
)


def project_target(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """The parts that policy rules name of a project."""
    if values is None:
        return {}
    return {
        "target.project.id": values.get("id"),
        "target.project.domain_id": values.get("domain_id"),
        "target.domain_id": values.get("domain_id"),
    }


def domain_target(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """The parts that policy rules name of a domain."""
    return {} if values is None else {"target.domain.id": values["id"], "target.domain_id": values["id"]}
