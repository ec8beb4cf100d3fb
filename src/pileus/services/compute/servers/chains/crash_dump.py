"""A crash dump: the server's node sends a non-maskable interrupt into the guest, which does the rest.

One step, ``node``. The server is in no task meanwhile: its guest may write its memory out, go off, or do
nothing.
"""

from __future__ import annotations

from pileus.core.context import Context
from pileus.flow.chain import Chain, Step, Wait
from pileus.resource.declaration import Values
from pileus.services.compute.servers.chains.common import (
    NODE,
    Parts,
    begin,
    server_of,
    task_timeout_s,
    told,
)
from pileus.services.compute.servers.instance_actions import action_finish
from pileus.store.operations import Operation
from pileus.store.tx import Tx


def begin_crash_dump(tx: Tx, context: Context, server: Values, parts: Parts) -> None:
    """Have a server's guest interrupted."""
    begin(tx, context, CRASH_DUMP, server, {}, parts)


def _failed(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    server = server_of(tx, operation)
    if server is not None:
        ids, error = [server["id"]], operation.error
        action_finish(tx, context.now, ids, actions=("trigger_crash_dump",), error=error)
        tx.emit(told(context, CRASH_DUMP, operation, server, "crash_dump", error=error))


CRASH_DUMP = Chain("server.crash_dump", (Step(NODE, wait=Wait(task_timeout_s)),), on_failed=_failed)
