"""The volumes of servers: those that ``server_volumes`` names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import select

from pileus.services.compute.tables.servers import server_volumes
from pileus.store.column_in import column_in
from pileus.store.narrowed import narrowed
from pileus.store.tx import Tx
from pileus.wire.connections import BLOCK, FILE, ISCSI, NBD, RBD

CONNECTING, ATTACHING, ATTACHED, DETACHING = "connecting", "attaching", "attached", "detaching"
MOVING = "moving"
"""States of a server's volume. Its host is to have it when it is ``attaching`` or ``attached``; while it is
``moving`` the host is to have the server once the volume is open there."""
_PROTOCOLS = [FILE, BLOCK, RBD, NBD, ISCSI]
"""How a server's host can open a volume, best first."""
_c = server_volumes.c
_ORDER = (_c.server_id, _c.boot_index.is_(None), _c.boot_index, _c.target)
_VOLUMES = narrowed(select(server_volumes).order_by(*_ORDER), _c.server_id)


def volumes_of_servers(tx: Tx, server_ids: Sequence[str]) -> dict[str, list[Any]]:
    """The rows of servers' volumes: those that are booted from, then in the order of their names in the
    machine."""
    if not server_ids:
        return {}
    found: dict[str, list[Any]] = {}
    for row in _VOLUMES.rows(tx, {}, server_ids):
        found.setdefault(row.server_id, []).append(row)
    return found


def volumes_held(tx: Tx, attachment_ids: Iterable[str]) -> dict[str, str]:
    """The servers that have volumes by these attachments, by attachment."""
    ids = sorted(set(attachment_ids))
    if not ids:
        return {}
    rows = tx.rows(select(_c.attachment_id, _c.server_id).where(column_in(tx, _c.attachment_id, ids)))
    return {row.attachment_id: row.server_id for row in rows}


def connector_of(host: str, target: str) -> dict[str, Any]:
    """How a server's host asks for a volume that is to be ``target`` in the machine."""
    return {"host": host, "protocols": _PROTOCOLS, "mountpoint": f"/dev/{target}"}


def root_volume(rows: Iterable[Any]) -> Any:
    """The root disk among a server's volumes; None where it begins from an image."""
    return next((row for row in rows if row.boot_index == 0), None)


def root_volume_of(tx: Tx, server_id: str) -> Any:
    """The row of a server's root volume; None where it begins from an image."""
    return root_volume(volumes_of_servers(tx, [server_id]).get(server_id, ()))
