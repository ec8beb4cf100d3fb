"""Rescue and its end: the server's node boots it from another image, and from its own disk again.

One step each, ``node``: wait for the report, for as long as a task may take; the report ends the operation
(``agents/report.py``). A node that fails puts the machine back as it was, and the server is what it was.
"""

from __future__ import annotations

from typing import Any

from pileus.core.context import Context
from pileus.core.ids import new_id
from pileus.flow.chain import Chain, Step
from pileus.resource.declaration import Update, Values
from pileus.services.compute.rules import states
from pileus.services.compute.servers.chains.common import (
    NODE,
    Parts,
    begin,
    is_for,
    server_of,
    task_wait,
    told,
)
from pileus.services.compute.servers.instance_actions import action_finish
from pileus.services.compute.servers.resource import SERVER
from pileus.store.operations import Operation
from pileus.store.tx import Tx


def begin_rescue(tx: Tx, context: Context, server: Values, parts: Parts) -> None:
    """Have a server booted from its rescue image."""
    _begin(tx, context, RESCUE, server, parts)


def begin_unrescue(tx: Tx, context: Context, server: Values, parts: Parts) -> None:
    """Have a server booted from its own disk again."""
    _begin(tx, context, UNRESCUE, server, parts)


def _begin(tx: Tx, context: Context, chain: Chain, server: Values, parts: Parts) -> None:
    begin(
        tx,
        context,
        chain,
        parts,
        operation_id=new_id(),
        resource_id=server["id"],
        data={},
        project_id=server["project_id"],
    )


def _failed(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    """The server stays what it was, and what was asked has failed."""
    rescue = operation.kind == RESCUE.kind
    server = server_of(tx, operation)
    if server is None or not is_for(operation, server, (states.RESCUING, states.UNRESCUING)):
        return
    changes: dict[str, Any] = {"task_state": None, "task_since": None}
    if rescue:
        changes["rescue_image_id"] = None
    if server["vm_state"] in states.WANTED_IN:
        changes["wanted"] = states.WANTED_IN[server["vm_state"]]
    SERVER.change(tx, context, [Update(server, Values(changes))])
    action_finish(tx, context.now, [server["id"]], error=operation.error)
    name = "rescue" if rescue else "unrescue"
    tx.emit(told(context, RESCUE if rescue else UNRESCUE, operation, server, name, error=operation.error))


RESCUE = Chain(
    "server.rescue",
    (Step(NODE, wait=task_wait(states.RESCUING)),),
    on_failed=_failed,
)
UNRESCUE = Chain(
    "server.unrescue",
    (Step(NODE, wait=task_wait(states.UNRESCUING)),),
    on_failed=_failed,
)
