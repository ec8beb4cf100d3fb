"""Refusals of a database as errors that are the same for all three databases.

Units of work may catch :class:`Duplicate` and :class:`Referenced` around statements run inside
``with tx.savepoint():``. Left alone they reach the caller as a conflict (409), never as a 500.
"""

from __future__ import annotations

import re
import sqlite3

from sqlalchemy import Index, MetaData, UniqueConstraint, exc

from pileus.core.errors import Conflict, Fault, Invalid, Unavailable


class Duplicate(Conflict):
    """A primary key or unique constraint says that this exists already.

    ``constraint`` is the constraint's or index's name (``uq_ports_network_id_mac``, ``pk_ports``),
    or None where the database does not tell.
    """

    message = "The same thing exists already ({constraint})."

    def __init__(self, constraint: str | None = None) -> None:
        super().__init__(constraint=constraint)
        self.constraint = constraint


class Referenced(Conflict):
    """A foreign key says that something else still refers to this, or that what this refers to is gone.

    ``constraint`` is its name, or None (SQLite never tells).
    """

    message = "Something else depends on this, or what this depends on is gone ({constraint})."

    def __init__(self, constraint: str | None = None) -> None:
        super().__init__(constraint=constraint)
        self.constraint = constraint


class DatabaseUnavailable(Unavailable):
    """The database did not answer, or had us start again too often; nothing was written."""

    message = "The database does not answer now: {reason}"


class CommitUnknown(Unavailable):
    """The connection broke during COMMIT: whether the unit was written can't be known from here."""

    message = "The connection to the database broke while writing; the outcome is not known."


class StatementTimeout(Unavailable):
    """A statement took longer than the setting allows; the unit was rolled back and is not run again."""

    message = "The database took too long over one statement, and nothing was written. Ask for less at once."
    retry_after_s = 5


class TooComplex(Invalid):
    """The database takes no statement with that many conditions, values or tables."""

    message = "The request names more values than one statement of the database can hold."


# SQLite's extended result codes (sqlite.org/rescode.html), PostgreSQL's SQLSTATEs (appendix A of its manual),
# MariaDB's error numbers (its "MariaDB Error Code Reference").
_DUPLICATE = {1555, 2067, 2579, "23505", 1062}
_REFERENCED = {787, "23503", 1216, 1217, 1451, 1452}
_TRANSIENT = {"40001", "40P01", "55P03", 1213, 1205, 1020}
_INTERRUPTED = {sqlite3.SQLITE_INTERRUPT, "57014", 1969, 3024}
_TOO_COMPLEX = {"54001", "54011", "54023", 1116, 1390, 1436}
_SQLITE_TOO_COMPLEX = re.compile(
    r"Expression tree is too large|too many (?:SQL variables|terms)|parser stack overflow|tables in a join"
)

_SQLITE_COLUMNS = re.compile(r"UNIQUE constraint failed: (.+)")
_SQLITE_INDEX = re.compile(r"index '([^']+)'")
_MARIADB_DUPLICATE_KEY = re.compile(r"for key '(?:[^'.]+\.)?([^']+)'")
_MARIADB_FOREIGN_KEY = re.compile(r"CONSTRAINT `([^`]+)`")
_TARGET = re.compile(r"\s*(?:INSERT\s+INTO|UPDATE)\s+[`\"]?(\w+)", re.IGNORECASE)


def _code(error: exc.DBAPIError) -> int | str | None:
    orig = error.orig
    if orig is not None and orig.args and isinstance(orig.args[0], int):
        return orig.args[0]  # MariaDB's number; PyMySQL has a (coarser) sqlstate beside it
    code = getattr(orig, "sqlite_errorcode", None) or getattr(orig, "sqlstate", None)
    return code if isinstance(code, int | str) else None


def translate(error: exc.DBAPIError, metadata: MetaData) -> Fault | None:
    """The error of ours that a driver's error means, or None when it is something else."""
    code = _code(error)
    if code in _DUPLICATE:
        return Duplicate(_constraint(error, metadata))
    if code in _REFERENCED:
        return Referenced(_constraint(error, metadata))
    if code in _INTERRUPTED:
        return StatementTimeout()
    if code in _TOO_COMPLEX or _SQLITE_TOO_COMPLEX.search(str(error.orig)):
        return TooComplex()
    return None


def told(error: BaseException, metadata: MetaData) -> BaseException:
    """The error of ours where a driver's error left a unit, as it does while rows are fetched."""
    meaning = translate(error, metadata) if isinstance(error, exc.DBAPIError) else None
    if meaning is not None:
        meaning.__cause__ = error
    return meaning or error


def is_transient(error: exc.DBAPIError) -> bool:
    """True for a deadlock, a serialisation failure, a lock waited for too long or a lost connection."""
    return error.connection_invalidated or _code(error) in _TRANSIENT


def _constraint(error: exc.DBAPIError, metadata: MetaData) -> str | None:
    diagnosis = getattr(error.orig, "diag", None)
    if diagnosis is not None:
        name = diagnosis.constraint_name
        return name if isinstance(name, str) else None
    text = str(error.orig)
    if found := _SQLITE_COLUMNS.search(text):
        return _sqlite_constraint(found.group(1), metadata)
    if found := _MARIADB_FOREIGN_KEY.search(text):
        return found.group(1)
    if found := _MARIADB_DUPLICATE_KEY.search(text):
        name = found.group(1)
        target = _TARGET.match(error.statement or "")
        return f"pk_{target.group(1)}" if name == "PRIMARY" and target else name
    return None


def _sqlite_constraint(named: str, metadata: MetaData) -> str | None:
    """SQLite names columns (``ports.network_id, ports.mac``): find the constraint over them."""
    if index := _SQLITE_INDEX.search(named):
        return index.group(1)
    pairs = [part.strip().split(".", 1) for part in named.split(",")]
    table = metadata.tables.get(pairs[0][0])
    if table is None:
        return None
    columns = {pair[-1] for pair in pairs}
    if columns == {column.name for column in table.primary_key.columns}:
        return f"pk_{table.name}"
    candidates: list[UniqueConstraint | Index] = [
        *(constraint for constraint in table.constraints if isinstance(constraint, UniqueConstraint)),
        *(index for index in table.indexes if index.unique),
    ]
    for candidate in candidates:
        if columns == {column.name for column in candidate.columns}:
            return str(candidate.name)
    return None
