"""The key rings: keys of tokens and of credentials, kept in the database for all servers that share it.

Until the first rotation the keys are those of a file; then they are rows. The identity generation's upper
bits count changes of the rings, so whoever compares generations (each check of a token) notices a change
with the statement that he sends anyway, and reads the rings anew: a withdrawn key opens nothing from the
next request on, on every server.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import Select, Table, Update, bindparam, select

from pileus.core.context import Context
from pileus.core.errors import Conflict, NotFound
from pileus.services.identity.common.generation import (
    KEYS_SCOPE,
    announce_key_change,
    generation_read,
    revision_of,
)
from pileus.services.identity.rules.keys import Key, rotated, withdrawn
from pileus.services.identity.tables.credentials import credentials
from pileus.services.identity.tables.domain_config import domain_options
from pileus.services.identity.tables.keys import shared_keys
from pileus.services.identity.tables.oauth1 import access_tokens, consumers, request_tokens
from pileus.services.identity.tokens.keys import KEY_BYTES, TokenKeys, fingerprint
from pileus.services.identity.tokens.sealing import CredentialEncryptionError
from pileus.store import Published, Store
from pileus.store.tx import Tx

Purpose = Literal["token", "credential"]

_OF_PURPOSE = select(shared_keys).where(shared_keys.c.purpose == bindparam("purpose"))
_FORGET = shared_keys.delete().where(shared_keys.c.purpose == bindparam("of_purpose"))
_REWRAP = shared_keys.update().where(shared_keys.c.id == bindparam("of_id")).values(sealed=bindparam("anew"))
SEALED: tuple[Table, ...] = (credentials, domain_options, consumers, request_tokens, access_tokens)
"""The tables whose column ``sealed`` was sealed with a key of credentials, by ``id``."""


def _batch(table: Table) -> Select[Any]:
    return (
        select(table.c.id, table.c.sealed)
        .where(table.c.id > bindparam("after"), table.c.sealed.is_not(None))
        .order_by(table.c.id)
        .limit(bindparam("count"))
    )


def _reseal(table: Table) -> Update:
    return (
        table.update()
        .where(table.c.id == bindparam("of_id"), table.c.sealed == bindparam("before"))
        .values(sealed=bindparam("now_sealed"))
    )


_BATCHES = {table.name: _batch(table) for table in SEALED}
_RESEALS = {table.name: _reseal(table) for table in SEALED}
BATCH = 500


class KeyNotFound(NotFound):
    """There is no such key (404)."""

    message = "Could not find key: {id}."


class NotMigrated(Conflict):
    """Credentials are not sealed with the primary key yet (409)."""

    message = (
        "Unable to rotate credential keys because not all credentials are encrypted with the primary key. "
        "Please make sure all credentials have been encrypted with the primary key using `pileus keys "
        "migrate`."
    )


class NotInDatabase(Conflict):
    """Nothing was rotated yet: the file's keys seal tokens or credentials themselves (409)."""

    message = (
        "The keys of this file are in use themselves. Rotate them first (`pileus keys rotate`): from then on "
        "the file seals the keys in the database, and nothing else."
    )


class KeyInUse(Conflict):
    """Credentials are sealed with the key (409)."""

    message = (
        "Credentials are encrypted with key {id}: `pileus keys rotate --credentials` and `pileus keys "
        "migrate` encrypt them with another one."
    )


class Ring(msgspec.Struct, frozen=True):
    """The keys of a purpose with their secrets by id, and the revision that they were read in."""

    keys: tuple[Key, ...]
    secrets: dict[str, bytes]
    revision: int

    @property
    def in_order(self) -> list[bytes]:
        """The secrets, that of the primary key first. The staged key opens too: others may seal with it."""
        rank = {"primary": 0, "staged": 1, "secondary": 2}
        return [self.secrets[one.id] for one in sorted(self.keys, key=lambda one: rank[one.state])]


def ring_read(tx: Tx, file: TokenKeys, purpose: Purpose) -> Ring:
    """The ring of a purpose; before the first rotation that of the file."""
    revision = revision_of(generation_read(tx))  # first: a change that comes between is noticed later
    rows = tx.rows(_OF_PURPOSE, {"purpose": purpose})
    if not rows:
        return _of_file(file, revision)
    keys = tuple(Key(row.id, row.state, row.created_at, row.retired_at) for row in rows)
    return Ring(keys, {row.id: file.unwrap(row.sealed) for row in rows}, revision)


