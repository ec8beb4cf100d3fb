"""Nova's dialect: ``{"itemNotFound": {"code", "message"}}``. Source: the Compute API guide, "Faults"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pileus.core.errors import Fault, Forbidden, Kind
from pileus.web.dialects import STATUS, TITLES
from pileus.web.dialects.paged import PagedDialect, compute_fault

if TYPE_CHECKING:
    from pileus.web.request import Request
    from pileus.web.resource import Resource
    from pileus.web.service import ApiVersion


class NovaDialect(PagedDialect):
    """The Compute API v2.1."""

    name = "nova"
    statuses: ClassVar[Mapping[Kind, int]] = {**STATUS, Kind.OVER_QUOTA: 403}
    strict_media = True
    request_id_header = b"x-compute-request-id"
    create_status = 200
    internal_message = "Unexpected API Error. Please report this with the request id of the reply."

    def error(self, status: int, fault: Fault, request_id: str) -> Any:
        if fault.kind is Kind.UNAUTHENTICATED:
            return {"error": {"code": status, "title": TITLES[status], "message": fault.text}}
        if fault.kind is Kind.NOT_ACCEPTABLE:
            return {"computeFault": {"code": status, "message": fault.text}}
        return compute_fault(status, fault)

    def rule_name(self, resource: Resource, action: str) -> str:
        verb = {"list": "index", "get": "show"}.get(action, action)
        return f"os_compute_api:{resource.collection}:{verb}"

    def refused(self, rules: Sequence[str], reason: str) -> Fault:
        return Forbidden(f"Policy doesn't allow {rules[-1]} to be performed.")

    def versions_document(
        self, request: Request, versions: Sequence[ApiVersion], base: str
    ) -> tuple[int, Any]:
        return 200, {"versions": [self.version_entry(version, base) for version in versions]}


NOVA = NovaDialect()
