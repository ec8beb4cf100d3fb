"""Hashes of the passwords that users had before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, select

from pileus.core.context import Context
from pileus.core.ids import new_hex_id
from pileus.services.identity.tables.users import old_passwords
from pileus.store.tx import Tx

_NEWEST = (
    select(old_passwords.c.password_hash)
    .where(old_passwords.c.user_id == bindparam("user_id"))
    .order_by(old_passwords.c.replaced_at.desc(), old_passwords.c.id)
    .limit(bindparam("most"))
)
_OF = (
    select(old_passwords.c.id, old_passwords.c.user_id)
    .where(old_passwords.c.user_id.in_(bindparam("user_ids", expanding=True)))
    .order_by(old_passwords.c.replaced_at.desc(), old_passwords.c.id)
)
_FORGET = old_passwords.delete().where(old_passwords.c.id.in_(bindparam("ids", expanding=True)))


def passwords_before(tx: Tx, user_id: str, most: int) -> list[str]:
    """The hashes of a user's last passwords but the present one, the newest first."""
    if not most:
        return []
    return [row.password_hash for row in tx.rows(_NEWEST, {"user_id": user_id, "most": most})]


def passwords_remember(tx: Tx, context: Context, replaced: Sequence[Mapping[str, Any]], most: int) -> None:
    """Keep the hashes of users whose password is replaced now, and ``most`` of each: three statements."""
    rows = [
        {
            "id": new_hex_id(),
            "user_id": one["id"],
            "replaced_at": context.now,
            "password_hash": one["password_hash"],
        }
        for one in replaced
        if one["password_hash"]
    ]
    if not most or not rows:
        return
    tx.insert(old_passwords, rows)
    seen: dict[str, int] = {}
    beyond = []
    for row in tx.rows(_OF, {"user_ids": sorted({one["user_id"] for one in rows})}):
        seen[row.user_id] = seen.get(row.user_id, 0) + 1
        if seen[row.user_id] > most:
            beyond.append(row.id)
    if beyond:
        tx.execute(_FORGET, {"ids": beyond})
