"""The reboot of a server: its node takes the operation, carries it out and reports its end.

One step, ``node``: wait for the report, for as long as a task may take; the report ends the operation
(``nodes/report.py``). One that has waited too long has failed, and is not carried out any more.
"""

from __future__ import annotations

from pileus.core.context import Context
from pileus.flow.chain import Chain, Step
from pileus.resource.declaration import Values
from pileus.services.compute.rules import states
from pileus.services.compute.servers.chains.common import NODE, Parts, begin, task_failed, task_wait
from pileus.store.operations import Operation
from pileus.store.tx import Tx

TASKS = (states.REBOOTING, states.REBOOTING_HARD)


def begin_reboot(tx: Tx, context: Context, server: Values, kind: str, parts: Parts) -> None:
    """Have a server rebooted; ``kind`` is SOFT or HARD."""
    begin(tx, context, REBOOT, server, {"type": kind}, parts)


def _failed(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    task_failed(tx, context, REBOOT, operation, TASKS, "reboot")


REBOOT = Chain(
    "server.reboot",
    (Step(NODE, wait=task_wait(*TASKS)),),
    on_failed=_failed,
)
