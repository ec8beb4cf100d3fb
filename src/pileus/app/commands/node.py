"""``pileus node``: the tokens with which nodes show who they are."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TypeVar

import msgspec

from pileus.app import bootstrap
from pileus.app.state import StateFolder, default_root
from pileus.bus.client import WireClient
from pileus.bus.node import controller_token, node_secret
from pileus.bus.node import node_token as make
from pileus.core.errors import Fault
from pileus.wire.nodes import Everything, NodeTokenList, Revocation

R = TypeVar("R", bound=msgspec.Struct)


def show_token(host: str, simulated: bool, state: Path | None) -> None:
    """Print a token of ``host``, signed with this cloud's node secret."""
    folder = StateFolder((state or default_root(simulated)).absolute())
    secret = _secret(folder)
    settings = bootstrap.settings_in_force(folder)
    sys.stdout.write(make(secret, host, settings.server.node_token_lifetime_s) + "\n")


def show_tokens(simulated: bool, state: Path | None, as_json: bool) -> None:
    """Print which hosts have shown a token, until when it is good, and whose are revoked."""
    folder = StateFolder((state or default_root(simulated)).absolute())
    found = ask(folder, "tokens", Everything(), NodeTokenList)
    if as_json:
        sys.stdout.write(msgspec.json.encode(msgspec.to_builtins(found.tokens)).decode() + "\n")
        return
    rows = [("host", "issued", "ends", "revoked before")]
    rows += [
        (one.host, one.issued_at or "-", one.ends_at or "-", one.refused_before or "-")
        for one in found.tokens
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        sys.stdout.write("  ".join(map(str.ljust, row, widths)).rstrip() + "\n")


def revoke(host: str, simulated: bool, state: Path | None) -> None:
    """Have all servers refuse the tokens that ``host`` has now."""
    folder = StateFolder((state or default_root(simulated)).absolute())
    ask(folder, "revoke", Revocation(host), NodeTokenList)
    sys.stdout.write(
        f"All tokens of {host} up to now are revoked; `pileus node token {host}` prints a new one.\n"
    )


def _secret(folder: StateFolder) -> bytes:
    if not folder.node_secret.exists():
        bootstrap.fail(f"there is no cloud in {folder.root}: start it once (pileus up, pileus server)")
    return node_secret(folder.node_secret)


def ask(folder: StateFolder, name: str, request: msgspec.Struct, reply: type[R]) -> R:
    """Ask the server of this folder as its controller; ends the command where it refuses."""

    async def main() -> R:
        async with WireClient(f"unix:{folder.socket}", controller_token(_secret(folder))) as client:
            return await client.administer(name, request, reply)

    try:
        return asyncio.run(main())
    except Fault as fault:
        bootstrap.fail(fault.text)
