"""Questions of the controller about the keys of tokens and credentials, and their answers."""

from __future__ import annotations

from typing import Literal

import msgspec

Purpose = Literal["token", "credential"]


class KeyQuestion(msgspec.Struct, frozen=True):
    """A purpose, and the id of a key where one is meant."""

    purpose: Purpose
    key_id: str = ""


class KeyFacts(msgspec.Struct, frozen=True):
    """A key without its secret."""

    id: str
    state: str
    created_at: str | None = None
    retired_at: str | None = None


class KeyList(msgspec.Struct, frozen=True):
    """All keys of a purpose."""

    keys: tuple[KeyFacts, ...]


class KeyFileQuestion(msgspec.Struct, frozen=True):
    """A purpose, and whether its next key file shall only be made."""

    purpose: Purpose
    stage: bool = False


class KeyFileFacts(msgspec.Struct, frozen=True):
    """The file that holds the new key, and how many keys of the database are sealed with it."""

    path: str
    count: int = 0


class Migrated(msgspec.Struct, frozen=True):
    """How many credentials were sealed anew."""

    count: int
