"""Lists of images: Glance's filters as conditions, its orders and its pages.

Source: Image API v2, "List images". What is no attribute of images filters by a property of that name.
"""

from __future__ import annotations

import datetime as dt
import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, literal, select

from pileus.core.errors import Invalid
from pileus.resource.listing import Listing, Sort
from pileus.resource.tag_table import tagged
from pileus.resource.types import BadValue, timestamp
from pileus.services.image.images.access import ALL, listed, visible
from pileus.services.image.images.resource import VISIBILITIES
from pileus.services.image.images.tables import image_properties, images
from pileus.web.request import Request

_SORT_KEYS = (
    "name",
    "status",
    "container_format",
    "disk_format",
    "size",
    "id",
    "created_at",
    "updated_at",
)
_DIRECTIONS = ("asc", "desc")
_MEMBER_STATUSES = ("pending", "accepted", "rejected", ALL)
_PAGING = frozenset({"limit", "marker", "sort", "sort_key", "sort_dir", "member_status", "visibility", "tag"})
_NUMBERS = ("size", "virtual_size", "min_disk", "min_ram")
_LISTED_WITH_IN = ("name", "id", "status", "container_format", "disk_format")
_TEXTS = ("checksum", "os_hash_algo", "os_hash_value", "owner")
_TIMES = ("created_at", "updated_at")
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "neq": operator.ne,
    "eq": operator.eq,
}
_LARGEST_NUMBER = 2**63 - 1
_ITEM = re.compile(r'"((?:[^"\\]|\\.)*)"(?=,|$)|([^,"]*)(?=,|$)')


def read_listing(request: Request) -> Listing:
    """Read the filters, order and page of a list request. Raises Invalid."""
    listing = Listing(sort=_read_sorts(request.query))
    visibility = request.parameter("visibility") or None
    if visibility not in (None, ALL, *VISIBILITIES):
        raise Invalid(f"Invalid visibility value: {visibility}")
    member_status = request.parameter("member_status") or "accepted"
    if member_status not in _MEMBER_STATUSES:
        raise Invalid(f"Invalid status: {member_status}")
    limit = request.parameter("limit")
    if limit is not None:
        listing.limit = _number("limit", limit)
    listing.marker = request.parameter("marker") or None
    listing.where = listed(request, visibility, member_status)
    listing.visible = visible(request)
    listing.where += [tagged(images.c.id, [tag.strip()]) for name, tag in request.query if name == "tag"]
    filters = {name: text for name, text in request.query if name not in _PAGING}
    hidden = _flag("os_hidden", filters.pop("os_hidden", "false").lower())
    listing.where.append(images.c.os_hidden.is_(hidden))
    listing.where += [_condition(name, text) for name, text in filters.items()]
    return listing


def _read_sorts(query: Sequence[tuple[str, str]]) -> list[Sort]:
    new = [text for name, text in query if name == "sort"]
    keys = [text.strip() for name, text in query if name == "sort_key"]
    directions = [text.strip() for name, text in query if name == "sort_dir"]
    if new:
        if keys or directions:
            raise Invalid("Old and new sorting syntax cannot be combined")
        parts = [part.partition(":") for part in new[-1].strip().split(",")]
        keys = [key.strip() for key, _, _ in parts]
        directions = [direction.strip() or "desc" for _, _, direction in parts]
    for key in keys:
        if key not in _SORT_KEYS:
            raise Invalid(
                f"Invalid sort key: {key}. It must be one of the following: {', '.join(_SORT_KEYS)}."
            )
    for direction in directions:
        if direction not in _DIRECTIONS:
            raise Invalid(f"Invalid sort direction: {direction}")
    if len(directions) > 1 and len(directions) != len(keys):
        raise Invalid("Number of sort dirs does not match the number of sort keys")
    keys = keys or ["created_at"]
    directions = directions or ["desc"]
    if len(directions) == 1:
        directions = directions * len(keys)
    sorts = list(dict(zip(keys, directions, strict=True)).items())
    last = directions[0] if len(set(directions)) == 1 else "desc"
    sorts += [(key, last) for key in ("created_at", "id") if key not in keys]
    return [Sort(key, direction == "desc") for key, direction in sorts]


def _condition(name: str, text: str) -> ColumnElement[bool]:
    base, _, end = name.rpartition("_")
    if end in ("min", "max") and base in _NUMBERS:
        number = literal(_number(name, text), BigInteger)
        return images.c[base] >= number if end == "min" else images.c[base] <= number
    if name in _NUMBERS:
        return images.c[name] == literal(_number(name, text), BigInteger)
    if name == "protected":
        return images.c.protected.is_(_flag(name, text))
    if name in _TIMES:
        return _time_condition(name, text)
    if name in _LISTED_WITH_IN:
        return _one_of(name, text)
    if name in _TEXTS:
        return images.c[name] == text
    columns = image_properties.c
    return images.c.id.in_(select(columns.image_id).where(columns.name == name, columns.value == text))


def _number(name: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        if name == "limit":
            raise Invalid("limit param must be an integer")
        raise Invalid("Unable to filter on a range with a non-numeric value.")
    return min(int(text), _LARGEST_NUMBER)


def _flag(name: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise Invalid(f"Invalid value '{text}' for '{name}' filter. Valid values are 'true' or 'false'.")
    return text == "true"


def _time_condition(name: str, text: str) -> ColumnElement[bool]:
    word, found, rest = text.partition(":")
    compare = _COMPARISONS.get(word) if found else None
    if compare is None:
        if found and word.isalpha():
            raise Invalid(f"Unable to filter by unknown operator '{word}'.")
        compare, rest = operator.eq, text
    try:
        moment: dt.datetime = timestamp.parse(rest)
    except BadValue:
        raise Invalid(f'Bad "{name}" query filter format. Use ISO 8601 DateTime notation.') from None
    result: ColumnElement[bool] = compare(images.c[name], moment)
    return result


def _one_of(name: str, text: str) -> ColumnElement[bool]:
    word, found, rest = text.partition(":")
    if not found:
        return images.c[name] == text
    if word == "eq":
        return images.c[name] == rest
    if word != "in":
        raise Invalid(f"Unable to filter by unknown operator '{word}'.")
    return images.c[name].in_(split_quoted(rest))


def split_quoted(text: str) -> list[str]:
    """``a,"b,c",d`` as its three items; a backslash in quotes takes the next character as it is."""
    items = []
    at = 0
    while True:
        found = _ITEM.match(text, at)
        if found is None:
            raise Invalid(f"Invalid filter value {text}. There is no comma beside a quotation mark.")
        plain = found[2]
        items.append(re.sub(r"\\(.)", r"\1", found[1]) if plain is None else plain)
        at = found.end() + 1
        if at > len(text):
            return items
