"""Cinder's words."""

from __future__ import annotations

from collections.abc import Sequence

from pileus.core.errors import Fault, Forbidden
from pileus.resource.wording import Named, Wording


class CinderWording(Wording):
    """The Block Storage API v3."""

    name = "cinder"
    create_status = 202

    def rule_name(self, resource: Named, action: str) -> str:
        return f"volume:{'get_all' if action == 'list' else action}"

    def refused(self, rules: Sequence[str], reason: str) -> Fault:
        return Forbidden(f"Policy doesn't allow {rules[-1]} to be performed.")

    def missing_marker(self, resource: Named, marker: str) -> Fault:
        return resource.not_found(marker)


CINDER = CinderWording()
