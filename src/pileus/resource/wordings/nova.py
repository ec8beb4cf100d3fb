"""Nova's words."""

from __future__ import annotations

from collections.abc import Sequence

from pileus.core.errors import Fault, Forbidden
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


NOVA = NovaWording()
