"""Glance's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pileus.core.errors import Fault, Forbidden, Invalid
from pileus.resource.wording import Named, Wording


class GlanceWording(Wording):
    """The Image API v2."""

    name = "glance"
    update_method = "PATCH"
    wrapped = False

    def rule_name(self, resource: Named, action: str) -> str:
        verb = {"create": "add", "update": "modify", "list": "get"}.get(action, action)
        name = resource.plural if action == "list" else resource.name
        return f"{verb}_{name}"

    def refused(self, rules: Sequence[str], reason: str) -> Fault:
        return Forbidden(f"You are not authorized to complete {rules[-1]} action.")

    def unreadable(self, reason: str) -> Fault:
        return Invalid(f"Malformed JSON in request body: {reason}")

    def no_object(self, resource: Named, body: Any) -> Fault:
        return Invalid(f"Provided object does not match schema '{resource.name}': it is no object")

    def bad_input(self, name: str, value: Any, sentence: str) -> Fault:
        return Invalid(f"Provided object does not match schema: {sentence}: {name}")

    def missing_marker(self, resource: Named, marker: str) -> Fault:
        return Invalid(f"No {resource.name} found with ID {marker}")

    def read_only(self, resource: Named, name: str, action: str, body: Any) -> Fault:
        return Forbidden(f"Attribute '{name}' is read-only.")


GLANCE = GlanceWording()
