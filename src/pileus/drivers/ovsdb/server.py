"""An OVSDB server for a database in memory: what ovsdb-server(1) is to a file.

It speaks enough of RFC 7047 and ovsdb-server(7) for our client and for ``ovs-vsctl``:
list_dbs, get_schema, transact, monitor, monitor_cond, monitor_cond_since (with a short
history, so that a client that comes back gets only what it missed), monitor_cancel, echo.
Conditions of monitors are not looked at: a monitor sees all rows of its tables.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import uuid as uuids
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pileus.drivers.ovsdb.engine import Database, Touched
from pileus.drivers.ovsdb.jsonrpc import ConnectionLost, RemoteError, Session, Streams
from pileus.drivers.ovsdb.rows import ZERO_UUID, Row

_HISTORY = 256


class Server:
    """Serves one database on any number of connections."""

    def __init__(self, database: Database, schema: Mapping[str, Any]) -> None:
        self._database = database
        self._schema = schema
        self._clients: set[_Client] = set()
        self._listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._history: deque[tuple[str, Touched]] = deque(maxlen=_HISTORY)
        self._first = str(uuids.uuid4())
        database.listeners.append(self._committed)

    async def listen(self, path: Path) -> None:
        """Accept connections on a Unix socket, in place of one that is left over."""
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - quick
        self._listener = await asyncio.start_unix_server(self._accept, path)
        path.chmod(0o600)  # noqa: ASYNC240 - quick

    async def connect(self) -> Streams:
        """The client's end of a connection within this process."""
        near, far = socket.socketpair()
        await self._accept(*await asyncio.open_connection(sock=far))
        return await asyncio.open_connection(sock=near)

    def disconnect(self) -> None:
        """Drop each connection, as a restart would; clients come back."""
        for client in list(self._clients):
            client.session.close()

    async def close(self) -> None:
        """Stop listening and drop each connection."""
        if self._listener is not None:
            self._listener.close()
        self.disconnect()
        for task in list(self._tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    @property
    def last_transaction(self) -> str:
        """The id of the newest transaction."""
        return self._history[-1][0] if self._history else self._first

    def since(self, transaction: str) -> Touched | None:
        """Return the changes after a transaction, merged; None when the history does not reach back."""
        merged: Touched = {}
        found = transaction == self._first and len(self._history) < _HISTORY
        for identifier, touched in self._history:
            if found:
                for key, (old, new) in touched.items():
                    merged[key] = (merged[key][0] if key in merged else old, new)
            found = found or identifier == transaction
        return merged if found else None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _Client(self, self._database, self._schema, (reader, writer))
        self._clients.add(client)
        task = asyncio.create_task(self._serve(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: _Client) -> None:
        try:
            with contextlib.suppress(ConnectionLost):
                await client.session.run(None)
        finally:
            self._clients.discard(client)

    def _committed(self, touched: Touched) -> None:
        self._history.append((str(uuids.uuid4()), touched))
        for client in self._clients:
            client.tell(touched, self.last_transaction)


class _Client:
    """One connection and its monitors."""

    def __init__(
        self, server: Server, database: Database, schema: Mapping[str, Any], streams: Streams
    ) -> None:
        self.session = Session(streams, self._on_call)
        self._server = server
        self._database = database
        self._schema = schema
        self._monitors: dict[str, tuple[Any, str, dict[str, list[str]]]] = {}

    def tell(self, touched: Touched, transaction: str) -> None:
        """Send what a transaction changed to the monitors that look at it."""
        for identifier, method, tables in self._monitors.values():
            updates = self._updates(touched, tables, old_style=method == "update")
            if updates:
                params = [identifier, transaction, updates] if method == "update3" else [identifier, updates]
                self.session.notify(method, params)

    def _on_call(self, method: str, params: Any) -> Any:
        match method:
            case "list_dbs":
                return [self._database.schema.name]
            case "get_schema":
                self._named(params[0])
                return self._schema
            case "transact":
                self._named(params[0])
                return self._database.transact(params[1:])
            case "monitor":
                return self._monitor(params, "update")
            case "monitor_cond":
                return self._monitor(params, "update2")
            case "monitor_cond_since":
                return self._monitor_since(params)
            case "monitor_cancel":
                self._monitors.pop(str(params[0]), None)
                return {}
            case "get_server_id":
                return ZERO_UUID
            case _:
                raise RemoteError(method, "unknown method")

    def _named(self, name: str) -> None:
        if name != self._database.schema.name:
            raise RemoteError(
                "database", {"error": "unknown database", "details": f"no database named {name}"}
            )

    def _watch(self, params: Any, method: str) -> dict[str, list[str]]:
        self._named(params[0])
        tables = {}
        for table, requests in params[2].items():
            if table not in self._database.schema.tables:
                raise RemoteError("monitor", {"error": "syntax error", "details": f"no table named {table}"})
            every = list(self._database.schema.tables[table].columns)
            listed = requests if isinstance(requests, list) else [requests]
            tables[table] = [c for request in listed for c in request.get("columns", every)]
        self._monitors[str(params[1])] = (params[1], method, tables)
        return tables

    def _monitor(self, params: Any, method: str) -> Any:
        return self._everything(self._watch(params, method), old_style=method == "update")

    def _monitor_since(self, params: Any) -> Any:
        tables = self._watch(params, "update3")
        missed = self._server.since(params[3])
        if missed is None:
            return [False, self._server.last_transaction, self._everything(tables)]
        return [True, self._server.last_transaction, self._updates(missed, tables)]

    def _everything(self, tables: Mapping[str, Sequence[str]], old_style: bool = False) -> dict[str, Any]:
        touched: Touched = {
            (table, uuid): (None, row)
            for table in tables
            for uuid, row in self._database.tables[table].items()
        }
        return self._updates(touched, tables, old_style, "initial")

    def _updates(
        self,
        touched: Touched,
        tables: Mapping[str, Sequence[str]],
        old_style: bool = False,
        insert: str = "insert",
    ) -> dict[str, Any]:
        updates: dict[str, Any] = {}
        for (table, uuid), (old, new) in touched.items():
            if table in tables:
                make = self._update if old_style else self._update2
                change = make(table, tables[table], old, new, insert)
                if change is not None:
                    updates.setdefault(table, {})[uuid] = change
        return updates

    def _update2(
        self, table: str, names: Sequence[str], old: Row | None, new: Row | None, insert: str
    ) -> dict[str, Any] | None:
        columns = self._database.schema.tables[table].columns
        if new is None:
            return {"delete": None} if old is not None else None
        if old is None:
            return {insert: {n: columns[n].encode(new[n]) for n in names if new[n] != columns[n].default()}}
        changed = {
            n: columns[n].encode(columns[n].difference(old[n], new[n])) for n in names if old[n] != new[n]
        }
        return {"modify": changed} if changed else None

    def _update(
        self, table: str, names: Sequence[str], old: Row | None, new: Row | None, _: str
    ) -> dict[str, Any] | None:
        columns = self._database.schema.tables[table].columns
        change = {}
        if old is not None:
            before = {n: columns[n].encode(old[n]) for n in names if new is None or old[n] != new[n]}
            if not before:
                return None
            change["old"] = before
        if new is not None:
            change["new"] = {n: columns[n].encode(new[n]) for n in names}
        return change or None
