"""``pileus routes [SERVICE]``: every operation of the APIs, read from the nouns that serve them."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pileus.app import bootstrap
from pileus.app.processes.services import make_services
from pileus.app.settings import Settings
from pileus.app.state import StateFolder
from pileus.core.clock import SystemClock
from pileus.store import Store
from pileus.web.routes import Route
from pileus.web.service import Service

OPEN = "(open)"


class Row(msgspec.Struct, frozen=True):
    """One operation. ``action`` is the verb in the body of those that have one; ``rule`` is "@" where every
    caller with a token may, and "(open)" where no token is needed."""

    service: str
    noun: str
    method: str
    path: str
    action: str
    rule: str
    versions: str
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
            path = service.prefix + route.path
            summary = route.summary
            if not route.actions:
                versions = _window(route.versions)
                yield Row(service.type, noun.name, route.method, path, "", _rule(route), versions, summary)
            for name, action in route.actions.items():
                rule, versions = action.rule or "", _window(action.versions)
                said = action.summary or summary
                yield Row(service.type, noun.name, route.method, path, name, rule, versions, said)


def _rule(route: Route) -> str:
    return route.rule or ("" if route.authenticated else OPEN)


def _window(versions: tuple[str, str]) -> str:
    first, last = versions
    return f"{first or ''}-{last or ''}" if first or last else ""


def _cells(row: Row) -> tuple[str, ...]:
    path = f"{row.path} {row.action}".rstrip()
    return (row.method, path, row.rule or "-", row.versions, row.summary)


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
    return "".join("  ".join(map(str.ljust, row, [*widths, 0])).rstrip() + "\n" for row in rows)


async def _services() -> list[Service]:
    """Make the services over a database that is thrown away; nothing of a cloud's own is read."""
    with tempfile.TemporaryDirectory(prefix="pileus-routes-") as path:
        folder = StateFolder(Path(path))
        for needed in (folder.keys, folder.images, folder.image_ticket_key.parent):
            needed.mkdir(parents=True, exist_ok=True)
        store = await Store.open(f"sqlite:///{path}/none.db", clock=SystemClock())
        try:
            _, faces = make_services(folder, Settings(), SystemClock(), store, _nobody)
            for face in faces:
                await face.close()
            return [face.service for face in faces]
        finally:
            await store.close()


async def _nobody(host: str, question: Any, timeout_s: float) -> Any:
    raise NotImplementedError("no agents are asked here")
