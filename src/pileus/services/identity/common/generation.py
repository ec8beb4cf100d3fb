"""The identity generation: one number that moves whenever a token might mean something else than before.

What a token means (its user, scope, roles, the catalog) is remembered together with the
generation it was worked out in. Several servers on one database compare one row a request;
a single server on SQLite hears of the commit before the writer is answered. Either way a
revoked token, a disabled user or a removed role counts from the next request on, everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any

from sqlalchemy import Column, Integer, Table, bindparam, select

from pileus.core.context import Context
from pileus.resource.declaration import Update
from pileus.store.event import Event
from pileus.store.schema import BigInt, metadata
from pileus.store.tx import Tx

SCOPE = "identity"
"""The scope that every event of this service carries."""

KEYS_SCOPE = "identity:keys"
"""The scope of changes of the keys that seal tokens and credentials."""

REVISION_BITS = 40
"""The generation's bits above these count the changes of keys."""

identity_generation = Table(
    "identity_generation",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("generation", BigInt, nullable=False),
)

_ONLY_ROW = 1
_READ = select(identity_generation.c.generation).where(identity_generation.c.id == _ONLY_ROW)
_MOVE = (
    identity_generation.update()
    .where(identity_generation.c.id == _ONLY_ROW)
    .values(generation=identity_generation.c.generation + bindparam("step"))
)


def generation_read(tx: Tx) -> int:
    """The present generation; 0 before the first seeding."""
    return tx.scalar(_READ) or 0


def revision_of(generation: int) -> int:
    """How often the keys have changed up to a generation."""
    return generation >> REVISION_BITS


def generation_begin(tx: Tx) -> None:
    """Make the row, at the first seeding."""
    if tx.scalar(_READ) is None:
        tx.insert(identity_generation, [{"id": _ONLY_ROW, "generation": 1}])


def announce(tx: Tx, context: Context, kind: str, resource_id: str, **payload: Any) -> None:
    """Write the event of a change that no token can depend on, such as a new user."""
    announce_many(tx, context, kind, [(resource_id, payload)])


def announce_many(
    tx: Tx, context: Context, kind: str, several: Iterable[tuple[str, Mapping[str, Any]]]
) -> None:
    """Write events, each of an id and its payload, of changes that no token can depend on."""
    tx.emit_many(
        [
            Event(
                kind=kind,
                resource_id=resource_id,
                at=context.now,
                scopes=(SCOPE,),
                payload=dict(payload),
                request_id=context.request_id,
                user_id=context.user_id,
            )
            for resource_id, payload in several
        ]
    )


def announce_token_change(tx: Tx, context: Context, kind: str, resource_id: str, **payload: Any) -> None:
    """Write the event of a change that tokens may depend on, and move the generation."""
    announce_token_changes(tx, context, kind, [(resource_id, payload)])


def announce_token_changes(
    tx: Tx, context: Context, kind: str, several: Iterable[tuple[str, Mapping[str, Any]]]
) -> None:
    """Write the events of changes that tokens may depend on, and move the generation once."""
    announce_many(tx, context, kind, several)
    tx.execute(_MOVE, {"step": 1})


def announce_key_change(tx: Tx, context: Context, kind: str, key_id: str) -> None:
    """Write the event of a change of keys, and move the generation to the next revision of keys."""
    event = Event(
        kind=kind,
        resource_id=key_id,
        at=context.now,
        scopes=(SCOPE, KEYS_SCOPE),
        request_id=context.request_id,
        user_id=context.user_id,
    )
    tx.emit_many([event])
    generation_begin(tx)
    tx.execute(_MOVE, {"step": 1 << REVISION_BITS})


def changed_names(
    updates: Iterable[Update], hidden: Set[str] = frozenset()
) -> list[tuple[str, Mapping[str, Any]]]:
    """The ids of updated resources, each with the names of what was changed, for an event."""
    return [(one.original["id"], {"changed": sorted(one.changes.keys() - hidden)}) for one in updates]
