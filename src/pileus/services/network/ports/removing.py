"""Taking ports away: addresses and memberships go with them, floating IPs that lead to them are freed."""

from __future__ import annotations

from collections.abc import Sequence

from pileus.core.context import Context
from pileus.resource.declaration import Values
from pileus.services.network.floating_ips.release import floating_ips_release
from pileus.services.network.ports import announce
from pileus.services.network.ports.resource import PORT
from pileus.store.tx import Tx


def remove_ports(tx: Tx, context: Context, originals: Sequence[Values]) -> None:
    """Delete ports, whoever they belong to; four statements for any number."""
    if originals:
        floating_ips_release(tx, context, [port["id"] for port in originals])
        PORT.remove(tx, originals)
        tx.emit_many([announce.deleted(context, port) for port in originals])
