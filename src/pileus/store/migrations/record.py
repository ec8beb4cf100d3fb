"""Which revisions a database has had: a row each in ``schema_revisions``.

All are kept and not only the newest, so that a revision which came in between (two people's work, merged) is
found to be missing, and one that this code does not have is found out.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select, text

from pileus.core.errors import Unavailable
from pileus.store.migrations.lines import LAST_SHARED, Revision, in_order, known

schema_revisions = Table(
    "schema_revisions",
    MetaData(),  # its own: revisions neither make it nor change it
    Column("service", String(32), primary_key=True),
    Column("name", String(128), primary_key=True),
)
LEGACY = "alembic_version"
"""Held the newest number while all services had one line."""


class SchemaTooNew(Unavailable):
    """The database was upgraded by a newer Pileus than this one."""

    message = "The database has revisions that this version of Pileus does not know: {found}."


def recorded(connection: Connection) -> frozenset[Revision]:
    """The revisions that the database has had; none for one without tables of ours."""
    tables = inspect(connection)
    if tables.has_table(schema_revisions.name):
        rows = connection.execute(select(schema_revisions.c.service, schema_revisions.c.name))
        return frozenset(Revision(*row) for row in rows)
    if tables.has_table(LEGACY):
        number = connection.execute(text(f"SELECT version_num FROM {LEGACY}")).scalar()  # noqa: S608
        if number is not None and number > LAST_SHARED:
            raise SchemaTooNew(found=number)
        return frozenset(one for one in known() if number is not None and one.number <= number)
    return frozenset()


def missing(had: frozenset[Revision]) -> list[Revision]:
    """The revisions that a database which had these has to run, in order. Raises SchemaTooNew."""
    if unknown := had.difference(known()):
        raise SchemaTooNew(found=", ".join(map(str, in_order(unknown))))
    return [revision for revision in known() if revision not in had]


def is_current(connection: Connection) -> bool:
    """Whether a start has nothing to do here. Raises SchemaTooNew."""
    return not missing(recorded(connection)) and inspect(connection).has_table(schema_revisions.name)


def begin(connection: Connection, had: Iterable[Revision]) -> None:
    """Make the record where it is missing, with what the database has had."""
    tables = inspect(connection)
    if not tables.has_table(schema_revisions.name):
        schema_revisions.create(connection)
        add(connection, had)
    if tables.has_table(LEGACY):
        connection.execute(text(f"DROP TABLE {LEGACY}"))


def add(connection: Connection, revisions: Iterable[Revision]) -> None:
    """Write down revisions that the database has had now."""
    rows = [{"service": one.service, "name": one.name} for one in revisions]
    if rows:
        connection.execute(schema_revisions.insert(), rows)
