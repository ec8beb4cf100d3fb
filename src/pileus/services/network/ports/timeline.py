"""The timeline of a port: what happened to it, when and where, read from its event rows alone."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import bindparam, select

from pileus.resource import types
from pileus.services.network.ports.resource import PORT
from pileus.store.event import events
from pileus.store.tx import Tx
from pileus.web.crud import find
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

_decode = msgspec.json.Decoder(dict[str, Any]).decode

_OF_PORT = (
    select(events.c.kind, events.c.host, events.c.at, events.c.payload, events.c.request_id)
    .where(events.c.resource_id == bindparam("port_id"))
    .order_by(events.c.id)
)


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that happened, at once (``seconds`` 0). Times are ISO 8601 in UTC."""

    step: str
    started_at: str
    finished_at: str
    seconds: float = 0.0
    host: str | None = None
    detail: str = ""
    error: str = ""
    request_id: str | None = None


def timeline_read(tx: Tx, port_id: str) -> list[Entry]:
    """Read what happened to a port, oldest first."""
    entries = []
    for row in tx.rows(_OF_PORT, {"port_id": port_id}):
        payload = _decode(row.payload)
        at = row.at.isoformat(timespec="microseconds") + "Z"
        entries.append(
            Entry(
                step=row.kind.replace(".", " ").replace("lease_", "lease "),
                started_at=at,
                finished_at=at,
                host=row.host,
                detail=payload.get("detail") or ", ".join(payload.get("changed") or ()),
                error=payload.get("reason") or "",
                request_id=row.request_id,
            )
        )
    return entries


def _read(tx: Tx, request: Request) -> list[Entry]:
    return timeline_read(tx, find(tx, request, PORT, lock=False)["id"])


async def show_timeline(request: Request) -> Reply:
    """Who may see the port may see what happened to it; hosts are shown to those who see its binding."""
    entries = await request.read(_read, request)
    if not request.access.allows("get_port:binding:host_id"):
        entries = [msgspec.structs.replace(one, host=None) for one in entries]
    return Reply.json({"timeline": entries})


_TEXT = types.string()
_ENTRY = types.dict_of(
    {
        "step": _TEXT,
        "started_at": types.timestamp_micro,
        "finished_at": types.timestamp_micro,
        "seconds": types.Type("number", float, {"type": "number", "minimum": 0}),
        "host": _TEXT,
        "detail": _TEXT,
        "error": _TEXT,
        "request_id": _TEXT,
    }
)
ROUTES = (
    Route(
        "GET",
        "/v2.0/ports/{id}/timeline",
        show_timeline,
        rule="get_port",
        reply=types.dict_of({"timeline": types.list_of(_ENTRY)}),
        summary="Show what happened to a port",
    ),
)
