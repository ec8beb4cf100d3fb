"""Keystone's dialect: ``{"error": {"code", "message", "title"}}``, links on everything, ``name__contains``.

Source: Identity API v3 ("Filtering", "HTTP Status Codes"); the replies of a Keystone 30.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import urlencode

from sqlalchemy import ColumnElement, String, func, literal

from pileus.core.errors import Fault, Invalid
from pileus.resource.declaration import Resource
from pileus.resource.listing import Listing, Sort, filter_condition, sortable
from pileus.resource.types import BadValue
from pileus.resource.wordings.keystone import KeystoneWording
from pileus.web.dialects import TITLES, ApiVersion, Dialect
from pileus.web.head import Head

MAX_LIMIT = 1000
"""The largest page that can be asked for: Keystone's ``max_db_limit``."""
_COMPARISONS = ("contains", "startswith", "endswith", "equals", "exact")


class KeystoneDialect(KeystoneWording, Dialect):
    """The Identity API v3."""

    internal_message = "An unexpected error prevented the server from fulfilling your request."
    looks_ahead = True
    list_parameters: ClassVar[Mapping[str, Any]] = {
        "limit": {"type": "integer", "minimum": 0},
        "marker": {"type": "string"},
        "sort_key": {"type": "string"},
        "sort_dir": {"enum": ["asc", "desc"]},
    }

    def error(self, status: int, fault: Fault, request_id: str) -> Any:
        return {"error": {"code": status, "message": fault.text, "title": TITLES[status]}}

    def listing(self, head: Head, resource: Resource) -> Listing:
        listing = Listing()
        filters: dict[str, list[str]] = {}
        sort_key, descending = None, False
        for name, text in head.query:
            match name:
                case "limit":
                    listing.limit = _limit(text)
                case "marker":
                    listing.marker = text or None
                case "sort_key":
                    sort_key = text
                case "sort_dir":
                    descending = text == "desc"
                case _:
                    filters.setdefault(name, []).append(text)
        if sort_key and sortable(resource, sort_key):
            listing.sort = [Sort(sort_key, descending)]
        for name, texts in filters.items():
            condition = self._condition(resource, name, texts)
            if condition is not None:
                listing.where.append(condition)
        return listing

    def _condition(self, resource: Resource, name: str, texts: Sequence[str]) -> ColumnElement[bool] | None:
        own, _, comparison = name.partition("__")
        attribute = resource.resolve(own)
        if attribute is None or not attribute.filter:
            return None
        if comparison:
            column = resource.columns[attribute.name]
            # only texts are compared so
            return _compared(column, comparison, texts) if column.type.python_type is str else None
        if attribute.type.schema.get("type") == "boolean":
            # a bare `?enabled` means true
            texts = [text or "true" for text in texts]
        try:
            return filter_condition(resource, attribute, texts)
        except BadValue as bad:
            raise self.bad_value(name, texts, bad) from None

    def decorator(self, head: Head, resource: Resource) -> Callable[[dict[str, Any]], None] | None:
        base = f"{head.service_url}/v3/{resource.collection.replace('-', '_')}/"
        key_name = resource.key

        def decorate(view: dict[str, Any]) -> None:
            key = view.get(key_name)
            if key is not None:
                view["links"] = {"self": base + key, **view.get("links", {})}

        return decorate

    def list_links(
        self, head: Head, resource: Resource, listing: Listing, keys: Sequence[str], more: bool
    ) -> dict[str, Any]:
        query = head.scope["query_string"].decode("latin-1")
        here = f"{head.path_url}?{query}" if query else head.path_url
        following = None
        if more and keys:
            kept = [(name, text) for name, text in head.query if name not in ("limit", "marker")]
            pairs = [*kept, ("limit", str(listing.limit)), ("marker", keys[-1])]
            following = f"{head.path_url}?{urlencode(pairs)}"
        links = {"links": {"next": following, "self": here, "previous": None}}
        return {**links, "truncated": True} if following else links

    def versions_document(self, head: Head, versions: Sequence[ApiVersion], base: str) -> tuple[int, Any]:
        return 300, {"versions": {"values": [self.version_entry(version, base) for version in versions]}}


def _limit(text: str) -> int | None:
    if not text.isascii() or not text.isdigit():
        raise Invalid(f"Invalid input for field 'limit': {text!r} is not of type 'integer'")
    return min(int(text[:12]), MAX_LIMIT) or None


def _compared(
    column: ColumnElement[Any], comparison: str, texts: Sequence[str]
) -> ColumnElement[bool] | None:
    """``name__icontains=x`` and its kin: the last text counts, ``i`` is for any case; None where unknown."""
    text = texts[-1]
    any_case = comparison.startswith("i")
    comparison = comparison.removeprefix("i")
    if comparison not in _COMPARISONS:
        return None
    side: ColumnElement[Any] = func.lower(column) if any_case else column
    wanted = text.lower() if any_case else text
    if not wanted:
        return column.is_not(None)
    match comparison:
        case "contains":
            return _holds(side, wanted)
        case "startswith":
            return func.substr(side, 1, len(wanted)) == wanted
        case "endswith":
            return _holds(side + literal(_END, String), wanted + _END)
        case _:
            return side == wanted


_END = "\x01"


def _holds(side: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    """LIKE does not know a letter's case on SQLite; what replaces does, on all three databases."""
    return func.replace(side, text, "", type_=String) != side


KEYSTONE_API = KeystoneDialect()
