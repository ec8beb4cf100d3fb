"""Failed log-ins of users, counted for the lockout."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import bindparam, select

from pileus.services.identity.rules.passwords import Lockout
from pileus.services.identity.tables.users import users
from pileus.store.tx import Tx

_FAILURES = (
    select(users.c.failed_auth_count, users.c.failed_auth_at)
    .where(users.c.id == bindparam("key"))
    .with_for_update()
)
_SET_FAILURES = (
    users.update()
    .where(users.c.id.in_(bindparam("keys", expanding=True)))
    .values(failed_auth_count=bindparam("count"), failed_auth_at=bindparam("at"))
)


def failure_count(tx: Tx, now: dt.datetime, key: str, lockout: Lockout) -> None:
    """Count a wrong password of a user, unless he is locked by now: no lock is prolonged."""
    row = tx.first(_FAILURES, {"key": key})
    if row is not None and not lockout.locks(row.failed_auth_count, row.failed_auth_at, now):
        count = lockout.after_failure(row.failed_auth_count)
        tx.execute(_SET_FAILURES, {"keys": [key], "count": count, "at": now})


def failures_clear_if_unlocked(
    tx: Tx, now: dt.datetime, key: str, lockout: Lockout, *, clear: bool = True
) -> bool:
    """Forget the failures of a user whose password was right; False if he is locked by now.

    Without ``clear`` they are remembered: he has more to show.
    """
    row = tx.first(_FAILURES, {"key": key})
    if row is None or lockout.locks(row.failed_auth_count, row.failed_auth_at, now):
        return False
    if row.failed_auth_count and clear:
        tx.execute(_SET_FAILURES, {"keys": [key], "count": 0, "at": None})
    return True


def failures_forget(tx: Tx, keys: list[str]) -> None:
    """Forget the failures of users, which unlocks them."""
    tx.execute(_SET_FAILURES, {"keys": keys, "count": 0, "at": None})
