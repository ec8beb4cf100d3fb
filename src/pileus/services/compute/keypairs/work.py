"""Units of work of key pairs."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, func, select

from pileus.core.context import Context
from pileus.core.errors import Conflict
from pileus.resource.declaration import Values
from pileus.resource.event import event
from pileus.services.compute.errors import QuotaError
from pileus.services.compute.keypairs.resource import KEYPAIR, KeypairNotFound
from pileus.services.compute.quotas.counting import limit_of
from pileus.services.compute.tables.keypairs import keypairs
from pileus.store.errors import Duplicate
from pileus.store.tx import Tx


class KeyPairExists(Conflict):
    message = "Key pair '{name}' already exists."


def keypair_create(tx: Tx, context: Context, specs: list[Values]) -> list[Values]:
    """Write key pairs; KeyPairExists, or QuotaError where their user has as many as he may."""
    for spec in specs:
        tx.lock(f"quota:{spec['user_id']}:key_pairs")
        _check_quota(tx, context, spec["user_id"])
        try:
            with tx.savepoint():
                KEYPAIR.insert(tx, context, [spec])
        except Duplicate:
            raise KeyPairExists(name=spec["name"]) from None
        tx.emit(event(context, "keypair.create", spec["name"], context.project_id, user_id=spec["user_id"]))
    return specs


def _check_quota(tx: Tx, context: Context, user_id: str) -> None:
    have = tx.scalar(select(func.count()).where(keypairs.c.user_id == user_id))
    allowed = limit_of(tx, context.project_id or "", "key_pairs", user_id)
    if allowed >= 0 and have >= allowed:
        raise QuotaError("Quota exceeded, too many key pairs.")


def keypair_check_room(tx: Tx, context: Context, user_id: str, name: str) -> None:
    """Raise what ``keypair_create`` would."""
    _check_quota(tx, context, user_id)
    if tx.first(select(keypairs.c.name).where(keypairs.c.user_id == user_id, keypairs.c.name == name)):
        raise KeyPairExists(name=name)


def keypair_find(tx: Tx, user_id: str, name: str) -> dict[str, Any]:
    """One key pair of a user; KeypairNotFound."""
    row = tx.first(select(keypairs).where(keypairs.c.user_id == user_id, keypairs.c.name == name))
    if row is None:
        raise KeypairNotFound(name=name, user_id=user_id)
    return dict(row._mapping)


def keypair_delete(tx: Tx, context: Context, originals: list[Values]) -> None:
    """Delete key pairs; servers keep the keys that they were given."""
    tx.execute(delete(keypairs).where(keypairs.c.id.in_([one["id"] for one in originals])))
    tx.emit_many(
        [
            event(context, "keypair.delete", one["name"], context.project_id, user_id=one["user_id"])
            for one in originals
        ]
    )
