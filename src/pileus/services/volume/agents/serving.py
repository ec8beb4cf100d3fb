"""The scopes of volumes that a host's agents may listen to: those of its own pools."""

from __future__ import annotations

from sqlalchemy import select

from pileus.services.volume.tables.volumes import volumes
from pileus.store.column_in import column_in
from pileus.store.tx import Tx
from pileus.wire import scopes


def volume_scopes_served(tx: Tx, host: str, wanted: tuple[str, ...]) -> set[str]:
    """Those of the scopes that are of volumes in the host's pools."""
    ids = [key for kind, key in map(scopes.split, wanted) if kind == "volume"]
    if not ids:
        return set()
    mine = select(volumes.c.id).where(column_in(tx, volumes.c.id, ids), volumes.c.node == host)
    return {scopes.volume(row.id) for row in tx.rows(mine)}
