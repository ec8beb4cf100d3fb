"""Neutron's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pileus.core.errors import Fault, Forbidden, Invalid, PreconditionFailed
from pileus.resource.types import BadValue
from pileus.resource.wording import Named, Wording


class HTTPBadRequest(Invalid):
    """Raised by Neutron's attribute checks; clients see the class's name."""


class InvalidInput(Invalid):
    """Raised by neutron-lib's converters."""

    message = "Invalid input for operation: {reason}."


class PolicyNotAuthorized(Forbidden):
    """The policy refuses (403)."""

    message = "{rule} is disallowed by policy"


class BadRequest(Invalid):
    """A bad part of the request that is no attribute (a limit, an If-Match), as Neutron says it."""

    message = "Bad {resource} request: {msg}."


class RevisionNumberConstraintFailed(PreconditionFailed):
    """``If-Match: revision_number=N`` does not match (412)."""

    message = "Constrained to {wanted}, but current revision is {current}"


class NeutronWording(Wording):
    """The Networking API v2.0."""

    name = "neutron"
    bulk = True
    hides_refused_lists = True

    def rule_name(self, resource: Named, action: str) -> str:
        return f"{'get' if action == 'list' else action}_{resource.name}"

    def refused(self, rules: Sequence[str], reason: str) -> Fault:
        named = " and ".join(f"rule:{rule}" for rule in rules)
        return PolicyNotAuthorized(rule=f"({named})" if len(rules) > 1 else named)

    def unreadable(self, reason: str) -> Fault:
        return HTTPBadRequest(f"Body contains invalid data: {reason}")

    def no_object(self, resource: Named, body: Any) -> Fault:
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

    def unknown(self, resource: Named, names: Sequence[str], body: Any) -> Fault:
        return HTTPBadRequest(f"Unrecognized attribute(s) '{', '.join(names)}'")

    def read_only(self, resource: Named, name: str, action: str, body: Any) -> Fault:
        if action == "create":
            return HTTPBadRequest(f"Attribute '{name}' not allowed in POST")
        return HTTPBadRequest(f"Cannot update read-only attribute {name}")

    def missing(self, resource: Named, name: str, body: Any) -> Fault:
        return HTTPBadRequest(f"Failed to parse request. Required attribute '{name}' not specified")

    def wrong_revision(self, resource: Named, key: str, wanted: int, current: int) -> Fault:
        return RevisionNumberConstraintFailed(wanted=wanted, current=current)

    def missing_marker(self, resource: Named, marker: str) -> Fault:
        return resource.not_found(marker)

    def bad_part(self, part: str, text: str) -> Fault:
        return BadRequest(resource=part, msg=text)

    def foreign_project(self, text: str) -> Fault:
        return HTTPBadRequest(text)


NEUTRON = NeutronWording()
