"""Errors of the domain: each carries a stable code, a kind and a message for people.

Only ``web`` knows what HTTP status a kind becomes, and which JSON shape a
service of OpenStack gives it. A noun declares its errors beside itself::

    class PortNotFound(NotFound):
        message = "Port {port_id} could not be found."

    raise PortNotFound(port_id=port_id)
"""

from __future__ import annotations

import enum
from typing import Any, ClassVar


class Kind(enum.Enum):
    """The kind of an error, from the caller's point of view."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    OVER_QUOTA = "over_quota"
    PRECONDITION = "precondition"
    TOO_LARGE = "too_large"
    NOT_ACCEPTABLE = "not_acceptable"
    UNSUPPORTED_MEDIA = "unsupported_media"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    REQUEST_TIMEOUT = "request_timeout"
    TOO_MANY = "too_many"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


class Fault(Exception):
    """A refusal or failure that may be shown to the caller.

    ``code`` is stable and is the class's name unless said otherwise (Neutron's
    clients match on it); ``values`` are those that fill the message.
    """

    kind: ClassVar[Kind] = Kind.INTERNAL
    message: ClassVar[str] = "An unexpected error occurred."
    retry_after_s: int | None = None
    """When trying again may help, where that is known (``Retry-After``)."""

    def __init__(self, text: str | None = None, /, **values: Any) -> None:
        self.values = values
        self.text = text if text is not None else self.message.format(**values)
        super().__init__(self.text)

    @property
    def code(self) -> str:
        """The stable name of this error, for example ``PortNotFound``."""
        return type(self).__name__


class Invalid(Fault):
    """The request can't be understood or breaks a rule (400)."""

    kind = Kind.INVALID
    message = "The request is not valid."


class Unauthenticated(Fault):
    """No valid credentials came with the request (401)."""

    kind = Kind.UNAUTHENTICATED
    message = "The request you have made requires authentication."


class Forbidden(Fault):
    """The caller is known and may not do this (403)."""

    kind = Kind.FORBIDDEN
    message = "You are not authorized to perform the requested action."


class NotFound(Fault):
    """The thing does not exist, or the caller may not see it (404)."""

    kind = Kind.NOT_FOUND
    message = "The resource could not be found."


class Conflict(Fault):
    """The request fights the present state (409)."""

    kind = Kind.CONFLICT
    message = "The request conflicts with the present state."


class OverQuota(Fault):
    """A quota of the project would be exceeded (409 in Neutron, 403 in Nova, 413 in Cinder)."""

    kind = Kind.OVER_QUOTA
    message = "Quota exceeded for resources: {overs}."


class PreconditionFailed(Fault):
    """An ``If-Match`` did not match (412)."""

    kind = Kind.PRECONDITION
    message = "The resource has changed since it was read."


class Unavailable(Fault):
    """A part that is needed does not answer now; trying again may help (503)."""

    kind = Kind.UNAVAILABLE
    message = "A part that is needed does not answer now."


class NotYet(Unavailable):
    """Another part of this very machine is not there yet: asking again soon costs nobody anything."""

    message = "A part of this machine is not there yet."


class TooMany(Fault):
    """The caller asks for more than is given to one at a time (429)."""

    kind = Kind.TOO_MANY
    message = "Too many requests. Try again later."
    retry_after_s = 1


class UploadRefused(Fault):
    """The server will not take what was sent; ``status`` says why."""

    message = "The server refuses {path}: status {status}"

    def __init__(self, path: str, status: int) -> None:
        super().__init__(path=path, status=status)
        self.status = status