def blobs_open(tx: Tx, keys: TokenKeys, sealed: Sequence[str]) -> list[str]:
    """Open what credentials' keys sealed. Raises CredentialEncryptionError.

    Another server may have changed the keys since this one was told: what its own don't open, those of the
    database do, which are read once.
    """
    opened = blobs_open_each(tx, keys, sealed)
    if None in opened:
        raise CredentialEncryptionError
    return [blob for blob in opened if blob is not None]


def blobs_open_each(tx: Tx, keys: TokenKeys, sealed: Sequence[str]) -> list[str | None]:
    """Open what credentials' keys sealed; None for what no key opens, which keeps nobody from the others."""
    opened = [keys.open(one) for one in sealed]
    if None in opened:
        current = TokenKeys.of(ring_read(tx, keys, "credential").in_order)
        opened = [
            current.open(one) if blob is None else blob for one, blob in zip(sealed, opened, strict=True)
        ]
    return [None if blob is None else blob.decode() for blob in opened]


def _of_file(file: TokenKeys, revision: int) -> Ring:
    born = dt.datetime(1970, 1, 1)
    keys = [
        Key(fingerprint(secret), "secondary" if at else "primary", born, born if at else None)
        for at, secret in enumerate(file.of_file)
    ]
    return Ring(tuple(keys), {fingerprint(secret): secret for secret in file.of_file}, revision)


def ring_rotate(
    tx: Tx,
    context: Context,
    file: TokenKeys,
    purpose: Purpose,
    fresh: Sequence[bytes],
    active: int,
    needed: dt.timedelta,
) -> None:
    """Make the staged key primary, and a new one staged. Raises NotMigrated."""
    tx.lock("keys")
    ring = ring_read(tx, file, purpose)
    if purpose == "credential" and _sealed_by_another(
        tx, ring, next(one.id for one in ring.keys if one.state == "primary")
    ):
        raise NotMigrated
    ids = [fingerprint(secret) for secret in fresh]
    after = rotated(ring.keys, ids, context.now, active=active, needed=needed)
    _write(tx, context, file, purpose, ring, after, dict(zip(ids, fresh, strict=True)), "rotate")


def ring_withdraw(
    tx: Tx, context: Context, file: TokenKeys, purpose: Purpose, key_id: str, fresh: Sequence[bytes]
) -> None:
    """Forget a key: what it sealed is opened no more. Raises KeyNotFound, KeyInUse."""
    tx.lock("keys")
    ring = ring_read(tx, file, purpose)
    if key_id not in ring.secrets:
        raise KeyNotFound(id=key_id)
    if purpose == "credential" and _sealed_by(tx, ring.secrets[key_id]):
        raise KeyInUse(id=key_id)
    ids = [fingerprint(secret) for secret in fresh]
    after = withdrawn(ring.keys, key_id, ids, context.now)
    _write(tx, context, file, purpose, ring, after, dict(zip(ids, fresh, strict=True)), "withdraw")


def ring_rewrap(tx: Tx, file: TokenKeys, purpose: Purpose) -> int:
    """Seal the keys of a purpose with the staged file's key; how many. Raises NotInDatabase."""
    tx.lock("keys")
    rows = tx.rows(_OF_PURPOSE, {"purpose": purpose})
    if not rows:
        raise NotInDatabase
    wrapped = [{"of_id": row.id, "anew": file.wrap(file.unwrap(row.sealed), staged=True)} for row in rows]
    tx.execute(_REWRAP.where(shared_keys.c.purpose == purpose), wrapped)
    return len(rows)


