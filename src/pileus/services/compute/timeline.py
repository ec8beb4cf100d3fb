"""The timeline of a server: every step that happened, where, when, and how long it took.

Read from event rows alone; what did not happen is not there. Steps of the node, of the conductor and of the
server's ports stand in one list. A step that was reported twice (a lost answer) stands there once.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from sqlalchemy import select

from pileus.flow.chain import Chain
from pileus.resource import types
from pileus.resource.declaration import Values
from pileus.services.compute.events import STEP, moment
from pileus.services.compute.policy import ADMIN_OR_READER, rules
from pileus.services.compute.replies import COUNT, MOMENT, NUMBER, TEXT, TEXT_BY_KEY, TEXT_OR_NULL, always
from pileus.services.compute.servers.attached import interfaces_of
from pileus.services.compute.servers.chains import CHAINS
from pileus.services.compute.servers.lookup import find_server
from pileus.services.compute.tables.nodes import compute_nodes
from pileus.store.column_in import column_in
from pileus.store.event import events
from pileus.store.operations import DONE, Operation, operation_list_all
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

_decode = msgspec.json.Decoder(dict[str, Any]).decode

_KINDS = {
    "server.create": "request",
    "server.handed": "handed to the host",
    "server.delete_wanted": "delete asked",
    "port.create": "port created",
    "port.active": "port active",
    "port.down": "port down",
    "port.failed": "port failed",
    "port.dhcp_failed": "port not served by DHCP",
    "port.dhcp_incomplete": "port not told all by DHCP",
}


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that happened. Times are ISO 8601 in UTC; ``seconds`` is how long it took; ``position`` is
    which of the ``of`` steps of a long operation it was."""

    step: str
    started_at: str
    finished_at: str
    seconds: float
    host: str | None = None
    detail: str = ""
    error: str = ""
    position: int | None = None
    of: int | None = None
    request_id: str | None = None
    refused: list[dict[str, str]] = []


def timeline_read(tx: Tx, server_id: str) -> list[Entry]:
    """The timeline of a server; empty for one that never was. Two statements."""
    ids = sorted({server_id, *(row.port_id for row in interfaces_of(tx, [server_id]))})
    c = events.c
    rows = tx.rows(
        select(c.kind, c.resource_id, c.host, c.at, c.payload, c.request_id)
        .where(column_in(tx, c.resource_id, ids), c.kind.in_((STEP, *_KINDS)))
        .order_by(c.id)
    )
    return entries(rows)


def entries(rows: Iterable[Any]) -> list[Entry]:
    """Event rows as entries, in the order in which they began."""
    found: dict[tuple[Any, ...], Entry] = {}
    for row in rows:
        payload = _decode(row.payload)
        if row.kind == STEP:
            started, finished = moment(payload["started_at"]), moment(payload["finished_at"])
            name = payload["step"]
        else:
            started = finished = row.at
            name = _KINDS[row.kind]
            if row.kind.startswith("port."):
                payload["detail"] = row.resource_id
                payload["error"] = payload.get("reason", "")
        if started is None or finished is None:
            continue
        entry = Entry(
            step=name,
            started_at=_text(started),
            finished_at=_text(finished),
            seconds=round((finished - started).total_seconds(), 6),
            host=row.host,
            detail=payload.get("detail") or "",
            error=payload.get("error") or "",
            position=payload.get("position"),
            of=payload.get("of"),
            request_id=row.request_id,
            refused=payload.get("refused") or [],
        )
        found.setdefault((name, entry.started_at, entry.detail), entry)
    return sorted(found.values(), key=lambda one: (one.started_at, one.finished_at))


def _text(at: dt.datetime) -> str:
    return at.isoformat(timespec="microseconds") + "Z"


class Progress(msgspec.Struct, frozen=True):
    """A long operation on the server: which of its steps is next, under way or failed, and why it failed."""

    operation: str
    state: str
    step: str
    position: int
    of: int
    started_at: str
    updated_at: str
    error: str | None
    request_id: str | None


def progress_read(tx: Tx, server: Values) -> list[Progress]:
    """The operations on a server, oldest first; finished ones are kept for some time. One statement."""
    chains = {chain.kind: chain for chain in CHAINS}
    found = operation_list_all(tx, [server["id"], server["reservation_id"]], sorted(chains))
    return [_progress(chains[one.kind], one) for one in found]


def _progress(chain: Chain, one: Operation) -> Progress:
    # One that a report has ended did not go through its last steps by itself.
    step, position, of = chain.progress(chain.steps[-1].name if one.state == DONE else one.step)
    return Progress(
        operation=one.kind,
        state=one.state,
        step=step,
        position=position,
        of=of,
        started_at=_text(one.created_at),
        updated_at=_text(one.updated_at),
        error=one.error,
        request_id=one.request_id,
    )


def _read(tx: Tx, request: Request) -> tuple[list[Entry], list[Progress], list[str]]:
    server = find_server(tx, request, deleted=True)
    c = compute_nodes.c
    rows = tx.rows(select(c.host, c.hypervisor_hostname))
    hosts = sorted({name for row in rows for name in row})
    return timeline_read(tx, server["id"]), progress_read(tx, server), hosts


def _unnamer(hosts: list[str]) -> Callable[[str], str]:
    """Make the function that takes the names of hosts out of a text; the longest go first."""
    if not hosts:
        return str
    names = "|".join(re.escape(one) for one in sorted(hosts, key=len, reverse=True))
    pattern = re.compile(rf"(?<![\w.-])({names})(?![\w-])")
    return lambda text: pattern.sub("a host", text)


async def show_timeline(request: Request) -> Reply:
    """The timeline of one server, also of a deleted one. Hosts are shown to administrators only."""
    entries, operations, hosts = await request.read(_read, request)
    if not request.access.allows("os_compute_api:os-extended-server-attributes"):
        unnamed = _unnamer(hosts)
        entries = [
            msgspec.structs.replace(
                one, host=None, refused=[], detail=unnamed(one.detail), error=unnamed(one.error)
            )
            for one in entries
        ]
        operations = [
            msgspec.structs.replace(one, error=unnamed(one.error) if one.error else one.error)
            for one in operations
        ]
    return Reply.json({"timeline": entries, "operations": operations})


_ENTRY = always(
    {"step": TEXT, "started_at": MOMENT, "finished_at": MOMENT, "seconds": NUMBER},
    {
        "host": TEXT,
        "detail": TEXT,
        "error": TEXT,
        "position": COUNT,
        "of": COUNT,
        "request_id": TEXT,
        "refused": types.list_of(TEXT_BY_KEY),
    },
)
_PROGRESS = always(
    {
        **dict.fromkeys(("operation", "state", "step"), TEXT),
        "position": COUNT,
        "of": COUNT,
        "started_at": MOMENT,
        "updated_at": MOMENT,
        "error": TEXT_OR_NULL,
        "request_id": TEXT_OR_NULL,
    }
)

TIMELINE = Noun(
    name="server_timeline",
    rules=rules({"os-pileus-timeline": ADMIN_OR_READER}),
    routes=(
        Route(
            "GET",
            "/v2.1/servers/{id}/os-pileus-timeline",
            show_timeline,
            rule="os_compute_api:os-pileus-timeline",
            reply=always({"timeline": types.list_of(_ENTRY), "operations": types.list_of(_PROGRESS)}),
            summary="Show what happened to a server, step by step",
        ),
    ),
)
