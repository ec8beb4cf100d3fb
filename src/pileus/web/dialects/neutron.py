"""Neutron's dialect: ``{"NeutronError": {"type", "message", "detail"}}`` and neutron-lib's sentences.

Sources: the Networking API reference; neutron-lib ``attributes`` and
``validators``; the replies of a Neutron 29.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlencode

from pileus.core.errors import Fault, Forbidden, Invalid, Kind, PreconditionFailed
from pileus.web.dialects import Dialect
from pileus.web.listing import LARGEST, Listing, Sort, filter_condition, sortable, tag_conditions
from pileus.web.types import BadValue

if TYPE_CHECKING:
    from pileus.web.request import Request
    from pileus.web.resource import Resource
    from pileus.web.service import ApiVersion


class HTTPBadRequest(Invalid):
    """What Neutron's attribute checks raise; clients see the class's name."""


class InvalidInput(Invalid):
    """What neutron-lib's converters raise."""

    message = "Invalid input for operation: {reason}."


class PolicyNotAuthorized(Forbidden):
    """The policy refuses (403)."""

    message = "{rule} is disallowed by policy"


class BadRequest(Invalid):
    """What Neutron says of a bad part of the request that is no attribute (a limit, an If-Match)."""

    message = "Bad {resource} request: {msg}."


class RevisionNumberConstraintFailed(PreconditionFailed):
    """``If-Match: revision_number=N`` does not match (412)."""

    message = "Constrained to {wanted}, but current revision is {current}"


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
_TAGS = ("tags", "tags-any", "not-tags", "not-tags-any")


class NeutronDialect(Dialect):
    """The Networking API v2.0."""

    name = "neutron"
    bulk = True
    hides_refused_lists = True
    internal_message = "Request Failed: internal server error while processing your request."
    list_parameters: ClassVar[Mapping[str, Any]] = {
        "fields": {"type": "string"},
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

    def rule_name(self, resource: Resource, action: str) -> str:
        return f"{'get' if action == 'list' else action}_{resource.name}"

    def refused(self, rules: Sequence[str], reason: str) -> Fault:
        named = " and ".join(f"rule:{rule}" for rule in rules)
        return PolicyNotAuthorized(rule=f"({named})" if len(rules) > 1 else named)

    def unreadable(self, reason: str) -> Fault:
        return HTTPBadRequest(f"Body contains invalid data: {reason}")

    def no_object(self, resource: Resource, body: Any) -> Fault:
        if not isinstance(body, dict):
            return HTTPBadRequest("Body contains invalid data")
        if not body:
            return HTTPBadRequest("Resource body required")
        if resource.plural in body:
            if not resource.bulk:
                return HTTPBadRequest("Bulk operation not supported")
            return HTTPBadRequest("Resources required")
        if resource.name in body:
            return HTTPBadRequest(f"Object '{resource.name}' contains invalid data")
        return HTTPBadRequest(f"Unable to find '{resource.name}' in request body")

    def bad_value(self, name: str, value: Any, bad: BadValue) -> Fault:
        if bad.conversion:
            return InvalidInput(reason=bad.text)
        return HTTPBadRequest(f"Invalid input for {name}. Reason: {bad.text}.")

    def unknown(self, resource: Resource, names: Sequence[str], body: Any) -> Fault:
        return HTTPBadRequest(f"Unrecognized attribute(s) '{', '.join(names)}'")

    def read_only(self, resource: Resource, name: str, action: str, body: Any) -> Fault:
        if action == "create":
            return HTTPBadRequest(f"Attribute '{name}' not allowed in POST")
        return HTTPBadRequest(f"Cannot update read-only attribute {name}")

    def missing(self, resource: Resource, name: str, body: Any) -> Fault:
        return HTTPBadRequest(f"Failed to parse request. Required attribute '{name}' not specified")

    def wrong_revision(self, resource: Resource, key: str, wanted: int, current: int) -> Fault:
        return RevisionNumberConstraintFailed(wanted=wanted, current=current)

    def missing_marker(self, resource: Resource, marker: str) -> Fault:
        return resource.not_found(marker)

    def bad_part(self, part: str, text: str) -> Fault:
        return BadRequest(resource=part, msg=text)

    def foreign_project(self, text: str) -> Fault:
        return HTTPBadRequest(text)

    def listing(self, request: Request, resource: Resource) -> Listing:
        listing = Listing()
        keys, directions = [], []
        filters: dict[str, list[str]] = {}
        for name, text in request.query:
            if name == "fields":
                listing.fields.extend([text] if text else [])
            elif name == "limit":
                listing.limit = page_size(text)
            elif name == "marker":
                listing.marker = text or None
            elif name == "page_reverse":
                listing.reverse = text.lower() in ("true", "1")
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
            attribute = resource.resolve(name)
            if attribute is None or not attribute.filter:
                unknown.append(name)
                continue
            try:
                listing.where.append(filter_condition(resource, attribute, texts))
            except BadValue as bad:
                raise self.bad_value(name, texts, bad) from None
        if unknown:
            # the wording of the filter-validation extension
            raise HTTPBadRequest(f"{unknown} is invalid attribute for filtering")
        listing.sort = _sorts(resource, keys, directions)
        return listing

    def list_links(
        self, request: Request, resource: Resource, listing: Listing, keys: Sequence[str], more: bool
    ) -> dict[str, Any]:
        if listing.limit is None:
            return {}
        links = []
        kept = [(name, text) for name, text in request.query if name not in ("marker", "page_reverse")]
        here = request.path_url

        def link(rel: str, edge: Sequence[str], reverse: bool) -> dict[str, str]:
            marker = [("marker", edge[0])] if edge else []
            query = [*kept, *marker, *([("page_reverse", "True")] if reverse else [])]
            return {"rel": rel, "href": f"{here}?{urlencode(query)}"}

        # A link is left out only where the page shows that nothing can follow. An empty page behind the
        # last one leads back to the last one: "previous" without a marker counts from the end.
        if more or listing.reverse:
            links.append(link("next", keys[-1:], False))
        if more or not listing.reverse:
            links.append(link("previous", keys[:1], True))
        return {f"{resource.plural}_links": links} if links else {}

    def versions_document(
        self, request: Request, versions: Sequence[ApiVersion], base: str
    ) -> tuple[int, Any]:
        return 200, {"versions": [self.version_entry(version, base) for version in versions]}


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


NEUTRON = NeutronDialect()
