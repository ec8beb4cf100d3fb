"""Refusals by the HTTP layer itself, before a handler is called."""

from __future__ import annotations

from pileus.core.errors import Fault, Kind


class MethodNotAllowed(Fault):
    """The path exists, the verb on it does not (405)."""

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
