"""Units of work of key pairs."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, func, select

from pileus.core.context import Context
from pileus.core.errors import Conflict, NotFound
from pileus.resource.event import event
from pileus.services.compute.errors import BadRequest, QuotaError
from pileus.services.compute.quotas.counting import limit_of
from pileus.services.compute.tables.keypairs import keypairs
from pileus.store.errors import Duplicate
from pileus.store.tx import Tx


class KeypairNotFound(NotFound):
    message = "Keypair {name} not found for user {user_id}"


class KeyPairExists(Conflict):
    message = "Key pair '{name}' already exists."


def keypair_create(tx: Tx, context: Context, row: dict[str, Any]) -> None:
    """Write a key pair; KeyPairExists, or QuotaError where its user has as many as he may."""
    tx.lock(f"quota:{row['user_id']}:key_pairs")
    _check_quota(tx, context, row["user_id"])
    try:
        with tx.savepoint():
            tx.insert(keypairs, [row])
    except Duplicate:
        raise KeyPairExists(name=row["name"]) from None
    tx.emit(event(context, "keypair.create", row["name"], context.project_id, user_id=row["user_id"]))


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


def keypair_delete(tx: Tx, context: Context, user_id: str, name: str) -> None:
    """Delete one; servers keep the key that they were given."""
    gone = tx.execute(delete(keypairs).where(keypairs.c.user_id == user_id, keypairs.c.name == name))
    if not gone.rowcount:
        raise KeypairNotFound(name=name, user_id=user_id)
    tx.emit(event(context, "keypair.delete", name, context.project_id, user_id=user_id))


def keypair_page(tx: Tx, user_id: str, size: int, marker: str | None) -> tuple[list[dict[str, Any]], bool]:
    """A page of a user's key pairs by name, and whether it is full."""
    statement = select(keypairs).where(keypairs.c.user_id == user_id).order_by(keypairs.c.name)
    if marker is not None:
        keypair_marker = tx.first(
            select(keypairs.c.name).where(keypairs.c.user_id == user_id, keypairs.c.name == marker)
        )
        if keypair_marker is None:
            raise BadRequest(f"marker [{marker}] not found")
        statement = statement.where(keypairs.c.name > marker)
    rows = [dict(row._mapping) for row in tx.rows(statement.limit(size))]
    return rows, bool(rows) and len(rows) >= size
