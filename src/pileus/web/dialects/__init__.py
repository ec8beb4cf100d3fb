"""Dialects: how each OpenStack API words its errors and its conventions, one file each.

Everything else in ``web`` is the same for all services; what differs is asked of
the service's :class:`Dialect`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pileus.core.errors import Fault, Forbidden, Invalid, Kind, PreconditionFailed
from pileus.web.reply import Reply
from pileus.web.types import BadValue

if TYPE_CHECKING:
    from pileus.web.listing import Listing
    from pileus.web.request import Request
    from pileus.web.resource import Resource
    from pileus.web.service import ApiVersion

STATUS: dict[Kind, int] = {
    Kind.INVALID: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.METHOD_NOT_ALLOWED: 405,
    Kind.NOT_ACCEPTABLE: 406,
    Kind.CONFLICT: 409,
    Kind.OVER_QUOTA: 409,
    Kind.PRECONDITION: 412,
    Kind.TOO_LARGE: 413,
    Kind.UNSUPPORTED_MEDIA: 415,
    Kind.REQUEST_TIMEOUT: 408,
    Kind.TOO_MANY: 429,
    Kind.INTERNAL: 500,
    Kind.UNAVAILABLE: 503,
}

TITLES: dict[int, str] = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    408: "Request Timeout",
    409: "Conflict",
    412: "Precondition Failed",
    413: "Request Entity Too Large",
    415: "Unsupported Media Type",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class MethodNotAllowed(Fault):
    """The path is there, the verb is not (405)."""

    kind = Kind.METHOD_NOT_ALLOWED
    message = "The method {method} is not allowed for this resource."


class NotAcceptable(Fault):
    """The microversion asked for is not served (406)."""

    kind = Kind.NOT_ACCEPTABLE


class BodyTooLarge(Fault):
    """The body is longer than this server takes (413)."""

    kind = Kind.TOO_LARGE
    message = "Request is too large."


class UnsupportedMediaType(Fault):
    """The body is of a type that this route does not read (415)."""

    kind = Kind.UNSUPPORTED_MEDIA
    message = "The server does not support the content type of the request body, or there is none."


class Dialect:
    """The conventions of one API; the base is what most services have in common."""

    name: ClassVar[str] = ""
    statuses: ClassVar[Mapping[Kind, int]] = STATUS
    bulk: ClassVar[bool] = False
    wrapped: ClassVar[bool] = True
    """Whether one resource stands under its name (``{"port": {...}}``); Glance's stand bare."""
    update_method: ClassVar[str] = "PUT"
    create_status: ClassVar[int] = 201
    strict_media: ClassVar[bool] = False
    """Whether a body that is not called JSON is refused with 415."""
    hides_refused_lists: ClassVar[bool] = False
    """Whether a caller whom the list rule refuses altogether gets an empty list rather than a 403."""
    projects_own: ClassVar[bool] = True
    """Whether what has a ``project_id`` belongs to that project, so that only administrators name another."""
    request_id_header: ClassVar[bytes | None] = None
    """A second name, older than X-OpenStack-Request-Id, under which replies carry the request's id."""
    list_parameters: ClassVar[Mapping[str, Any]] = {
        "limit": {"type": "integer", "minimum": 0},
        "marker": {"type": "string"},
    }
    """The list language's own parameters, for OpenAPI."""
    default_limit: ClassVar[int | None] = None
    """The size of a page where the request names none; None is no bound."""
    max_limit: ClassVar[int | None] = None
    internal_message: ClassVar[str] = (
        "The server has either erred or is incapable of performing the requested operation."
    )

    def status(self, fault: Fault) -> int:
        """The HTTP status of a fault."""
        return self.statuses.get(fault.kind) or STATUS[fault.kind]

    def error(self, status: int, fault: Fault, request_id: str) -> Any:
        """The JSON document of a fault."""
        raise NotImplementedError

    def error_reply(self, status: int, fault: Fault, request_id: str, accept: str) -> Reply:
        """The reply to a fault; ``accept`` is the request's header."""
        return Reply.json(self.error(status, fault, request_id), status)

    def rule_name(self, resource: Resource, action: str) -> str:
        """The policy rule of an action on a resource."""
        raise NotImplementedError

    def refused(self, rules: Sequence[str], reason: str) -> Fault:
        """What a caller is told whom the policy refuses; the first rule is the action's."""
        return Forbidden()

    def unreadable(self, reason: str) -> Fault:
        """The body is no JSON, or not of the outer form."""
        return Invalid("Malformed request body")

    def no_object(self, resource: Resource, body: Any) -> Fault:
        """The body does not hold ``{name: {...}}``."""
        if isinstance(body, dict) and resource.name in body:
            one = body[resource.name]
            return self.bad_input(resource.name, one, f"{one!r} is not of type 'object'")
        return Invalid(f"Invalid input: {resource.name!r} is a required property")

    def bad_value(self, name: str, value: Any, bad: BadValue) -> Fault:
        """An attribute's value is refused."""
        return self.bad_input(str(bad.path[-1]) if bad.path else name, bad.value, bad.schema)

    def bad_input(self, name: str, value: Any, sentence: str) -> Fault:
        """A JSON schema validator's sentence about a part of the body."""
        return Invalid(f"Invalid input for field/attribute {name}. Value: {value}. {sentence}")

    def unknown(self, resource: Resource, names: Sequence[str], body: Any) -> Fault:
        """The body names attributes that the resource does not have."""
        were = "was" if len(names) == 1 else "were"
        listed = ", ".join(repr(name) for name in names)
        return self.bad_input(
            resource.name, body, f"Additional properties are not allowed ({listed} {were} unexpected)"
        )

    def read_only(self, resource: Resource, name: str, action: str, body: Any) -> Fault:
        """The attribute exists and may not be set in this action (``create`` or ``update``)."""
        return self.unknown(resource, [name], body)

    def missing(self, resource: Resource, name: str, body: Any) -> Fault:
        """A required attribute is not there."""
        return self.bad_input(resource.name, body, f"{name!r} is a required property")

    def bad_part(self, part: str, text: str) -> Fault:
        """A bad part of the request that is no attribute: a query parameter, a header."""
        return Invalid(text)

    def not_found_message(self, name: str, words: str) -> str:
        """The template of the error of a missing one, over ``{id}``."""
        return f"{words} {{id}} could not be found."

    def wrong_revision(self, resource: Resource, key: str, wanted: int, current: int) -> Fault:
        """``If-Match`` asked for another revision."""
        return PreconditionFailed()

    def foreign_project(self, text: str) -> Fault:
        """Somebody who is no administrator names another project than his own."""
        return Invalid(text)

    def policy_names(self, resource: Resource, attribute: str) -> tuple[str, ...]:
        """Under which names policy rules know an attribute of the target."""
        alias = resource.attributes[attribute].alias
        return (attribute, alias) if alias else (attribute,)

    def listing(self, request: Request, resource: Resource) -> Listing:
        """What a list request asks for, from its query."""
        raise NotImplementedError

    def missing_marker(self, resource: Resource, marker: str) -> Fault:
        """The marker of a list request is not there, or not visible."""
        return Invalid(f"marker [{marker}] not found")

    def decorate(self, request: Request, resource: Resource, view: dict[str, Any]) -> None:
        """Add what the service adds to each view (Keystone's ``links``)."""

    def list_links(
        self, request: Request, resource: Resource, listing: Listing, keys: Sequence[str], more: bool
    ) -> dict[str, Any]:
        """What stands beside the list (``ports_links``); ``more``: the page is full, others may follow."""
        return {}

    def versions_document(
        self, request: Request, versions: Sequence[ApiVersion], base: str
    ) -> tuple[int, Any]:
        """Status and document at the root of the service."""
        return 300, {"versions": [self.version_entry(version, base) for version in versions]}

    def version_document(self, request: Request, version: ApiVersion, base: str) -> Any:
        """The document of one version."""
        return {"version": self.version_entry(version, base)}

    def version_entry(self, version: ApiVersion, base: str) -> dict[str, Any]:
        """One version in either document."""
        entry: dict[str, Any] = {"id": version.id, "status": version.status}
        if version.updated:
            entry["updated"] = version.updated
        if version.min_version or version.max_version or version.shows_window:
            entry["min_version"] = version.min_version
            entry["version"] = version.max_version
        entry["links"] = [{"rel": "self", "href": f"{base}{version.path.rstrip('/')}/"}]
        if version.media_types:
            entry["media-types"] = [
                {"base": "application/json", "type": media_type} for media_type in version.media_types
            ]
        return entry
