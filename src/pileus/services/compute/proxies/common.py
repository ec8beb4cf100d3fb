"""The words that the proxies share. Source: Compute API reference, "deprecated" sections."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pileus.core.errors import Fault, Kind, NotFound
from pileus.services.compute.errors import BadRequest, QuotaError
from pileus.web.request import Request

PROXIED = ("2.1", "2.35")
"""The microversions that have proxies."""


class NetworkNotFound(NotFound):
    message = "Network not found"


def refusal(fault: Fault) -> Fault:
    """Another service's fault as Nova answers it: a conflict is a bad request, a full quota forbidden."""
    if fault.kind is Kind.OVER_QUOTA or fault.code == "OverQuota":
        return QuotaError(fault.text)
    if fault.kind in (Kind.CONFLICT, Kind.INVALID):
        return BadRequest(fault.text)
    return fault


async def network_names(request: Request, network_ids: Collection[str]) -> dict[str, str]:
    """The names of networks, or their ids where they have none; of those that the caller sees."""
    if not network_ids:
        return {}
    query = [("id", network_id) for network_id in sorted(network_ids)]
    found = await request.forward("network", "GET", "/v2.0/networks", query=query)
    return {one["id"]: one["name"] or one["id"] for one in found["networks"]}


async def networks_seen(request: Request) -> list[dict[str, Any]]:
    """The networks that the caller sees; an administrator all."""
    found = await request.forward("network", "GET", "/v2.0/networks")
    return list(found["networks"])
