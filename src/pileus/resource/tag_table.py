"""The table of tags, and tags as conditions and batches of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Index, String, Table, delete, func, select

from pileus.core.context import Context
from pileus.store.narrowed import Narrowed, narrowed
from pileus.store.schema import Id, metadata
from pileus.store.tx import Tx

MAX_TAG = 255

resource_tags = Table(
    "resource_tags",
    metadata,
    Column("resource_id", Id, primary_key=True),
    Column("tag", String(MAX_TAG), primary_key=True),
    Index("ix_resource_tags_tag", "tag"),
)


def tagged(key: ColumnElement[Any], tags: Sequence[str]) -> ColumnElement[bool]:
    """Rows whose key carries any of the tags."""
    return key.in_(select(resource_tags.c.resource_id).where(resource_tags.c.tag.in_(tags)))


def tagged_with_all(key: ColumnElement[Any], tags: Sequence[str]) -> ColumnElement[bool]:
    """Rows whose key carries each of the tags; one subquery however many they are."""
    wanted = set(tags)
    if len(wanted) == 1:
        return tagged(key, list(wanted))
    carrying = select(resource_tags.c.resource_id).where(resource_tags.c.tag.in_(sorted(wanted)))
    counted = carrying.group_by(resource_tags.c.resource_id).having(func.count() == len(wanted))
    return key.in_(counted)


_TAGS = narrowed(
    select(resource_tags.c.resource_id, resource_tags.c.tag).order_by(resource_tags.c.tag),
    resource_tags.c.resource_id,
)


_FORGET = Narrowed(lambda only: delete(resource_tags).where(*only(resource_tags.c.resource_id)))


def tags_load(tx: Tx, keys: list[str]) -> dict[str, list[str]]:
    """The tags of each of the resources, sorted; nothing for one without."""
    found: dict[str, list[str]] = {}
    rows: Any = _TAGS.rows(tx, {}, keys)
    for key, tag in rows:
        found.setdefault(key, []).append(tag)
    return found


def tags_save(tx: Tx, context: Context, tags: Mapping[str, Sequence[str]]) -> None:
    """Make these the tags of these resources, whatever they were."""
    tags_remove(tx, list(tags))
    tx.insert(
        resource_tags, [{"resource_id": key, "tag": tag} for key, several in tags.items() for tag in several]
    )


def tags_remove(tx: Tx, keys: Sequence[str]) -> None:
    """Take all tags off these resources."""
    _FORGET.execute(tx, {}, keys)
