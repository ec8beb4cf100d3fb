"""Tx: the one thing that a unit of work is given to speak to the database.

A unit is an ordinary function ``work(tx, ...)``. It may be run again from the start after a deadlock, so
times, ids and dice come in as arguments. Statements kept at module level, with ``bindparam``s, are
fastest, by far: they have plans (``store.plans``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection, CursorResult, Executable, Row, Table, exc
from sqlalchemy.sql.dml import Insert, UpdateBase

from pileus.store.deadline import Deadline
from pileus.store.errors import StatementTimeout, is_transient, translate
from pileus.store.event import Event, EventRow, event_row
from pileus.store.locks import HOLD, upsert_locks
from pileus.store.plans import Insertion, Plan, Plans, Unfit, fail, run
from pileus.store.schema import metadata

Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None

_INSERTS: dict[Table, Insert] = {}


class Executed(Protocol):
    """The outcome of a statement that changes rows."""

    @property
    def rowcount(self) -> int:
        """How many rows it concerned."""


class Done(NamedTuple):
    """The same of one that was run by its plan."""

    rowcount: int


class Tx:
    """A transaction as a unit of work sees it.

    ``statements`` counts what the unit sent (the writing of events is the store's own and not in it),
    ``dialect`` is ``sqlite``, ``postgresql`` or ``mysql``. ``unified_limits`` is the region of whose limits
    quotas are, or None where each service keeps its own (``resource.quota``).
    """

    __slots__ = (
        "_connection",
        "_control",
        "_deadline",
        "_depth",
        "_plans",
        "dialect",
        "events",
        "lost",
        "read_only",
        "statements",
        "unified_limits",
    )

    def __init__(
        self,
        connection: Connection,
        dialect: str,
        control: Callable[[str], object],
        deadline: Deadline | None = None,
        *,
        plans: Plans | None = None,
        unified_limits: str | None = None,
        read_only: bool = False,
    ) -> None:
        self._connection = connection
        self._plans = plans
        self._control = control
        self._deadline = deadline
        self._depth = 0
        self.dialect = dialect
        self.unified_limits = unified_limits
        self.read_only = read_only
        self.statements = 0
        self.events: list[EventRow] = []
        # Set when the database has ended the transaction already: whatever the unit does now, it has failed
        # or runs again.
        self.lost: exc.DBAPIError | StatementTimeout | None = None

    def execute(self, statement: Executable, parameters: Parameters = None) -> Executed:
        """Run one statement; a list of parameters runs it for each, in one call to the driver.

        Raises Duplicate or Referenced for constraints, StatementTimeout, TooComplex, and SQLAlchemy's errors
        for the rest.
        """
        if isinstance(statement, UpdateBase) and (done := self._changed(statement, parameters)) is not None:
            return done
        return self._executed(statement, parameters)

    def _executed(self, statement: Executable, parameters: Parameters = None) -> CursorResult[Any]:
        self.statements += 1
        try:
            if self._deadline is not None:
                self._deadline.start()
            return self._connection.execute(statement, parameters)
        except exc.DBAPIError as error:
            self._refuse(error)
            raise

    def _changed(self, statement: UpdateBase, parameters: Parameters) -> Executed | None:
        """Run a statement that has a plan; None: it has none."""
        if self._plans is None:
            return None
        several = isinstance(parameters, Sequence)
        if several and not parameters:
            return None
        one: Any = parameters[0] if several else parameters or {}  # type: ignore[index]
        plan = self._plans.change(statement, one)
        if plan is None:
            return None
        try:
            sql, arguments = plan.many(parameters) if several else plan.bound(one)  # type: ignore[arg-type]
        except (Unfit, KeyError):
            return None
        return Done(self._run(sql, arguments, many=several))

    def _run(self, sql: str, arguments: Any, *, many: bool) -> int:
        self.statements += 1
        try:
            if self._deadline is not None:
                self._deadline.start()
            cursor = run(self._connection, sql, arguments, many=many)
        except exc.DBAPIError as error:
            self._refuse(error)
            raise
        count = int(cursor.rowcount)
        cursor.close()
        return count

    def _refuse(self, error: exc.DBAPIError) -> None:
        """Raise what a driver's error means to the unit, if that is another; note an ended transaction."""
        if is_transient(error):
            self.lost = error
            return
        meaning = translate(error, metadata)
        if meaning is None:
            return
        if isinstance(meaning, StatementTimeout):
            self.lost = meaning  # SQLite has rolled the whole transaction back
        raise meaning from error

    def rows(self, statement: Executable, parameters: Parameters = None) -> list[Row[Any]]:
        """All rows of a SELECT."""
        found = self._planned(statement, parameters, "fetchall")
        return list(self._executed(statement, parameters).all()) if found is None else found

    def first(self, statement: Executable, parameters: Parameters = None) -> Row[Any] | None:
        """The first row, or None."""
        found = self._planned(statement, parameters, "fetchone")
        if found is None:
            return self._executed(statement, parameters).first()
        return found[0] if found else None

    def scalar(self, statement: Executable, parameters: Parameters = None) -> Any:
        """The first column of the first row, or None."""
        found = self._planned(statement, parameters, "fetchone")
        if found is None:
            return self._executed(statement, parameters).scalar()
        return found[0][0] if found else None

    def _planned(self, statement: Executable, parameters: Parameters, fetch: str) -> list[Row[Any]] | None:
        """The rows of a statement that has a plan, or None."""
        if self._plans is None or not (parameters is None or isinstance(parameters, Mapping)):
            return None
        plan = self._plans.of(statement)
        if plan is None:
            return None
        try:
            sql, arguments = plan.bound(parameters or {})
        except Unfit:
            return None
        return self._fetch(plan, sql, arguments, fetch)

    def _fetch(self, plan: Plan, sql: str, arguments: Any, fetch: str) -> list[Row[Any]]:
        self.statements += 1
        try:
            if self._deadline is not None:
                self._deadline.start()
            cursor = run(self._connection, sql, arguments)
            try:
                found = getattr(cursor, fetch)()
            except BaseException as error:
                fail(self._connection, error, sql, cursor)
                raise
        except exc.DBAPIError as error:
            self._refuse(error)
            raise
        if fetch == "fetchone":
            found = [] if found is None else [found]
        rows = list(map(plan.maker(cursor.description), found))
        cursor.close()
        return rows

    def insert(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows that all have the same keys, in one statement; none is fine."""
        if not rows:
            return
        planned = self._plans.insertion(table, rows[0]) if self._plans is not None else None
        if planned is not None:
            self._insert(planned, rows)
            return
        statement = _INSERTS.get(table)
        if statement is None:
            # inline: nobody asks for a generated key, so none is fetched.
            statement = _INSERTS[table] = table.insert().inline()
        self.execute(statement, rows if len(rows) > 1 else rows[0])

    def _insert(self, planned: Insertion, rows: Sequence[Mapping[str, Any]]) -> None:
        many = len(rows) > 1
        given = list(map(planned.arguments, rows))
        self._run(planned.sql, given if many else given[0], many=many)

    def lock(self, *names: str) -> None:
        """Hold named locks until the transaction ends, for example ``quota:PROJECT:port``.

        Waits for them, in one order for everyone; one statement when their rows exist.
        """
        if self.dialect == "sqlite" or not names:
            return
        held = {row.name for row in self.rows(HOLD, {"names": sorted(set(names))})}
        if missing := sorted(set(names) - held):
            self.execute(upsert_locks(self.dialect), [{"name": name} for name in missing])

    @contextlib.contextmanager
    def savepoint(self) -> Iterator[None]:
        """A part that may fail alone: on an error what it did is undone, and the error goes on."""
        name = f"part_{self._depth}"
        self._depth += 1
        emitted = len(self.events)
        self.statements += 2
        self._control(f"SAVEPOINT {name}")
        try:
            yield
        except BaseException:
            del self.events[emitted:]
            if self.lost is None:
                self._control(f"ROLLBACK TO SAVEPOINT {name}")
                self._control(f"RELEASE SAVEPOINT {name}")
            raise
        else:
            if self.lost is None:
                self._control(f"RELEASE SAVEPOINT {name}")
        finally:
            self._depth -= 1

    def emit(self, event: Event) -> None:
        """Have an event written in this transaction and published after the commit."""
        self.events.append(event_row(event))

    def emit_many(self, events: Sequence[Event]) -> None:
        """The same for many; they are written together."""
        self.events.extend(map(event_row, events))
