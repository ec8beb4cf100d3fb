"""An asyncio client of OVSDB that keeps a replica of chosen columns (RFC 7047, ovsdb-server(7)).

``connect`` starts one task that lives until ``close``: it connects, reads the schema,
asks for the monitored columns and then only takes updates in. When the connection is
lost it comes back by itself, with growing pauses, from the last transaction it has seen
where the server knows that one (clustered and simulated ones do), from the whole
contents where not. The replica keeps its last contents meanwhile, with ``connected`` false.

``changed`` is set whenever the replica has changed and after each reconnection; the one
loop that owns the client clears it before it looks. Any number of others may use
``wait_until``. Statistics are not monitored: they would wake everybody each five seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pileus.core import log
from pileus.drivers.ovsdb.jsonrpc import ConnectionLost, Connector, RemoteError, Session, connector
from pileus.drivers.ovsdb.replica import Replica, Tables
from pileus.drivers.ovsdb.rows import ZERO_UUID, Row, Schema

_log = log.get("drivers.ovsdb")

SWITCH_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "Open_vSwitch": ("bridges", "next_cfg", "cur_cfg", "external_ids", "other_config", "ovs_version"),
    "Bridge": (
        *("name", "ports", "datapath_type", "datapath_id", "fail_mode", "protocols"),
        *("external_ids", "other_config", "controller", "mirrors"),
    ),
    "Port": (
        *("name", "interfaces", "tag", "trunks", "vlan_mode", "external_ids", "other_config"),
        *("bond_mode", "lacp", "bond_updelay", "bond_downdelay"),
    ),
    "Interface": (
        *("name", "type", "options", "external_ids", "mac_in_use", "ofport", "ofport_request"),
        *("ingress_policing_rate", "ingress_policing_burst", "error", "link_state", "admin_state"),
        *("mtu_request", "ifindex", "other_config"),
    ),
    "Controller": ("target", "is_connected"),
}
"""The columns of a switch that agents read."""


class TransactionFailed(Exception):
    """A transaction was refused and changed nothing.

    ``index`` and ``operation`` name the culprit; index -1 and no operation when it is the
    commit that failed (a duplicate name, a dangling reference). ``error`` is the RFC's word.
    """

    def __init__(self, index: int, operation: Mapping[str, Any] | None, error: str, details: str) -> None:
        self.index = index
        self.operation = operation
        self.error = error
        self.details = details
        where = f"{operation['op']} {operation.get('table', '')} (#{index})" if operation else "commit"
        super().__init__(f"{where}: {error}: {details}")


class OvsdbClient:
    """A client with a replica. ``address`` is ``unix:/path``, ``tcp:host:port`` or opens the streams."""

    def __init__(
        self,
        address: str | Connector,
        monitored: Mapping[str, Iterable[str]] = SWITCH_COLUMNS,
        *,
        database: str = "Open_vSwitch",
        probe_s: float = 10.0,
        retry_s: float = 0.1,
        retry_limit_s: float = 5.0,
    ) -> None:
        self.changed = asyncio.Event()
        self.connected = False
        self.generation = 0
        """How many times the replica has become complete: above 1, there was a reconnection."""
        self.resumed = False
        """Whether the last connection went on from the last transaction seen."""
        self._open = connector(address) if isinstance(address, str) else address
        self._monitored = {table: tuple(columns) for table, columns in monitored.items()}
        self._database = database
        self._probe_s = probe_s
        self._retry_s = retry_s
        self._retry_limit_s = retry_limit_s
        self._session: Session | None = None
        self._replica: Replica | None = None
        self._last_transaction = ZERO_UUID
        self._early: list[tuple[str, Any]] | None = None
        self._watchers: set[asyncio.Future[None]] = set()
        self._names: dict[str, dict[str, Row]] = {}
        self._schema: Schema | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def tables(self) -> Tables:
        """Table name to UUID to row; as of the last update, also while the connection is lost."""
        return self._replica.tables if self._replica else {}

    @property
    def schema(self) -> Schema:
        """The server's schema; raises ConnectionLost before the first connection."""
        if self._schema is None:
            raise ConnectionLost("not connected yet")
        return self._schema

    def by_name(self, table: str) -> Mapping[str, Row]:
        """A table's rows by their column ``name``."""
        if table not in self._names:
            self._names[table] = {row["name"]: row for row in self.tables.get(table, {}).values()}
        return self._names[table]

    async def connect(self, timeout_s: float | None = None) -> None:
        """Start, and return when the replica is complete; raises TimeoutError (and goes on trying)."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep_connected(), name="ovsdb")
        await self.wait_until(lambda: self.connected, timeout_s)

    async def close(self) -> None:
        """End the connection and the task."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def transact(self, operations: Sequence[Mapping[str, Any]], timeout_s: float = 30.0) -> list[Any]:
        """Run operations (RFC 7047, section 5.2) as one transaction; one result for each.

        Raises TransactionFailed; ConnectionLost or TimeoutError when it is not known whether it
        was done, so that the caller looks again.
        """
        if self._session is None or not self.connected:
            raise ConnectionLost("not connected")
        results = await self._session.call("transact", [self._database, *operations], timeout_s)
        for index, result in enumerate(results):
            if isinstance(result, dict) and result.get("error"):
                own = index < len(operations)
                raise TransactionFailed(
                    index if own else -1,
                    operations[index] if own else None,
                    result["error"],
                    result.get("details", ""),
                )
        return list(results)

    async def wait_until(self, condition: Callable[[], bool], timeout_s: float | None = None) -> None:
        """Return when a condition on this client holds, looked at after each change; raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._watchers.add(future)
                try:
                    await future
                finally:
                    self._watchers.discard(future)

    async def _keep_connected(self) -> None:
        pause = self._retry_s
        while True:
            generation = self.generation
            try:
                await self._serve()
            except (OSError, ConnectionLost, RemoteError, TimeoutError) as error:
                _log.info("ovsdb connection ended", error=str(error))
            if self.generation > generation:
                pause = self._retry_s
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            pause = min(pause * 2, self._retry_limit_s)

    async def _serve(self) -> None:
        async with asyncio.timeout(self._probe_s):
            streams = await self._open()
        session = self._session = Session(streams, self._on_call)
        reading = asyncio.create_task(session.run(self._probe_s))
        try:
            self._early = []
            await self._load(session)
            self.connected = True
            self.generation += 1
            self._announce()
            await reading
        finally:
            self.connected = False
            session.close()
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionLost):
                await reading
            self._wake_watchers()

    async def _load(self, session: Session) -> None:
        self._schema = Schema.parse(await session.call("get_schema", [self._database]))
        fresh = Replica(self._schema, self._monitored)
        requests = fresh.monitor_requests()
        try:
            found, last, updates = await session.call(
                "monitor_cond_since", [self._database, "replica", requests, self._last_transaction]
            )
        except RemoteError as error:
            if "unknown method" not in str(error.error):
                raise
            found, last = False, ZERO_UUID
            updates = await session.call("monitor_cond", [self._database, "replica", requests])
        self.resumed = bool(found and self._replica)
        if not self.resumed:
            self._replica = fresh
        self._apply(last, updates)
        # What came behind the reply was kept until the reply itself was in.
        early, self._early = self._early or [], None
        for method, params in early:
            self._on_call(method, params)

    def _on_call(self, method: str, params: Any) -> Any:
        if self._early is not None:
            self._early.append((method, params))
        elif method == "update3":
            self._apply(params[1], params[2])
            self._announce()
        elif method == "update2":
            self._apply(ZERO_UUID, params[1])
            self._announce()
        else:
            raise RemoteError(method, "unknown method")

    def _apply(self, last: str, updates: Mapping[str, Any]) -> None:
        assert self._replica is not None
        for table in self._replica.apply(updates):
            self._names.pop(table, None)
        self._last_transaction = last

    def _announce(self) -> None:
        if not self.connected:
            return
        self.changed.set()
        self._wake_watchers()

    def _wake_watchers(self) -> None:
        for future in self._watchers:
            if not future.done():
                future.set_result(None)
