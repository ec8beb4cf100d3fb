"""``pileus routes [SERVICE]``: every operation of the APIs, read from the nouns that serve them."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pileus.app import bootstrap
from pileus.app.processes.services import make_services
from pileus.app.settings import Settings
from pileus.app.state import StateFolder
from pileus.core.clock import SystemClock
from pileus.core.errors import Unavailable
from pileus.store import Store
from pileus.web.routes import Action, Route
from pileus.web.service import Service

OPEN = "(open)"


class Row(msgspec.Struct, frozen=True):
    """One operation. ``action`` is the verb in the body of those that have one; ``rule`` is "@" where every
    caller with a token may, and "(open)" where no token is needed; ``statements`` bounds the SQL statements
    of a request, where tests assert it."""

    service: str
    noun: str
    method: str
    path: str
    action: str
    rule: str
    versions: str
    statements: int | None
    summary: str


def show(kind: str, as_json: bool) -> None:
    """Print the operations of one service (``kind``), or of all."""
    services = asyncio.run(_services())
    chosen = [one for one in services if kind in ("", one.type, one.name)]
    if not chosen:
        names = ", ".join(one.type for one in services)
        bootstrap.fail(f"there is no service {kind!r}: {names}")
    rows = [row for service in chosen for row in rows_of(service)]
    if as_json:
        sys.stdout.write(msgspec.json.encode(rows).decode() + "\n")
        return
    sys.stdout.write(_table([_cells(row) for row in rows]))


def rows_of(service: Service) -> Iterator[Row]:
    """List the operations of a service, noun by noun."""
    for noun in service.nouns:
        for route in noun.routes:
            verbs: Mapping[str, Route | Action] = route.actions or {"": route}
            for name, verb in verbs.items():
                yield Row(
                    service.type,
                    noun.name,
                    route.method,
                    service.prefix + route.path,
                    name,
                    verb.rule or ("" if route.authenticated else OPEN),
                    "-".join(verb.versions) if any(verb.versions) else "",
                    route.statements,
                    verb.summary or route.summary,
                )


def _cells(row: Row) -> tuple[str, ...]:
    path = f"{row.path} {row.action}".rstrip()
    bound = "" if row.statements is None else str(row.statements)
    return (row.method, path, row.rule or "-", row.versions, bound, row.summary)


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(5)]
    return "".join("  ".join(map(str.ljust, row, [*widths, 0])).rstrip() + "\n" for row in rows)


async def _services() -> list[Service]:
    """Make the services over a database that is thrown away; nothing of a cloud's own is read."""
    with tempfile.TemporaryDirectory(prefix="pileus-routes-") as path:
        folder = StateFolder(Path(path))
        for needed in (folder.keys, folder.images, folder.image_ticket_key.parent):
            needed.mkdir(parents=True, exist_ok=True)
        store = await Store.open(f"sqlite:///{path}/none.db", clock=SystemClock())
        try:
            _, faces = make_services(folder, Settings(), SystemClock(), store, _nobody, _no_stream)
            for face in faces:
                await face.close()
            return [face.service for face in faces]
        finally:
            await store.close()


async def _nobody(host: str, question: Any, timeout_s: float) -> Any:
    raise Unavailable("no agents are asked here")


async def _no_stream(host: str, scope: str, kind: str, **arguments: Any) -> Any:
    raise Unavailable("no agents are asked here")
