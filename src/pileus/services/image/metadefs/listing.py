"""The list of namespaces: filters, order and pages.

Source: Metadata Definitions API v2, "List namespaces".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, and_, func, or_, select

from pileus.core.errors import Invalid
from pileus.services.image.metadefs.access import own_target, seen
from pileus.services.image.metadefs.errors import NamespaceNotFound
from pileus.services.image.metadefs.namespaces import with_associations
from pileus.services.image.metadefs.tables import metadef_associations, metadef_namespaces
from pileus.store.tx import Tx
from pileus.web.request import Request

_DEFAULT_LIMIT, _MAX_LIMIT = 25, 1000
_SORT_KEYS = ("created_at", "updated_at", "namespace", "display_name", "visibility", "owner")


class Query(NamedTuple):
    """A list request's query, checked."""

    limit: int
    marker: str | None
    sort_key: str
    descending: bool
    visibility: str | None
    resource_types: list[str] | None


def read_query(request: Request) -> Query:
    """Read the query of a list. Raises Invalid."""
    direction = request.parameter("sort_dir") or "desc"
    if direction not in ("asc", "desc"):
        raise Invalid(f"Invalid sort direction: {direction}")
    sort_key = request.parameter("sort_key") or "created_at"
    if sort_key not in _SORT_KEYS:
        raise Invalid(f"Sort key {sort_key} is not one of {', '.join(_SORT_KEYS)}")
    visibility = request.parameter("visibility") or None
    if visibility not in (None, "public", "private"):
        raise Invalid(f"Invalid visibility value: {visibility}")
    wanted = request.parameter("resource_types")
    return Query(
        read_limit(request),
        request.parameter("marker") or None,
        sort_key,
        direction == "desc",
        visibility,
        wanted.split(",") if wanted is not None else None,
    )


def read_limit(request: Request) -> int:
    """How many of a list are asked for. Raises Invalid."""
    text = request.parameter("limit")
    if text is None:
        return _DEFAULT_LIMIT
    try:
        limit = int(text)
    except ValueError:
        raise Invalid("limit param must be an integer") from None
    if limit < 0:
        raise Invalid("limit param must be positive")
    return min(limit, _MAX_LIMIT)


def namespace_list(tx: Tx, request: Request, query: Query) -> list[dict[str, Any]]:
    """A page of the namespaces that the caller may see. Raises NamespaceNotFound for the marker's."""
    for rule in ("get_metadef_namespaces", "list_metadef_resource_types"):
        request.authorise(rule, own_target(request))
    columns = metadef_namespaces.c
    where = seen(request)
    if query.visibility is not None:
        where.append(columns.visibility == query.visibility)
    if query.resource_types is not None:
        linked = select(metadef_associations.c.namespace_id).where(
            metadef_associations.c.name.in_(query.resource_types)
        )
        where.append(columns.id.in_(linked))
    keys = [_sorted_by(query.sort_key), columns.id]
    if query.marker is not None:
        marker = _marker(tx, request, query.marker)
        value = getattr(marker, query.sort_key)
        where.append(_beyond(keys, ("" if value is None else value, marker.id), query.descending))
    order = [key.desc() if query.descending else key.asc() for key in keys]
    rows = tx.rows(select(metadef_namespaces).where(*where).order_by(*order).limit(query.limit))
    return with_associations(tx, rows)


def _marker(tx: Tx, request: Request, name: str) -> Row[Any]:
    found = tx.first(select(metadef_namespaces).where(metadef_namespaces.c.namespace == name, *seen(request)))
    if found is None:
        raise NamespaceNotFound(namespace_name=name)
    return found


def _sorted_by(name: str) -> ColumnElement[Any]:
    """A column as lists sort by it: what is missing comes as an empty text, alike on all databases."""
    column = metadef_namespaces.c[name]
    return func.coalesce(column, "") if column.nullable else column


def _beyond(keys: Sequence[Any], marker: tuple[Any, str], descending: bool) -> ColumnElement[bool]:
    """The rows that come after the marker's, whose keys are ``marker``."""
    (first, second), (value, id_) = keys, marker
    later = first < value if descending else first > value
    tie = second < id_ if descending else second > id_
    return or_(later, and_(first == value, tie))
