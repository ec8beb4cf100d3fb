"""Whether an account may log in: it is active, its password has not ended, and what it shows is enough."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import bindparam

from pileus.core.errors import Unauthenticated
from pileus.services.identity.common.errors import Unauthorized
from pileus.services.identity.rules.compliance import Compliance, password_is_expired
from pileus.services.identity.sessions.session import Account
from pileus.services.identity.tables.users import users
from pileus.store.tx import Tx


class PasswordExpired(Unauthenticated):
    """The password is the right one and has to be changed (401)."""

    message = "The password is expired and needs to be changed for user: {user_id}."


def require_fresh_password(now: dt.datetime, account: Account) -> None:
    """Raise PasswordExpired for an account whose password, which was right, has ended."""
    if account.enabled and password_is_expired(now, account.options, account.password_expires_at):
        raise PasswordExpired(user_id=account.id)


def require_active(now: dt.datetime, compliance: Compliance, account: Account) -> None:
    """Raise Unauthorized for an account that was not active for too long; a directory says so of its own."""
    if not account.from_directory and compliance.is_inactive(now, account.options, account.active_at):
        raise Unauthorized(f"user {account.id} was inactive for too long")


_NOTE = users.update().where(users.c.id == bindparam("key")).values(last_active_at=bindparam("at"))


def activity_note(tx: Tx, now: dt.datetime, key: str) -> None:
    """Note a log-in."""
    tx.execute(_NOTE, {"key": key, "at": now})
