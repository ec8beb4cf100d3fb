"""Calls that the Compute API had once and that Nova answers with 410 Gone.

Source: Compute API reference, "Removed or deprecated APIs".
"""

from __future__ import annotations

from pileus.resource import types
from pileus.services.compute.errors import Gone
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import ANYBODY, NO_BODY, Route


async def gone(request: Request) -> Reply:
    """Refuse."""
    raise Gone


_CALLS = (
    "POST /os-networks",
    "DELETE /os-networks/{id}",
    "POST /os-networks/add",
    "POST /os-networks/{id}/action",
    "POST /os-tenant-networks",
    "DELETE /os-tenant-networks/{id}",
    "GET /os-floating-ips-bulk",
    "GET /os-floating-ips-bulk/{host}",
    "POST /os-floating-ips-bulk",
    "PUT /os-floating-ips-bulk/delete",
    "GET /os-floating-ip-dns",
    "GET /os-fixed-ips/{address}",
    "POST /os-fixed-ips/{address}/action",
    "GET /os-fping",
    "GET /os-fping/{id}",
    "GET /os-security-group-default-rules",
    "POST /os-security-group-default-rules",
    "GET /os-security-group-default-rules/{id}",
    "DELETE /os-security-group-default-rules/{id}",
    "GET /os-cloudpipe",
    "POST /os-cloudpipe",
    "GET /os-cells",
    "GET /os-cells/{id}",
    "GET /servers/{id}/os-virtual-interfaces",
    "GET /servers/{id}/consoles",
    "POST /servers/{id}/consoles",
)

GONE = Noun(
    name="gone",
    routes=tuple(
        Route(
            call.split()[0],
            "/v2.1" + call.split()[1],
            gone,
            rule=ANYBODY,
            status=410,
            body=types.anything if call.startswith(("POST", "PUT")) else None,
            reply=NO_BODY,
            summary="Gone",
        )
        for call in _CALLS
    ),
)
