"""Events of servers that other services tell (``os-server-external-events``).

Source: Compute API reference, "Create external events (os-server-external-events)". Pileus's own services
need none of them: a port that is plugged, or a volume that grew, is known here by the commit that says so.
An outside service's event stands in the server's timeline.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from pileus.core.context import Context
from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.compute.api import at_least, enforce
from pileus.services.compute.events import step
from pileus.services.compute.policy import rules
from pileus.services.compute.replies import COUNT, TEXT, TEXT_OR_NULL, always, named_list
from pileus.services.compute.tables.servers import servers
from pileus.store.column_in import column_in
from pileus.store.tx import Tx
from pileus.web.body import declared_body
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import ByVersion, Route

_NAMES = (
    ("network-changed", ""),
    ("network-vif-plugged", ""),
    ("network-vif-unplugged", ""),
    ("network-vif-deleted", ""),
    ("volume-extended", "2.51"),
    ("power-update", "2.76"),
    ("accelerator-request-bound", "2.82"),
    ("volume-reimaged", "2.93"),
)
_STATUSES = ("failed", "completed", "in-progress")
_WITH_TAG = frozenset({"volume-extended", "power-update", "accelerator-request-bound", "volume-reimaged"})
"""Events that mean nothing without saying what they are about."""


def _events_type(version: Version) -> Type:
    names = [name for name, first in _NAMES if not first or at_least(version, first)]
    one = types.dict_of(
        {
            "server_uuid": types.uuid,
            "name": types.enum(*names),
            "status": types.enum(*_STATUSES),
            "tag": types.string(255),
        },
        required=("server_uuid", "name"),
    )
    return types.dict_of({"events": types.list_of(one, minimum=1)}, required=("events",))


def external_events_write(tx: Tx, context: Context, told: Sequence[dict[str, Any]]) -> list[int]:
    """Write what is told into timelines; for each event 200, or why it was dropped: 404 for a server that is
    not there, 400 without the tag that it needs, 422 for a server that is on no host."""
    c = servers.c
    ids = sorted({event["server_uuid"] for event in told})
    rows = tx.rows(select(c.id, c.host, c.project_id).where(column_in(tx, c.id, ids), c.deleted_at.is_(None)))
    found = {row.id: row for row in rows}
    codes, kept = [], []
    for event in told:
        server = found.get(event["server_uuid"])
        code = 200
        if server is None:
            code = 404
        elif event["name"] in _WITH_TAG and "tag" not in event:
            code = 400
        elif server.host is None:
            code = 422
        else:
            detail = " ".join(part for part in (event.get("tag"), event.get("status")) if part)
            kept.append(
                step(context, server.id, server.project_id, event["name"], host=server.host, detail=detail)
            )
        codes.append(code)
    tx.emit_many(kept)
    return codes


async def create_events(request: Request) -> Reply:
    """Take what another service tells of servers."""
    enforce(request)
    told = declared_body(request)["events"]
    codes = await request.write(external_events_write, request.context, told)
    views = [
        {**event, "status": event.get("status", "completed") if code == 200 else "failed", "code": code}
        for event, code in zip(told, codes, strict=True)
    ]
    return Reply.json({"events": views}, 200 if set(codes) == {200} else 207)


_EVENT = always({"server_uuid": TEXT, "name": TEXT, "status": TEXT, "code": COUNT}, {"tag": TEXT_OR_NULL})
EXTERNAL_EVENTS = Noun(
    name="server_external_event",
    rules=rules({"os-server-external-events:create": "rule:service_or_admin"}),
    extensions=(
        Extension("os-server-external-events", "ServerExternalEvents", "Server External Event Triggers."),
    ),
    routes=(
        Route(
            "POST",
            "/v2.1/os-server-external-events",
            create_events,
            rule="os_compute_api:os-server-external-events:create",
            body=ByVersion(_events_type),
            reply=named_list("events", _EVENT),
            summary="Tell of servers what happened elsewhere",
        ),
    ),
)
