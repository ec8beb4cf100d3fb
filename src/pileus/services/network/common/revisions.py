"""Revision numbers of what changes because something that belongs to it did.

A subnet that comes, changes or goes is a change of its network, a rule is one of its group or policy,
an interface one of its router. ``Resource.change`` counts what is changed itself.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Collection
from typing import Any

from sqlalchemy import Table, Update, bindparam, update

from pileus.store.column_in import listed
from pileus.store.tx import Tx


def next_revision(table: Table, now: Any) -> dict[str, Any]:
    """The columns that an UPDATE of a visible change sets besides; ``now`` may be a bound parameter."""
    return {"revision_number": table.c.revision_number + 1, "updated_at": now}


def touch(tx: Tx, table: Table, ids: Collection[str], now: dt.datetime) -> None:
    """Count a change of these; one statement, none for none."""
    if ids:
        tx.execute(_touching(tx.dialect, table), {"touched": sorted(ids), "now": now})


@functools.cache
def _touching(dialect: str, table: Table) -> Update:
    values = next_revision(table, bindparam("now"))
    return update(table).where(listed(dialect, table.c.id, "touched")).values(values)
