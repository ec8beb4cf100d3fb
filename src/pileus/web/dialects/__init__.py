"""Dialects: how each OpenStack API words its errors and its conventions, one file each.

Everything else in ``web`` is the same for all services; what differs is asked of
the service's :class:`Dialect`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pileus.core.errors import Fault, Kind
from pileus.resource.declaration import Resource
from pileus.resource.listing import Listing
from pileus.resource.types import Type
from pileus.resource.wording import Wording
from pileus.web.head import Head
from pileus.web.reply import Reply

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


@dataclass(frozen=True, slots=True)
class ApiVersion:
    """One line of a service's version document.

    ``path`` is below the service's prefix (``/v2.0``); ``status`` is CURRENT,
    SUPPORTED, DEPRECATED or stable; ``shows_window`` prints the microversion
    bounds even when they are empty, as Nova's v2.0 does.
    """

    id: str
    path: str
    status: str = "CURRENT"
    updated: str = ""
    min_version: str = ""
    max_version: str = ""
    media_types: tuple[str, ...] = ()
    shows_window: bool = False


class Dialect(Wording):
    """The conventions of one API; the base is what most services have in common."""

    statuses: ClassVar[Mapping[Kind, int]] = STATUS
    strict_media: ClassVar[bool] = False
    """Whether a body that is not called JSON is refused with 415."""
    either_spelling: ClassVar[bool] = False
    """Whether names of collections may have dashes or underscores, whichever a client writes."""
    slash_names_nothing: ClassVar[bool] = False
    """Whether a verb that a collection does not have is one for a thing without a name (404) where the path
    ends with a slash."""
    request_id_header: ClassVar[bytes | None] = None
    """A second name, older than X-OpenStack-Request-Id, under which replies carry the request's id."""
    list_parameters: ClassVar[Mapping[str, Any]] = {
        "limit": {"type": "integer", "minimum": 0},
        "marker": {"type": "string"},
    }
    """The list language's own parameters, for OpenAPI."""
    default_limit: int | None = None
    """The size of a page where the request names none; None is no bound."""
    max_limit: ClassVar[int | None] = None
    looks_ahead: ClassVar[bool] = False
    """Whether a page is said to have a successor only if one more row is there; else a full page is."""
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

    def parse(self, head: Head, kind: Type, value: Any) -> Any:
        """Check a body, or a part of one, against a declared type. Raises BadValue."""
        return kind.parse(value)

    def listing(self, head: Head, resource: Resource) -> Listing:
        """Read what a list request asks for, from its query."""
        raise NotImplementedError

    def decorator(self, head: Head, resource: Resource) -> Callable[[dict[str, Any]], None] | None:
        """Make the function that adds what the service adds to each view (Keystone's ``links``), if it adds
        something; it is made once for all views of a reply."""
        return None

    def list_links(
        self, head: Head, resource: Resource, listing: Listing, keys: Sequence[str], more: bool
    ) -> dict[str, Any]:
        """Make what stands beside the list (``ports_links``); ``more``: the page is full, others may
        follow."""
        return {}

    def versions_document(self, head: Head, versions: Sequence[ApiVersion], base: str) -> tuple[int, Any]:
        """Status and document at the root of the service."""
        return 300, {"versions": [self.version_entry(version, base) for version in versions]}

    def version_document(self, head: Head, version: ApiVersion, base: str) -> Any:
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
