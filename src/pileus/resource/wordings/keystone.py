"""Keystone's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pileus.core.errors import Fault, Forbidden, Invalid, NotFound
from pileus.resource.types import BadValue
from pileus.resource.wording import Named, Wording


class KeystoneWording(Wording):
    """The Identity API v3."""

    name = "keystone"
    update_method = "PATCH"
    projects_own = False
    takes_key = True

    def rule_name(self, resource: Named, action: str) -> str:
        name = resource.plural if action == "list" else resource.name
        return f"identity:{action}_{name}"

    def policy_names(self, resource: Named, attribute: str, alias: str | None) -> tuple[str, ...]:
        return (attribute, f"target.{resource.name}.{attribute}")

    def refused(self, rules: Sequence[str], reason: str) -> Fault:
        return Forbidden(f"You are not authorized to perform the requested action: {rules[-1]}.")

    def unreadable(self, reason: str) -> Fault:
        return Invalid(
            "The server could not comply with the request since it is either malformed or otherwise "
            f"incorrect. The client is assumed to be in error. ({reason})"
        )

    def no_object(self, resource: Named, body: Any) -> Fault:
        if isinstance(body, dict) and resource.name in body:
            return self.bad_input(resource.name, None, f"{body[resource.name]!r} is not of type 'object'")
        return Invalid(
            f"Expecting to find {resource.name} in request body. The client is assumed to be in error."
        )

    def bad_value(self, name: str, value: Any, bad: BadValue) -> Fault:
        return self.bad_input("/".join([name, *map(str, bad.path)]), bad.value, bad.schema)

    def bad_input(self, name: str, value: Any, sentence: str) -> Fault:
        return Invalid(f"Invalid input for field '{name}': {sentence}")

    def changes_nothing(self, resource: Named) -> Fault | None:
        return self.bad_input(resource.name, None, "{} does not have enough properties")

    def unknown(self, resource: Named, names: Sequence[str], body: Any) -> Fault:
        were = "was" if len(names) == 1 else "were"
        listed = ", ".join(repr(name) for name in names)
        return Invalid(f"Additional properties are not allowed ({listed} {were} unexpected)")

    def missing(self, resource: Named, name: str, body: Any) -> Fault:
        return Invalid(f"{name!r} is a required property")

    def not_found_message(self, name: str, words: str) -> str:
        return f"Could not find {name.replace('_', ' ')}: {{id}}."

    def missing_marker(self, resource: Named, marker: str) -> Fault:
        return NotFound(f"Marker {marker} could not be found.")


KEYSTONE = KeystoneWording()
