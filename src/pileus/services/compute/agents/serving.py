"""The scopes that a host's agents may listen to: the things of the network and the servers that it serves."""

from __future__ import annotations

from sqlalchemy import select

from pileus.services.compute.tables.servers import servers
from pileus.services.compute.uses.network import network_scopes_served
from pileus.services.compute.uses.volume import volume_scopes_served
from pileus.store.column_in import column_in
from pileus.store.events import newest_position
from pileus.store.tx import Tx
from pileus.wire import scopes


def look(tx: Tx, host: str, wanted: tuple[str, ...]) -> tuple[frozenset[str], int]:
    """Those of the scopes that the host's agents serve or are scheduled for, and their newest position."""
    found = network_scopes_served(tx, host, wanted) | volume_scopes_served(tx, host, wanted)
    ids = [key for kind, key in map(scopes.split, wanted) if kind == "server"]
    if ids:
        mine = select(servers.c.id).where(column_in(tx, servers.c.id, ids), servers.c.host == host)
        found |= {scopes.server(row.id) for row in tx.rows(mine)}
    return frozenset(found), newest_position(tx, sorted(found)) if found else 0
