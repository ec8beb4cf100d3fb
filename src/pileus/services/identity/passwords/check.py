"""Check passwords: in the order of the queue, while the client waits, and not of a locked user."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import bindparam

from pileus.services.identity.passwords.failures import failure_count, failures_clear_if_unlocked
from pileus.services.identity.passwords.hashing import Passwords
from pileus.services.identity.rules.compliance import IGNORE_LOCKOUT
from pileus.services.identity.rules.fair_queue import Origin
from pileus.services.identity.rules.methods import asks_for_several
from pileus.services.identity.rules.passwords import Lockout
from pileus.services.identity.sessions.session import Account
from pileus.services.identity.tables.users import users
from pileus.store.tx import Tx
from pileus.web.client import share_of
from pileus.web.request import Request


def origin_of(request: Request, who: object) -> Origin:
    """The place of a hash in the queue: by the client's address, and the user that the request is about."""
    return Origin(share_of(request.client_address), str(who))


_REPLACE = (
    users.update()
    .where(users.c.id == bindparam("key"), users.c.password_hash == bindparam("old"))
    .values(password_hash=bindparam("new"))
)


def hash_replace(tx: Tx, key: str, old: str, new: str) -> None:
    """Put another hash of the same password into the place of one, if that is still there."""
    tx.execute(_REPLACE, {"key": key, "old": old, "new": new})


class PasswordCheck:
    """Checks the password of a user.

    Whether a user does not exist, is locked or gave a wrong password is answered alike and costs alike.
    """

    def __init__(self, passwords: Passwords, lockout: Lockout) -> None:
        self._passwords = passwords
        self._lockout = lockout

    def lockout_of(self, account: Account | None) -> Lockout:
        """The lock-out that counts for an account: none for one whose failures are to be ignored."""
        ignored = account is not None and account.options.get(IGNORE_LOCKOUT) is True
        return Lockout() if ignored else self._lockout

    async def holds(self, request: Request, account: Account | None, password: str, who: object) -> bool:
        """Whether the account's password is that one; ``who`` is the user as the request names him.

        Raises ClientGone where nobody waits any more, TooManyLogins, LoginsBusy.
        """
        locked = account is not None and self.is_locked(request.context.now, account)
        encoded = None if account is None or locked else account.password_hash
        right = await request.while_there(self._passwords.matches(encoded, password, origin_of(request, who)))
        right = await self.settle(request, account, right=right)
        if right and encoded is not None and self._passwords.replaces(encoded, password):
            await self._replace(request, account, encoded, password)
        return right

    async def _replace(self, request: Request, account: Account | None, encoded: str, password: str) -> None:
        """Turn a hash of another kind into one of ours, unless the password was changed meanwhile."""
        assert account is not None
        ours = await request.while_there(self._passwords.hash(password, origin_of(request, account.id)))
        await request.write(hash_replace, account.id, encoded, ours)

    def is_locked(self, now: dt.datetime, account: Account) -> bool:
        """Whether the account is locked out."""
        return self.lockout_of(account).locks(account.failed_auth_count, account.failed_auth_at, now)

    async def settle(self, request: Request, account: Account | None, *, right: bool) -> bool:
        """Count what was shown for the lock-out; returns whether it was right and the account not locked.

        A user who has to show several methods is not through with one of them: else whoever knows his
        password could guess passcodes without end.
        """
        lockout, now = self.lockout_of(account), request.context.now
        if not lockout.failure_attempts:
            return right
        # Others may have failed meanwhile, in the same queue: the last word has the row.
        key = account.id if account is not None else ""
        if right:
            clear = account is not None and not asks_for_several(account.options)
            return await request.write(failures_clear_if_unlocked, now, key, lockout, clear=clear)
        await request.write(failure_count, now, key, lockout)
        return False

    async def admitted(self, request: Request, account: Account) -> None:
        """Forget the failures of a user who has shown all that he has to."""
        lockout = self.lockout_of(account)
        if lockout.failure_attempts and account.failed_auth_count:
            await request.write(failures_clear_if_unlocked, request.context.now, account.id, lockout)
