"""Tasks that have a chain but no operation: a version before chains began them, or a hand made them so."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import select

from pileus.core.context import Context
from pileus.resource.declaration import Values
from pileus.services.compute.rules import states
from pileus.services.compute.servers.chains.common import Parts, begin
from pileus.services.compute.servers.chains.delete import DELETE
from pileus.services.compute.servers.chains.rebuild import REBUILD
from pileus.store.column_in import column_in
from pileus.store.operations import UNFINISHED, operations
from pileus.store.tx import Tx

CHAINED = {states.DELETING: DELETE, states.REBUILDING: REBUILD}
"""The chain of each task. A reboot is not begun again: the machine may have been rebooted already."""


def adopt(tx: Tx, context: Context, several: Sequence[Values], parts: Parts) -> None:
    """Begin the chains of servers' tasks where nothing is under way, as of when the tasks began."""
    c = operations.c
    ids = sorted(server["id"] for server in several)
    rows = tx.rows(
        select(c.resource_id, c.kind).where(column_in(tx, c.resource_id, ids), c.state.in_(UNFINISHED))
    )
    under_way = {(row.resource_id, row.kind) for row in rows}
    for server in several:
        chain = CHAINED[server["task_state"]]
        if (server["id"], chain.kind) not in under_way:
            begin(
                tx,
                msgspec.structs.replace(context, now=server["task_since"], request_id=""),
                chain,
                server,
                {"host": server["host"]},
                parts,
            )
