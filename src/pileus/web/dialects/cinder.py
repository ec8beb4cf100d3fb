"""Cinder's dialect: Nova's fault form, 413 over quota. Source: Block Storage API v3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pileus.core.errors import Fault, Forbidden, Kind
from pileus.web.dialects import STATUS, TITLES
from pileus.web.dialects.paged import PagedDialect, compute_fault

if TYPE_CHECKING:
    from pileus.web.resource import Resource


class CinderDialect(PagedDialect):
    """The Block Storage API v3."""

    name = "cinder"
    statuses: ClassVar[Mapping[Kind, int]] = {**STATUS, Kind.OVER_QUOTA: 413}
    strict_media = True
    create_status = 202

    def error(self, status: int, fault: Fault, request_id: str) -> Any:
        if fault.kind is Kind.UNAUTHENTICATED:
            return {"error": {"code": status, "title": TITLES[status], "message": fault.text}}
        return compute_fault(status, fault)

    def rule_name(self, resource: Resource, action: str) -> str:
        return f"volume:{'get_all' if action == 'list' else action}"

    def refused(self, rules: Sequence[str], reason: str) -> Fault:
        return Forbidden(f"Policy doesn't allow {rules[-1]} to be performed.")


CINDER = CinderDialect()
