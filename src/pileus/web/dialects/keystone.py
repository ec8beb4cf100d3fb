"""Keystone's dialect: ``{"error": {"code", "message", "title"}}``, links on everything, ``name__contains``.

Source: Identity API v3 ("Filtering", "HTTP Status Codes"); the replies of a Keystone 30.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlencode

from sqlalchemy import ColumnElement, String, func, literal

from pileus.core.errors import Fault, Forbidden, Invalid, NotFound
from pileus.web.dialects import TITLES, Dialect
from pileus.web.listing import Listing, Sort, filter_condition, sortable
from pileus.web.types import BadValue

if TYPE_CHECKING:
    from pileus.web.request import Request
    from pileus.web.resource import Resource
    from pileus.web.service import ApiVersion

MAX_LIMIT = 1000
"""The largest page that can be asked for: Keystone's ``max_db_limit``."""
_COMPARISONS = ("contains", "startswith", "endswith", "equals")


class KeystoneDialect(Dialect):
    """The Identity API v3."""

    name = "keystone"
    update_method = "PATCH"
    projects_own = False
    internal_message = "An unexpected error prevented the server from fulfilling your request."
    list_parameters: ClassVar[Mapping[str, Any]] = {
        "limit": {"type": "integer", "minimum": 0},
        "marker": {"type": "string"},
        "sort_key": {"type": "string"},
        "sort_dir": {"enum": ["asc", "desc"]},
    }

    def error(self, status: int, fault: Fault, request_id: str) -> Any:
        return {"error": {"code": status, "message": fault.text, "title": TITLES[status]}}

    def rule_name(self, resource: Resource, action: str) -> str:
        name = resource.plural if action == "list" else resource.name
        return f"identity:{action}_{name}"

    def policy_names(self, resource: Resource, attribute: str) -> tuple[str, ...]:
        return (attribute, f"target.{resource.name}.{attribute}")

    def refused(self, rules: Sequence[str], reason: str) -> Fault:
        return Forbidden(f"You are not authorized to perform the requested action: {rules[-1]}.")

    def unreadable(self, reason: str) -> Fault:
        return Invalid(
            "The server could not comply with the request since it is either malformed or otherwise "
            f"incorrect. The client is assumed to be in error. ({reason})"
        )

    def no_object(self, resource: Resource, body: Any) -> Fault:
        if isinstance(body, dict) and resource.name in body:
            return self.bad_input(resource.name, None, f"{body[resource.name]!r} is not of type 'object'")
        return Invalid(
            f"Expecting to find {resource.name} in request body. The client is assumed to be in error."
        )

    def bad_value(self, name: str, value: Any, bad: BadValue) -> Fault:
        return self.bad_input("/".join([name, *map(str, bad.path)]), bad.value, bad.schema)

    def bad_input(self, name: str, value: Any, sentence: str) -> Fault:
        return Invalid(f"Invalid input for field '{name}': {sentence}")

    def unknown(self, resource: Resource, names: Sequence[str], body: Any) -> Fault:
        were = "was" if len(names) == 1 else "were"
        listed = ", ".join(repr(name) for name in names)
        return Invalid(f"Additional properties are not allowed ({listed} {were} unexpected)")

    def missing(self, resource: Resource, name: str, body: Any) -> Fault:
        return Invalid(f"{name!r} is a required property")

    def not_found_message(self, name: str, words: str) -> str:
        return f"Could not find {name.replace('_', ' ')}: {{id}}."

    def missing_marker(self, resource: Resource, marker: str) -> Fault:
        return NotFound(f"Marker {marker} could not be found.")

    def listing(self, request: Request, resource: Resource) -> Listing:
        listing = Listing()
        filters: dict[str, list[str]] = {}
        sort_key, descending = None, False
        for name, text in request.query:
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
            return _compared(resource.columns[attribute.name], comparison, texts)
        if attribute.type.schema.get("type") == "boolean":
            # a bare `?enabled` means true
            texts = [text or "true" for text in texts]
        try:
            return filter_condition(resource, attribute, texts)
        except BadValue as bad:
            raise self.bad_value(name, texts, bad) from None

    def decorate(self, request: Request, resource: Resource, view: dict[str, Any]) -> None:
        key = view.get(resource.key)
        if key is not None:
            href = f"{request.service_url}/v3/{resource.collection.replace('-', '_')}/{key}"
            view["links"] = {"self": href, **view.get("links", {})}

    def list_links(
        self, request: Request, resource: Resource, listing: Listing, keys: Sequence[str], more: bool
    ) -> dict[str, Any]:
        query = request.scope["query_string"].decode("latin-1")
        here = f"{request.path_url}?{query}" if query else request.path_url
        following = None
        if more and keys:
            kept = [(name, text) for name, text in request.query if name not in ("limit", "marker")]
            pairs = [*kept, ("limit", str(listing.limit)), ("marker", keys[-1])]
            following = f"{request.path_url}?{urlencode(pairs)}"
        links = {"links": {"next": following, "self": here, "previous": None}}
        return {**links, "truncated": True} if following else links

    def versions_document(
        self, request: Request, versions: Sequence[ApiVersion], base: str
    ) -> tuple[int, Any]:
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


KEYSTONE = KeystoneDialect()
