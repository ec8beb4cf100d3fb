"""Named locks: rows that units of work hold until their transaction ends (quotas, the event relay).

On SQLite there is one writer, so nothing is needed. Elsewhere a row that exists is locked by one SELECT;
a missing one is made by an upsert, which holds the row as well: INSERT IGNORE would take a shared lock on
MariaDB, and two of those that want more are a deadlock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import Column, String, Table, bindparam, select

from pileus.store.schema import metadata
from pileus.store.upsert import upsert

if TYPE_CHECKING:
    from pileus.store.tx import Tx

locks = Table("locks", metadata, Column("name", String(255), primary_key=True))

_HOLD = (
    select(locks.c.name)
    .where(locks.c.name.in_(bindparam("names", expanding=True)))
    .order_by(locks.c.name)
    .with_for_update()
)


def lock_hold(tx: Tx, names: Sequence[str]) -> None:
    """Wait for and hold these names, in one order for everyone; one statement when the rows exist."""
    if tx.dialect == "sqlite" or not names:
        return
    held = {row.name for row in tx.rows(_HOLD, {"names": sorted(set(names))})}
    missing = sorted(set(names) - held)
    if missing:
        tx.execute(upsert(tx.dialect, locks, ("name",)), [{"name": name} for name in missing])
