"""Errors that several nouns of identity share, in Keystone's words (``keystone.exception``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.core.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated


class ValidationError(Invalid):
    """The values of a request contradict each other or the state (400)."""


class SchemaValidationError(Invalid):
    """A request's body is not of the form that the API reference gives (400)."""


class ValidationTimeStampError(Invalid):
    """A time is not written as one (400)."""

    message = (
        "Timestamp not in expected format. The server could not comply with the request since it is either "
        "malformed or otherwise incorrect. The client is assumed to be in error."
    )


class InvalidOperatorError(Invalid):
    """A filter compares with a word that is none (400)."""

    message = (
        "The given operator {operator} is not valid. It must be one of the following: 'eq', 'neq', 'lt', "
        "'lte', 'gt', or 'gte'."
    )


class ForbiddenNotSecurity(Forbidden):
    """A rule of the service forbids it, whoever asks (403); the reason is shown."""


class Unauthorized(Unauthenticated):
    """Keystone's 401: the same sentence for every reason, so that clients learn nothing from it.

    ``reason`` is for the log.
    """

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class Refused(Forbidden):
    """Keystone's 403 that tells no reason, which clients would learn from.

    ``reason`` is for the log.
    """

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class TokenNotFound(NotFound):
    """There is no such token, or it has ended (404)."""

    message = "Failed to validate token"


class NameTaken(Conflict):
    """Something of the kind has the name already (409)."""

    message = "Conflict occurred attempting to store {type} - {details}."

    def __init__(self, kind: str, values: Mapping[str, Any]) -> None:
        details = f"Duplicate entry found with name {values['name']}"
        if values.get("domain_id"):
            details += f" at domain ID {values['domain_id']}"
        super().__init__(type=kind, details=details)


class DomainNotFound(NotFound):
    """There is no such domain (404)."""

    message = "Could not find domain: {id}."


class ProjectNotFound(NotFound):
    """There is no such project (404)."""

    message = "Could not find project: {id}."


class UserNotFound(NotFound):
    """There is no such user (404)."""

    message = "Could not find user: {id}."


class GroupNotFound(NotFound):
    """There is no such group (404)."""

    message = "Could not find group: {id}."


class RoleNotFound(NotFound):
    """There is no such role (404)."""

    message = "Could not find role: {id}."


class RegionNotFound(NotFound):
    """There is no such region (404)."""

    message = "Could not find region: {id}."


class ServiceNotFound(NotFound):
    """There is no such service (404)."""

    message = "Could not find service: {id}."


class EndpointNotFound(NotFound):
    """There is no such endpoint (404)."""

    message = "Could not find endpoint: {id}."
