"""Neutron's dialect: ``{"NeutronError": {"type", "message", "detail"}}`` and neutron-lib's sentences.

Sources: the Networking API reference; neutron-lib ``attributes`` and
``validators``; the replies of a Neutron 29.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import urlencode

from pileus.core.errors import Fault, Kind
from pileus.resource.declaration import Resource
from pileus.resource.listing import LARGEST, Listing, Sort, filter_condition, sortable, tag_conditions
from pileus.resource.types import BadValue, timestamp
from pileus.resource.wordings.neutron import BadRequest, HTTPBadRequest, InvalidInput, NeutronWording
from pileus.web.dialects import ApiVersion, Dialect
from pileus.web.head import Head

_TYPES = {
    Kind.UNAUTHENTICATED: "HTTPUnauthorized",
    Kind.METHOD_NOT_ALLOWED: "HTTPMethodNotAllowed",
    Kind.TOO_LARGE: "HTTPRequestEntityTooLarge",
    Kind.UNSUPPORTED_MEDIA: "HTTPUnsupportedMediaType",
    Kind.INTERNAL: "HTTPInternalServerError",
}
_PLAIN = {
    "NotFound": "HTTPNotFound",
    "Invalid": "HTTPBadRequest",
    "Forbidden": "HTTPForbidden",
    "Conflict": "HTTPConflict",
}
CHANGED_SINCE = "changed_since"
_TAGS = ("tags", "tags-any", "not-tags", "not-tags-any")


class NeutronDialect(NeutronWording, Dialect):
    """The Networking API v2.0."""

    either_spelling = True
    internal_message = "Request Failed: internal server error while processing your request."
    list_parameters: ClassVar[Mapping[str, Any]] = {
        "fields": {"type": "string"},
        "changed_since": {"type": "string", "format": "date-time"},
        "limit": {"type": "integer", "minimum": 0},
        "marker": {"type": "string"},
        "page_reverse": {"type": "boolean"},
        "sort_key": {"type": "string"},
        "sort_dir": {"enum": ["asc", "desc"]},
    }

    def error(self, status: int, fault: Fault, request_id: str) -> Any:
        if fault.kind is Kind.UNAUTHENTICATED:
            # keystonemiddleware answers in front of Neutron, in its own form
            return {"error": {"code": status, "title": "Unauthorized", "message": fault.text}}
        code = _TYPES.get(fault.kind) or _PLAIN.get(fault.code, fault.code)
        return {"NeutronError": {"type": code, "message": fault.text, "detail": ""}}

    def listing(self, head: Head, resource: Resource) -> Listing:
        listing = Listing()
        keys, directions = [], []
        filters: dict[str, list[str]] = {}
        for name, text in head.query:
            if name == "fields":
                listing.fields.extend([text] if text else [])
            elif name == "limit":
                listing.limit = page_size(text)
            elif name == "marker":
                listing.marker = text or None
            elif name == "page_reverse":
                listing.reverse = text.lower() == "true"
            elif name == "sort_key":
                keys.extend([text] if text else [])
            elif name == "sort_dir":
                directions.extend([text] if text else [])
            else:
                filters.setdefault(name, []).append(text)
        unknown = []
        for name, texts in filters.items():
            if name in _TAGS and resource.resolve("tags") is not None:
                listing.where.extend(tag_conditions(resource, name, texts))
                continue
            if name == CHANGED_SINCE and "updated_at" in resource.columns:
                listing.where.append(resource.columns["updated_at"] >= moment_of(texts[0]))
                continue
            attribute = resource.resolve(name)
            if attribute is None or not attribute.filter:
                unknown.append(name)
                continue
            try:
                listing.where.append(filter_condition(resource, attribute, texts, head.caller))
            except BadValue as bad:
                raise self.bad_value(name, texts, bad) from None
        if unknown:
            # the wording of the filter-validation extension
            raise HTTPBadRequest(f"{unknown} is invalid attribute for filtering")
        listing.sort = _sorts(resource, keys, directions)
        return listing

    def list_links(
        self, head: Head, resource: Resource, listing: Listing, keys: Sequence[str], more: bool
    ) -> dict[str, Any]:
        if listing.limit is None:
            return {}
        links = page_links(head, keys, more=more, reverse=listing.reverse)
        return {f"{resource.plural}_links": links} if links else {}

    def versions_document(self, head: Head, versions: Sequence[ApiVersion], base: str) -> tuple[int, Any]:
        return 200, {"versions": [self.version_entry(version, base) for version in versions]}


def page_links(head: Head, keys: Sequence[str], *, more: bool, reverse: bool) -> list[dict[str, str]]:
    """Links to the pages around one; ``keys`` are what markers are, in the page's order."""
    kept = [(name, text) for name, text in head.query if name not in ("marker", "page_reverse")]

    def link(rel: str, edge: Sequence[str], back: bool) -> dict[str, str]:
        marker = [("marker", edge[0])] if edge else []
        query = [*kept, *marker, *([("page_reverse", "True")] if back else [])]
        return {"rel": rel, "href": f"{head.path_url}?{urlencode(query)}"}

    # A link is left out only where the page shows that nothing can follow. An empty page behind the
    # last one leads back to the last one: "previous" without a marker counts from the end.
    links = [link("next", keys[-1:], False)] if more or reverse else []
    return [*links, link("previous", keys[:1], True)] if more or not reverse else links


def moment_of(text: str) -> dt.datetime:
    """The moment that ``changed_since`` names."""
    try:
        moment: dt.datetime = timestamp.parse(text)
    except BadValue:
        raise InvalidInput(
            reason=f"The input {CHANGED_SINCE} must be in the following format: YYYY-MM-DDTHH:MM:SSZ"
        ) from None
    return moment


def page_size(text: str) -> int | None:
    """The limit that a query names; None where it is 0, which asks for all."""
    try:
        limit = int(text)
    except ValueError:
        limit = -1
    if limit < 0:
        raise BadRequest(resource="limit", msg=f"Limit must be an integer 0 or greater and not '{text}'")
    return min(limit, LARGEST) or None


def _sorts(resource: Resource, keys: Sequence[str], directions: Sequence[str]) -> list[Sort]:
    if len(keys) != len(directions):
        raise HTTPBadRequest("The number of sort_keys and sort_dirs must be same")
    absent = [name for name in keys if not sortable(resource, name)]
    if absent:
        raise HTTPBadRequest(f"{absent} is invalid attribute for sort_keys")
    wrong = [direction for direction in directions if direction not in ("asc", "desc")]
    if wrong:
        raise HTTPBadRequest(f"{wrong} is invalid value for sort_dirs, valid value is 'asc' and 'desc'")
    return [Sort(name, direction == "desc") for name, direction in zip(keys, directions, strict=True)]


NEUTRON_API = NeutronDialect()
