"""The rebuild of a server: the request has written what it shall become, its node makes it so.

One step, ``spawn``: wait until the node has reported the new machine, for as long as a task may take.
There is nothing to undo: the old disk is gone. A server that can't be rebuilt is in ERROR with the reason,
and may be rebuilt again.
"""

from __future__ import annotations

from pileus.core.context import Context
from pileus.flow.chain import Chain, Step
from pileus.resource.declaration import Values
from pileus.services.compute.rules import states
from pileus.services.compute.servers.chains.common import Parts, begin, is_for, server_of, task_wait, told
from pileus.services.compute.servers.cleanup import put_error
from pileus.store.operations import Operation
from pileus.store.tx import Tx

TASKS = (states.REBUILDING,)


def begin_rebuild(tx: Tx, context: Context, server: Values, parts: Parts) -> None:
    """Wait for a server's node to build it anew."""
    begin(tx, context, REBUILD, server, {"generation": server["generation"]}, parts)


def _failed(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    server = server_of(tx, operation)
    if server is not None and is_for(operation, server, TASKS):
        put_error(tx, context, [server], operation.error or "")
        tx.emit(told(context, REBUILD, operation, server, "rebuild", error=operation.error))


REBUILD = Chain(
    "server.rebuild",
    (Step("spawn", wait=task_wait(*TASKS)),),
    on_failed=_failed,
)
