"""Leases: who does what only one may do, and until when. Taken by compare-and-swap; they run out."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from sqlalchemy import Column, Table, bindparam, delete, or_, update

from pileus.store.errors import Duplicate
from pileus.store.schema import Moment, Name, metadata

if TYPE_CHECKING:
    from pileus.store.tx import Tx

leases = Table(
    "leases",
    metadata,
    Column("name", Name, primary_key=True),
    Column("owner", Name, nullable=False),
    Column("expires_at", Moment, nullable=False),
)

_TAKE = (
    update(leases)
    .where(
        leases.c.name == bindparam("lease"),
        or_(leases.c.owner == bindparam("taker"), leases.c.expires_at <= bindparam("now")),
    )
    .values(owner=bindparam("taker"), expires_at=bindparam("until"))
)
_RELEASE = delete(leases).where(leases.c.name == bindparam("lease"), leases.c.owner == bindparam("taker"))


def lease_take(tx: Tx, name: str, owner: str, ttl_s: float, now: dt.datetime) -> bool:
    """Take, or keep, the lease for ``ttl_s`` seconds from ``now``; False while another owner has it."""
    until = now + dt.timedelta(seconds=ttl_s)
    if tx.execute(_TAKE, {"lease": name, "taker": owner, "now": now, "until": until}).rowcount:
        return True
    try:
        with tx.savepoint():
            tx.insert(leases, [{"name": name, "owner": owner, "expires_at": until}])
    except Duplicate:
        return False
    return True


def lease_release(tx: Tx, name: str, owner: str) -> bool:
    """Give the lease back; False when it was not (or no longer) this owner's."""
    return tx.execute(_RELEASE, {"lease": name, "taker": owner}).rowcount > 0
