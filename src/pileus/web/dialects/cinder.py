"""Cinder's dialect: Nova's fault form, 413 over quota. Source: Block Storage API v3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pileus.core.errors import Fault, Kind
from pileus.resource.wordings.cinder import CinderWording
from pileus.web.dialects import STATUS, TITLES
from pileus.web.dialects.paged import PagedDialect, compute_fault


class CinderDialect(CinderWording, PagedDialect):
    """The Block Storage API v3."""

    statuses: ClassVar[Mapping[Kind, int]] = {**STATUS, Kind.OVER_QUOTA: 413}
    strict_media = True

    def error(self, status: int, fault: Fault, request_id: str) -> Any:
        if fault.kind is Kind.UNAUTHENTICATED:
            return {"error": {"code": status, "title": TITLES[status], "message": fault.text}}
        return compute_fault(status, fault)


CINDER_API = CinderDialect()
