"""Placement's dialect: ``{"errors": [{"status", "title", "detail", "request_id", "code"}]}``.

Source: Placement API reference, "Errors", and the API-SIG's guideline for errors. A fault says its code in
``error_code``; since 1.23 replies have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pileus.core.errors import Fault
from pileus.resource.wordings.placement import PlacementWording
from pileus.web.dialects import TITLES, ApiVersion, Dialect
from pileus.web.head import Head

UNDEFINED = "placement.undefined_code"


class PlacementDialect(PlacementWording, Dialect):
    """The Placement API."""

    strict_media = True

    def error(self, status: int, fault: Fault, request_id: str) -> Any:
        told = {
            "status": status,
            "title": TITLES.get(status, "Error"),
            "detail": fault.text,
            "request_id": request_id,
        }
        code = getattr(fault, "error_code", UNDEFINED)
        if code is not None:
            told["code"] = code
        for bound in ("min_version", "max_version"):
            value = fault.values.get(bound.removesuffix("_version") + "imum")
            if status == 406 and value is not None:
                told[bound] = str(value)
        return {"errors": [told]}

    def versions_document(self, head: Head, versions: Sequence[ApiVersion], base: str) -> tuple[int, Any]:
        return 200, {"versions": [self._entry(version) for version in versions]}

    def version_document(self, head: Head, version: ApiVersion, base: str) -> Any:
        return {"versions": [self._entry(version)]}

    def _entry(self, version: ApiVersion) -> dict[str, Any]:
        return {
            "id": version.id,
            "status": version.status,
            "min_version": version.min_version,
            "max_version": version.max_version,
            # relative, as the service itself has it: the root of this version is where this was read
            "links": [{"rel": "self", "href": ""}],
        }


PLACEMENT_API = PlacementDialect()