def _write(
    tx: Tx,
    context: Context,
    file: TokenKeys,
    purpose: Purpose,
    before: Ring,
    after: Sequence[Key],
    fresh: dict[str, bytes],
    verb: str,
) -> None:
    known = {**before.secrets, **fresh}
    tx.execute(_FORGET, {"of_purpose": purpose})
    tx.insert(
        shared_keys,
        [
            {
                "purpose": purpose,
                "id": one.id,
                "state": one.state,
                "sealed": file.wrap(known[one.id]),
                "created_at": one.created_at,
                "retired_at": one.retired_at,
            }
            for one in after
        ],
    )
    primary = next(one.id for one in after if one.state == "primary")
    announce_key_change(tx, context, f"{purpose}_key.{verb}", primary)


def _every_sealed(tx: Tx) -> Iterator[Any]:
    for batch in _BATCHES.values():
        after = ""
        while rows := tx.rows(batch, {"after": after, "count": BATCH}):
            yield from rows
            after = rows[-1].id


def _sealed_by(tx: Tx, secret: bytes) -> bool:
    one = TokenKeys.of([secret])
    return any(one.open(row.sealed) is not None for row in _every_sealed(tx))


def _sealed_by_another(tx: Tx, ring: Ring, key_id: str) -> bool:
    one = TokenKeys.of([ring.secrets[key_id]])
    return any(one.open(row.sealed) is None for row in _every_sealed(tx))


def credentials_migrate(tx: Tx, file: TokenKeys, table: str, after: str, seconds: int) -> tuple[str, int]:
    """Seal a batch of one of the tables ``SEALED`` with the primary key: the last id looked at, and how many
    were sealed anew.

    One that no key opens stays as it is.
    """
    ring = ring_read(tx, file, "credential")
    every, primary = TokenKeys.of(ring.in_order), TokenKeys.of(ring.in_order[:1])
    rows = tx.rows(_BATCHES[table], {"after": after, "count": BATCH})
    anew = []
    for row in rows:
        if primary.open(row.sealed) is None and (blob := every.open(row.sealed)) is not None:
            sealed = primary.seal(blob, seconds)
            anew.append({"of_id": row.id, "before": row.sealed, "now_sealed": sealed})
    if anew:
        tx.execute(_RESEALS[table], anew)
    return (rows[-1].id if rows else ""), len(anew)


class KeyRing:
    """The keys of one purpose in this process, in step with the database."""

    def __init__(self, store: Store, keys: TokenKeys, purpose: Purpose) -> None:
        self._store = store
        self.keys = keys
        self.purpose: Purpose = purpose

    async def migrate(self, seconds: int) -> int:
        """Seal everything that credentials' keys seal with the primary one; how much was."""
        count = 0
        for table in SEALED:
            after = ""
            while True:
                after, anew = await self._store.write(
                    credentials_migrate, self.keys, table.name, after, seconds
                )
                count += anew
                if not after:
                    break
        return count

    async def refresh(self) -> Ring:
        """Read the ring, and use it from now on."""
        ring = await self._store.read(ring_read, self.keys, self.purpose)
        self.keys.install(ring.in_order, ring.revision)
        return ring

    async def keep_up(self) -> None:
        """Read the ring if it has changed since, for what is opened without a token's check."""
        if revision_of(await self._store.read(generation_read)) != self.keys.revision:
            await self.refresh()

    async def rotate(self, context: Context, active: int, needed: dt.timedelta) -> Ring:
        """Rotate. Raises NotMigrated."""
        fresh = [secrets.token_bytes(KEY_BYTES) for _ in range(2)]
        await self._store.write(ring_rotate, context, self.keys, self.purpose, fresh, active, needed)
        return await self.refresh()

    async def rewrap(self) -> int:
        """Seal the database's keys with a new key file, which takes the place of the present one; how many.

        Raises NotInDatabase.
        """
        self.keys.stage()
        count = await self._store.write(ring_rewrap, self.keys, self.purpose)
        self.keys.promote()
        return count

    async def withdraw(self, context: Context, key_id: str) -> Ring:
        """Withdraw a key. Raises KeyNotFound, KeyInUse."""
        fresh = [secrets.token_bytes(KEY_BYTES) for _ in range(2)]
        await self._store.write(ring_withdraw, context, self.keys, self.purpose, key_id, fresh)
        return await self.refresh()

    def changed(self, published: Published) -> bool:
        """Whether events tell of a change, or may have."""
        return KEYS_SCOPE in published.scopes or not published.events
