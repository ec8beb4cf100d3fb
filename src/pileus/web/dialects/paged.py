"""The list language that Nova, Cinder and Glance share: filters, ``limit marker sort_key sort_dir sort``.

What the query names and the resource does not filter by is passed over in
silence, as these services do for callers who are no administrators.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import urlencode

from pileus.core.errors import Fault, Invalid
from pileus.resource.declaration import Resource
from pileus.resource.listing import LARGEST, Listing, Sort, filter_condition, sortable
from pileus.resource.types import BadValue
from pileus.web.dialects import Dialect
from pileus.web.head import Head

LANGUAGE = frozenset({"limit", "marker", "sort_key", "sort_dir", "sort", "fields", "offset"})


class PagedDialect(Dialect):
    """Nova, Cinder, Glance."""

    max_limit = 1000
    list_parameters: ClassVar[Mapping[str, Any]] = {
        "limit": {"type": "integer", "minimum": 0},
        "marker": {"type": "string"},
        "sort_key": {"type": "string"},
        "sort_dir": {"enum": ["asc", "desc"]},
        "sort": {"type": "string"},
    }

    def listing(self, head: Head, resource: Resource) -> Listing:
        listing = Listing()
        keys, directions = [], []
        filters: dict[str, list[str]] = {}
        for name, text in head.query:
            match name:
                case "limit":
                    listing.limit = self.limit(text)
                case "marker":
                    listing.marker = text or None
                case "sort_key":
                    keys.append(text)
                case "sort_dir":
                    directions.append(text)
                case "sort":
                    for part in text.split(","):
                        key, _, direction = part.partition(":")
                        keys.append(key.strip())
                        directions.append(direction.strip() or "desc")
                case _ if name not in LANGUAGE:
                    filters.setdefault(name, []).append(text)
        for name, texts in filters.items():
            attribute = resource.resolve(name)
            if attribute is not None and attribute.filter:
                try:
                    listing.where.append(filter_condition(resource, attribute, texts))
                except BadValue as bad:
                    raise self.bad_value(name, texts, bad) from None
        listing.sort = self.sorts(resource, keys, directions)
        return listing

    def limit(self, text: str) -> int:
        """A page's size; raises Invalid. Zero is an empty page."""
        if not text.isascii() or not text.isdigit():
            raise Invalid(self.bad_limit(text))
        return min(int(text[:12]), LARGEST)

    def bad_limit(self, text: str) -> str:
        """Say what is wrong with a limit."""
        return (
            f"Invalid input for query parameters limit. Value: {text}. limit must be a non-negative integer"
        )

    def sorts(self, resource: Resource, keys: Sequence[str], directions: Sequence[str]) -> list[Sort]:
        """The order asked for; a missing direction repeats the one before it, the first being descending.

        A direction without a key is that of the usual order's first key.
        """
        if directions and not keys and resource.default_sort:
            keys = [resource.default_sort[0][0]]
        sorts = []
        direction = "desc"
        for position, key in enumerate(keys):
            if position < len(directions):
                direction = directions[position]
            if direction not in ("asc", "desc"):
                raise Invalid(f"Unknown sort direction: {direction}, must be 'asc' or 'desc'")
            if not sortable(resource, key):
                raise Invalid(f"Sort key supplied was not valid: {key}")
            sorts.append(Sort(key, direction == "desc"))
        return sorts

    def next_link(self, head: Head, marker: str) -> str:
        """Path and query of the page after ``marker``."""
        kept = [(name, text) for name, text in head.query if name != "marker"]
        return f"{head.path_url}?{urlencode([*kept, ('marker', marker)])}"

    def list_links(
        self, head: Head, resource: Resource, listing: Listing, keys: Sequence[str], more: bool
    ) -> dict[str, Any]:
        if not more or not keys:
            return {}
        return {f"{resource.plural}_links": [{"rel": "next", "href": self.next_link(head, keys[-1])}]}


FAULT_NAMES = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    429: "overLimit",
    501: "notImplemented",
    503: "serviceUnavailable",
}


def compute_fault(status: int, fault: Fault) -> dict[str, Any]:
    """``{"itemNotFound": {"code": 404, "message": "…"}}``, the form of Nova and Cinder."""
    return {FAULT_NAMES.get(status, "computeFault"): {"code": status, "message": fault.text}}
