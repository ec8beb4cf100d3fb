"""The rebuild of a server: the request has written what it shall become, its node makes it so.

One step, ``spawn``: wait until the node has reported the new machine, for as long as a task may take.
There is nothing to undo: the old disk is gone. A server that can't be rebuilt is in ERROR with the reason,
and may be rebuilt again.
"""

from __future__ import annotations

from collections.abc import Collection

from pileus.core.context import Context
from pileus.core.ids import new_id
from pileus.flow.chain import Chain, Step, TimedOut, Wait
from pileus.resource.declaration import Values
from pileus.services.compute.rules import states
from pileus.services.compute.servers.chains.common import (
    Parts,
    begin,
    hosts_up,
    is_for,
    server_of,
    told,
    too_late,
    without_task,
)
from pileus.services.compute.servers.leaving import put_error
from pileus.store.operations import Operation
from pileus.store.tx import Tx

TASKS = (states.REBUILDING,)


def begin_rebuild(tx: Tx, context: Context, server: Values, parts: Parts) -> None:
    """Wait for a server's node to build it anew."""
    begin(
        tx,
        context,
        REBUILD,
        parts,
        operation_id=new_id(),
        resource_id=server["id"],
        data={"generation": server["generation"]},
        project_id=server["project_id"],
    )


def _over(tx: Tx, context: Context, several: list[Operation], parts: Parts) -> Collection[str]:
    return without_task(tx, several, TASKS)


def _late(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    server = server_of(tx, operation)
    if server is not None and is_for(operation, server, TASKS):
        raise TimedOut(too_late(server, hosts_up(tx, context, parts.config)))


def _failed(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    server = server_of(tx, operation)
    if server is not None and is_for(operation, server, TASKS):
        put_error(tx, context, [server], operation.error or "")
        tx.emit(told(context, REBUILD, operation, server, "rebuild", error=operation.error))


REBUILD = Chain(
    "server.rebuild",
    (Step("spawn", wait=Wait(lambda parts: parts.config.task_timeout_s, over=_over, late=_late)),),
    on_failed=_failed,
)
