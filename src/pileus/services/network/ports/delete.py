"""Deleting ports: addresses and memberships go with them, and what follows from that is the followers'."""

from __future__ import annotations

from collections.abc import Sequence

from pileus.core.context import Context
from pileus.resource.declaration import Values
from pileus.services.network.config import NetworkConfig
from pileus.services.network.ports import events
from pileus.services.network.ports.resource import PORT
from pileus.store.tx import Tx


def delete_ports(tx: Tx, context: Context, originals: Sequence[Values], config: NetworkConfig) -> None:
    """Delete ports of any owner; a constant number of statements."""
    if originals:
        for follow in config.followers.ports_deleting:
            follow(tx, context, originals, config)
        PORT.remove(tx, originals)
        tx.emit_many([events.deleted(context, port) for port in originals])
