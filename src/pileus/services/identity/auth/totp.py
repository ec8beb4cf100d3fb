"""Log-ins with a passcode: a user's credentials of type ``totp`` hold the keys.

A passcode counts once, the first of them that is used in a step ends those of earlier steps (RFC 6238, 5.2).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec
from sqlalchemy import bindparam, or_, select

from pileus.core import log
from pileus.services.identity.common.errors import Unauthorized
from pileus.services.identity.passwords.check import PasswordCheck
from pileus.services.identity.rules.totp import GUESSES_PER_STEP, matching_step, secret_of, step_of
from pileus.services.identity.sessions.session import Account, Key, account_find
from pileus.services.identity.tables.credentials import credentials, totp_guesses
from pileus.services.identity.tables.users import users
from pileus.services.identity.tokens.keys import TokenKeys
from pileus.services.identity.tokens.ring import blobs_open_each
from pileus.store.tx import Tx
from pileus.store.upsert import upsert
from pileus.web.request import Request

TOTP_TYPE = "totp"
MOST_KEYS = 10
"""Keys of one user that are tried."""

_KEYS_OF = (
    select(credentials.c.id, credentials.c.sealed)
    .where(credentials.c.user_id == bindparam("user_id"), credentials.c.type == TOTP_TYPE)
    .order_by(credentials.c.id)
    .limit(MOST_KEYS)
)
_HOLD = select(users.c.id).where(users.c.id == bindparam("id")).with_for_update()
_GUESSES = select(totp_guesses.c.step, totp_guesses.c.guesses).where(
    totp_guesses.c.user_id == bindparam("user_id"), totp_guesses.c.proof == bindparam("proof")
)
_USE = (
    credentials.update()
    .where(
        credentials.c.id == bindparam("key"),
        or_(credentials.c.used_step.is_(None), credentials.c.used_step < bindparam("step")),
    )
    .values(used_step=bindparam("step"))
)


logger = log.get("identity")


class TotpProof(msgspec.Struct, frozen=True):
    """A user and a passcode."""

    user: Key
    passcode: str


class TotpKey(msgspec.Struct, frozen=True):
    """A key of passcodes as a credential's blob has it."""

    id: str
    blob: str


def totp_keys(tx: Tx, keys: TokenKeys, user: Key) -> tuple[Account | None, list[TotpKey]]:
    """The account, and its keys of passcodes; one that no key opens any more is passed over."""
    account = account_find(tx, user)
    rows = [] if account is None else tx.rows(_KEYS_OF, {"user_id": account.id})
    blobs = blobs_open_each(tx, keys, [row.sealed for row in rows])
    found = []
    for row, blob in zip(rows, blobs, strict=True):
        if blob is None:
            logger.warning("a key of passcodes can't be opened", credential=row.id)
        else:
            found.append(TotpKey(row.id, blob))
    return account, found


def totp_use(tx: Tx, matching: Sequence[tuple[str, int]]) -> bool:
    """Note that a passcode of these keys' steps was used; False if it was of one of them, or a later one."""
    used = [tx.execute(_USE, {"key": key, "step": step}).rowcount for key, step in sorted(matching)]
    return all(used)


def guess_take(tx: Tx, user_id: str, step: int, *, proof: bool) -> bool:
    """Count a passcode that is looked at now, on whichever server; False if there were enough in this step.

    Those that come with another ``proof`` of the same user count apart, so that nobody who knows no more
    than his name keeps a user out.
    """
    if tx.first(_HOLD, {"id": user_id}) is None:
        return False
    row = tx.first(_GUESSES, {"user_id": user_id, "proof": proof})
    count = row.guesses + 1 if row is not None and row.step == step else 1
    if count > GUESSES_PER_STEP:
        return False
    values = {"user_id": user_id, "proof": proof, "step": step, "guesses": count}
    tx.execute(upsert(tx.dialect, totp_guesses, ("step", "guesses")), values)
    return True


class TotpCheck:
    """Checks passcodes; ``previous`` steps besides the present one count, for clocks that differ."""

    def __init__(self, keys: TokenKeys, check: PasswordCheck, previous: int) -> None:
        self._keys = keys
        self._check = check
        self._previous = previous

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
        if self._check.is_locked(now, account) or not await request.write(
            guess_take, account.id, step_of(now), proof=known
        ):
            raise Unauthorized(f"too many passcodes for user {account.id}")
        matching = []
        for row in kept:
            secret = secret_of(row.blob)
            step = matching_step(secret, proof.passcode, now, self._previous) if secret is not None else None
            if step is not None:
                matching.append((row.id, step))
        # A secret may be kept twice: a passcode of it counts once all the same.
        right = bool(matching) and await request.write(totp_use, matching)
        if not await self._check.settle(request, account, right=right):
            raise Unauthorized(f"wrong passcode for user {account.id}")
        return account
