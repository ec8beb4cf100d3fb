"""How an API words its refusals and names its policy rules: all that a declaration knows of a service.

The base is what most OpenStack services have in common; the others are in ``wordings``, one file each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

from pileus.core.errors import Fault, Forbidden, Invalid, NotFound, PreconditionFailed
from pileus.resource.types import BadValue


class Named(Protocol):
    """The facts of a resource that a wording needs."""

    name: str
    plural: str
    collection: str
    bulk: bool

    def not_found(self, key: str) -> NotFound:
        """Make the error of a missing one."""
        ...


class Wording:
    """The words of one API."""

    name: ClassVar[str] = ""
    bulk: ClassVar[bool] = False
    wrapped: ClassVar[bool] = True
    """Whether one resource stands under its name (``{"port": {...}}``); Glance's stand bare."""
    update_method: ClassVar[str] = "PUT"
    create_status: ClassVar[int] = 201
    hides_refused_lists: ClassVar[bool] = False
    """Whether a caller whom the list rule refuses altogether gets an empty list rather than a 403."""
    takes_key: ClassVar[bool] = False
    """Whether an update's body may repeat the key of the path."""
    projects_own: ClassVar[bool] = True
    """Whether what has a ``project_id`` belongs to that project, so that only administrators name another."""

    def rule_name(self, resource: Named, action: str) -> str:
        """The policy rule of an action on a resource."""
        raise NotImplementedError

    def refused(self, rules: Sequence[str], reason: str) -> Fault:
        """Make the error for a caller whom the policy refuses; the first rule is the action's."""
        return Forbidden()

    def unreadable(self, reason: str) -> Fault:
        """The body is no JSON, or not of the outer form."""
        return Invalid("Malformed request body")

    def no_object(self, resource: Named, body: Any) -> Fault:
        """The body does not hold ``{name: {...}}``."""
        if isinstance(body, dict) and resource.name in body:
            one = body[resource.name]
            return self.bad_input(resource.name, one, f"{one!r} is not of type 'object'")
        return Invalid(f"Invalid input: {resource.name!r} is a required property")

    def bad_body(self, body: Any, bad: BadValue) -> Fault:
        """A body is not of the type that its operation declares."""
        if not bad.path:
            return self.unreadable(bad.schema)
        name, bad.path = str(bad.path[0]), bad.path[1:]
        return self.bad_value(name, bad.value, bad)

    def bad_value(self, name: str, value: Any, bad: BadValue) -> Fault:
        """An attribute's value is refused."""
        return self.bad_input(str(bad.path[-1]) if bad.path else name, bad.value, bad.schema)

    def bad_input(self, name: str, value: Any, sentence: str) -> Fault:
        """A JSON schema validator's sentence about a part of the body."""
        return Invalid(f"Invalid input for field/attribute {name}. Value: {value}. {sentence}")

    def unknown(self, resource: Named, names: Sequence[str], body: Any) -> Fault:
        """The body names attributes that the resource does not have."""
        were = "was" if len(names) == 1 else "were"
        listed = ", ".join(repr(name) for name in names)
        return self.bad_input(
            resource.name, body, f"Additional properties are not allowed ({listed} {were} unexpected)"
        )

    def too_many_additional(self, resource: Named, most: int) -> Fault:
        """The body has more attributes that nobody declared than are kept, or one of too long a name."""
        return Invalid(f"A {resource.name} has at most {most} additional properties")

    def changes_nothing(self, resource: Named) -> Fault | None:
        """An update names no attribute; None where that is taken."""
        return None

    def read_only(self, resource: Named, name: str, action: str, body: Any) -> Fault:
        """The attribute exists and may not be set in this action (``create`` or ``update``)."""
        return self.unknown(resource, [name], body)

    def changed_key(self, resource: Named) -> Fault:
        """An update's body has another key than the path."""
        return Invalid(f"Cannot change {resource.name} ID")

    def missing(self, resource: Named, name: str, body: Any) -> Fault:
        """A required attribute is not there."""
        return self.bad_input(resource.name, body, f"{name!r} is a required property")

    def bad_part(self, part: str, text: str) -> Fault:
        """A bad part of the request that is no attribute: a query parameter, a header."""
        return Invalid(text)

    def not_found_message(self, name: str, words: str) -> str:
        """The template of the error of a missing one, over ``{id}``."""
        return f"{words} {{id}} could not be found."

    def wrong_revision(self, resource: Named, key: str, wanted: int, current: int) -> Fault:
        """``If-Match`` asked for another revision."""
        return PreconditionFailed()

    def foreign_project(self, text: str) -> Fault:
        """Somebody who is no administrator names another project than his own."""
        return Invalid(text)

    def missing_marker(self, resource: Named, marker: str) -> Fault:
        """The marker of a list request is not there, or not visible."""
        return Invalid(f"marker [{marker}] not found")

    def policy_names(self, resource: Named, attribute: str, alias: str | None) -> tuple[str, ...]:
        """Under which names policy rules know an attribute of the target."""
        return (attribute, alias) if alias else (attribute,)
