"""Nova's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pileus.core.errors import Fault, Forbidden
from pileus.resource.types import BadValue
from pileus.resource.wording import Named, Wording


class NovaWording(Wording):
    """The Compute API v2.1."""

    name = "nova"
    create_status = 200

    def rule_name(self, resource: Named, action: str) -> str:
        verb = {"list": "index", "get": "show"}.get(action, action)
        return f"os_compute_api:{resource.collection}:{verb}"

    def refused(self, rules: Sequence[str], reason: str) -> Fault:
        return Forbidden(f"Policy doesn't allow {rules[-1]} to be performed.")

    def bad_body(self, body: Any, bad: BadValue) -> Fault:
        return self.bad_value("body", body, bad)

    def changes_nothing(self, resource: Named) -> Fault | None:
        return self.bad_input(resource.name, {}, "{} does not have enough properties")


NOVA = NovaWording()
