"""``pileus node``: what a controller says to nodes."""

from __future__ import annotations

import sys
from pathlib import Path

from pileus.app import bootstrap
from pileus.app.state import StateFolder, default_root
from pileus.bus.node import node_secret
from pileus.bus.node import node_token as make


def show_token(host: str, simulated: bool, state: Path | None) -> None:
    """Print the token of ``host``, signed with this cloud's node secret."""
    folder = StateFolder(state or default_root(simulated))
    if not folder.node_secret.exists():
        bootstrap.fail(f"there is no cloud in {folder.root}: start it once (pileus up, pileus server)")
    sys.stdout.write(make(node_secret(folder.node_secret), host) + "\n")
