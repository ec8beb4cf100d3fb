"""Rotation of keys, as Keystone has it: the staged key becomes the primary one, which seals; the one before
becomes secondary, and still opens what it sealed. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Literal

import msgspec

State = Literal["staged", "primary", "secondary"]

MOST = 64
"""So many secondary keys are kept at most, however young they are."""


class Key(msgspec.Struct, frozen=True):
    """A key without its secret. ``retired_at`` is when it ceased to seal."""

    id: str
    state: State
    created_at: dt.datetime
    retired_at: dt.datetime | None = None


def rotated(
    keys: Sequence[Key],
    fresh: Sequence[str],
    now: dt.datetime,
    *,
    active: int,
    needed: dt.timedelta,
) -> list[Key]:
    """The keys after a rotation; ``fresh`` are ids for two new ones.

    Of more than ``active`` keys the secondary ones go that retired longest ago, but none before what it
    sealed is ``needed`` no more.
    """
    ids = iter(fresh)
    primary = next((one.id for one in keys if one.state == "staged"), None) or next(ids)
    born = {one.id: one.created_at for one in keys}
    after = [Key(primary, "primary", born.get(primary, now)), Key(next(ids), "staged", now)]
    old = [_retired(one, now) for one in keys if one.id != primary]
    old.sort(key=lambda one: (one.retired_at or now, one.created_at), reverse=True)
    young = [one for one in old if one.retired_at is None or one.retired_at + needed > now]
    kept = max(active - len(after), len(young))
    return [*after, *old[: min(kept, MOST)]]


def withdrawn(keys: Sequence[Key], key_id: str, fresh: Sequence[str], now: dt.datetime) -> list[Key]:
    """The keys without one. Where that was the primary key the staged one seals at once."""
    gone = next(one for one in keys if one.id == key_id)
    rest = [one for one in keys if one.id != key_id]
    ids = iter(fresh)
    if gone.state == "primary":
        staged = next((one for one in rest if one.state == "staged"), None)
        primary = (
            Key(next(ids), "primary", now) if staged is None else Key(staged.id, "primary", staged.created_at)
        )
        rest = [primary, *(one for one in rest if one is not staged)]
    if gone.state != "secondary":
        rest.append(Key(next(ids), "staged", now))
    return rest


def _retired(key: Key, now: dt.datetime) -> Key:
    return key if key.state == "secondary" else Key(key.id, "secondary", key.created_at, now)
