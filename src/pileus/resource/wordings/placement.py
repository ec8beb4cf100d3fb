"""Placement's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pileus.core.errors import Fault, Forbidden, Invalid
from pileus.resource.types import BadValue
from pileus.resource.wording import Named, Wording


class PlacementWording(Wording):
    """The Placement API."""

    name = "placement"
    projects_own = False

    def rule_name(self, resource: Named, action: str) -> str:
        verb = {"get": "show"}.get(action, action)
        return f"placement:{resource.collection}:{verb}"

    def refused(self, rules: Sequence[str], reason: str) -> Fault:
        return Forbidden(f"Access was denied to this resource. {rules[-1]} is not allowed.")

    def unreadable(self, reason: str) -> Fault:
        return Invalid(f"Malformed JSON: {reason}")

    def bad_body(self, body: Any, bad: BadValue) -> Fault:
        where = "".join(f"[{step!r}]" for step in bad.path)
        return Invalid(f"JSON does not validate: {bad.schema}" + (f" (on instance{where})" if where else ""))

    def bad_part(self, part: str, text: str) -> Fault:
        return Invalid(f"Invalid query string parameters: {text}")


PLACEMENT = PlacementWording()
