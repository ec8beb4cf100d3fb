"""Rescue and its end: the server's node boots it from another image, and from its own disk again.

One step each, ``node``: wait for the report, for as long as a task may take; the report ends the operation
(``agents/report.py``). A node that fails puts the machine back as it was, and the server is what it was.
"""

from __future__ import annotations

from pileus.core.context import Context
from pileus.flow.chain import Chain, Step
from pileus.resource.declaration import Values
from pileus.services.compute.rules import states
from pileus.services.compute.servers.chains.common import NODE, Parts, begin, task_failed, task_wait
from pileus.store.operations import Operation
from pileus.store.tx import Tx


def begin_rescue(tx: Tx, context: Context, server: Values, parts: Parts) -> None:
    """Have a server booted from its rescue image."""
    begin(tx, context, RESCUE, server, {}, parts)


def begin_unrescue(tx: Tx, context: Context, server: Values, parts: Parts) -> None:
    """Have a server booted from its own disk again."""
    begin(tx, context, UNRESCUE, server, {}, parts)


def _rescue_failed(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    task_failed(tx, context, RESCUE, operation, (states.RESCUING,), "rescue", rescue_image_id=None)


def _unrescue_failed(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    task_failed(tx, context, UNRESCUE, operation, (states.UNRESCUING,), "unrescue")


RESCUE = Chain(
    "server.rescue",
    (Step(NODE, wait=task_wait(states.RESCUING)),),
    on_failed=_rescue_failed,
)
UNRESCUE = Chain(
    "server.unrescue",
    (Step(NODE, wait=task_wait(states.UNRESCUING)),),
    on_failed=_unrescue_failed,
)
