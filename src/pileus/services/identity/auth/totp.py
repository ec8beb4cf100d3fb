"""Log-ins with a passcode: a user's credentials of type ``totp`` hold the keys.

A passcode counts once, the first of them that is used in a step ends those of earlier steps (RFC 6238, 5.2).
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from sqlalchemy import bindparam, or_, select

from pileus.services.identity.common.errors import Unauthorized
from pileus.services.identity.passwords.check import PasswordCheck
from pileus.services.identity.rules.totp import Guesses, matching_step, secret_of
from pileus.services.identity.sessions.session import Account, Key, account_find
from pileus.services.identity.tables.credentials import credentials
from pileus.services.identity.tokens.keys import TokenKeys
from pileus.services.identity.tokens.ring import blobs_open
from pileus.store.tx import Tx
from pileus.web.request import Request

TOTP_TYPE = "totp"
MOST_KEYS = 10
"""Keys of one user that are tried."""

_KEYS_OF = (
    select(credentials.c.id, credentials.c.sealed, credentials.c.used_step)
    .where(credentials.c.user_id == bindparam("user_id"), credentials.c.type == TOTP_TYPE)
    .order_by(credentials.c.id)
    .limit(MOST_KEYS)
)
_USE = (
    credentials.update()
    .where(
        credentials.c.id == bindparam("key"),
        or_(credentials.c.used_step.is_(None), credentials.c.used_step < bindparam("step")),
    )
    .values(used_step=bindparam("step"))
)


class TotpProof(msgspec.Struct, frozen=True):
    """A user and a passcode."""

    user: Key
    passcode: str


class TotpKey(msgspec.Struct, frozen=True):
    """A key of passcodes as a credential's blob has it, and the last step that one of its was used in."""

    id: str
    blob: str
    used_step: int | None


def totp_keys(tx: Tx, keys: TokenKeys, user: Key) -> tuple[Account | None, list[TotpKey]]:
    """The account, and its keys of passcodes. Raises CredentialEncryptionError."""
    account = account_find(tx, user)
    rows = [] if account is None else tx.rows(_KEYS_OF, {"user_id": account.id})
    blobs = blobs_open(tx, keys, [row.sealed for row in rows])
    return account, [TotpKey(row.id, blob, row.used_step) for row, blob in zip(rows, blobs, strict=True)]


def totp_use(tx: Tx, key: str, step: int) -> bool:
    """Note that a passcode of that step was used; False if it was, or a later one."""
    return tx.execute(_USE, {"key": key, "step": step}).rowcount == 1


class TotpCheck:
    """Checks passcodes; ``previous`` steps besides the present one count, for clocks that differ."""

    def __init__(self, keys: TokenKeys, check: PasswordCheck, previous: int) -> None:
        self._keys = keys
        self._check = check
        self._previous = previous
        self._guesses = Guesses()

    async def account(
        self, request: Request, proof: TotpProof, proven: Collection[str | None] = ()
    ) -> Account:
        """The account whose passcode it is, which counts no more from now on. Raises Unauthorized.

        ``proven`` are the ids of those who have shown something else.
        """
        now = request.context.now
        account, kept = await request.read(totp_keys, self._keys, proof.user)
        if account is None or not kept:
            raise Unauthorized(f"no such user, or one without a key: {proof.user}")
        known = account.id in proven
        if self._guesses.are_too_many(account.id, now, proof=known) or self._check.is_locked(now, account):
            raise Unauthorized(f"too many wrong passcodes for user {account.id}")
        right = False
        for row in kept:
            secret = secret_of(row.blob)
            step = matching_step(secret, proof.passcode, now, self._previous) if secret is not None else None
            if step is not None and (row.used_step is None or row.used_step < step):
                right = await request.write(totp_use, row.id, step)
                break
        if not right:
            self._guesses.add(account.id, now, proof=known)
        if not await self._check.settle(request, account, right=right):
            raise Unauthorized(f"wrong passcode for user {account.id}")
        return account
