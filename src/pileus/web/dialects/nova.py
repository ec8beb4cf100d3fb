"""Nova's dialect: ``{"itemNotFound": {"code", "message"}}``. Source: the Compute API guide, "Faults"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pileus.core.errors import Fault, Kind
from pileus.resource.wordings.nova import NovaWording
from pileus.web.dialects import STATUS, TITLES, ApiVersion
from pileus.web.dialects.paged import PagedDialect, compute_fault
from pileus.web.head import Head


class NovaDialect(NovaWording, PagedDialect):
    """The Compute API v2.1."""

    statuses: ClassVar[Mapping[Kind, int]] = {**STATUS, Kind.OVER_QUOTA: 403}
    strict_media = True
    slash_names_nothing = True
    request_id_header = b"x-compute-request-id"
    internal_message = "Unexpected API Error. Please report this with the request id of the reply."

    def error(self, status: int, fault: Fault, request_id: str) -> Any:
        if fault.kind is Kind.UNAUTHENTICATED:
            return {"error": {"code": status, "title": TITLES[status], "message": fault.text}}
        if fault.kind is Kind.NOT_ACCEPTABLE:
            return {"computeFault": {"code": status, "message": fault.text}}
        return compute_fault(status, fault)

    def versions_document(self, head: Head, versions: Sequence[ApiVersion], base: str) -> tuple[int, Any]:
        return 200, {"versions": [self.version_entry(version, base) for version in versions]}


NOVA_API = NovaDialect()
