"""``pileus keys``: the keys that seal tokens, and those that seal the credentials that users keep."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from pileus.app.commands.node import ask
from pileus.app.state import StateFolder, default_root
from pileus.wire.keys import KeyFileFacts, KeyFileQuestion, KeyList, KeyQuestion, Migrated, Purpose


def _folder(simulated: bool, state: Path | None) -> StateFolder:
    return StateFolder((state or default_root(simulated)).absolute())


def _purpose(credentials: bool) -> Purpose:
    return "credential" if credentials else "token"


def show(credentials: bool, simulated: bool, state: Path | None, as_json: bool) -> None:
    """Print the keys of all servers, without their secrets."""
    _print(ask(_folder(simulated, state), "keys", KeyQuestion(_purpose(credentials)), KeyList), as_json)


def rotate(credentials: bool, simulated: bool, state: Path | None) -> None:
    """Make the staged key primary, on all servers; the one before still opens what it sealed."""
    _print(ask(_folder(simulated, state), "keys_rotate", KeyQuestion(_purpose(credentials)), KeyList), False)


def withdraw(key_id: str, credentials: bool, simulated: bool, state: Path | None) -> None:
    """Forget a key, on all servers at once: tokens that it sealed are refused."""
    question = KeyQuestion(_purpose(credentials), key_id)
    _print(ask(_folder(simulated, state), "keys_withdraw", question, KeyList), False)


def migrate(simulated: bool, state: Path | None) -> None:
    """Seal all credentials with the primary key."""
    found = ask(_folder(simulated, state), "keys_migrate", KeyQuestion("credential"), Migrated)
    sys.stdout.write(f"{found.count} credentials were encrypted with the primary key.\n")


def rewrap(stage: bool, credentials: bool, simulated: bool, state: Path | None) -> None:
    """Seal the database's keys with a new key file, or only make that file to be copied."""
    question = KeyFileQuestion(_purpose(credentials), stage)
    found = ask(_folder(simulated, state), "keys_rewrap", question, KeyFileFacts)
    if stage:
        sys.stdout.write(f"{found.path} was made: copy it to the same place on each other server.\n")
    else:
        sys.stdout.write(f"{found.count} keys were sealed anew with {found.path}.\n")


def _print(found: KeyList, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(msgspec.json.encode(msgspec.to_builtins(found.keys)).decode() + "\n")
        return
    rows = [("key", "state", "made", "sealed until")]
    rows += [(one.id, one.state, one.created_at or "-", one.retired_at or "-") for one in found.keys]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        sys.stdout.write("  ".join(map(str.ljust, row, widths)).rstrip() + "\n")
