"""Named locks: rows that units of work hold until their transaction ends (quotas, the event relay).

On SQLite there is one writer, so nothing is needed. Elsewhere a row that exists is locked by one SELECT;
a missing one is made by an upsert, which holds the row as well: INSERT IGNORE would take a shared lock on
MariaDB, and two of those that want more are a deadlock.
"""

from __future__ import annotations

from sqlalchemy import Column, String, Table, bindparam, select
from sqlalchemy.sql.dml import Insert

from pileus.store.schema import metadata
from pileus.store.upsert import upsert

locks = Table("locks", metadata, Column("name", String(255), primary_key=True))

HOLD = (
    select(locks.c.name)
    .where(locks.c.name.in_(bindparam("names", expanding=True)))
    .order_by(locks.c.name)
    .with_for_update()
)


def upsert_locks(dialect: str) -> Insert:
    """Makes the rows of names that nobody has held yet, and holds them."""
    return upsert(dialect, locks, ("name",))
