"""One-shot operations on a machine: a table of chains of steps, and how one is gone through once.

How far an operation came is in the journal before each step, so that one that was interrupted is gone on with
and not begun again. A step that can't be done now raises one of TRANSIENT and is done again; one that fails
for good turns the operation round: from there back to the first, what was done is undone. So a step, and what
undoes it, must be harmless when done twice.

To add one: its steps here, and what the server's side makes of its end in
``services/compute/servers/chains/on_node.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pileus.core import log
from pileus.flow.chain import Chain, Step
from pileus.host.hypervisor.carrying import CARRY
from pileus.host.hypervisor.departures import MIGRATE
from pileus.host.hypervisor.hands import Hands
from pileus.host.hypervisor.records import Finished, Journal
from pileus.host.hypervisor.rescues import RESCUE, UNRESCUE
from pileus.host.hypervisor.snapshots import SNAPSHOT
from pileus.host.hypervisor.steps import TRANSIENT, Steps, Tell, reason_of, whole
from pileus.wire.hypervisor import OperationReport, PendingOperation, ServerDetails

_log = log.get("host.hypervisor")


@dataclass(frozen=True, slots=True)
class NodeOperation:
    """One kind: steps ``async do(server, operation, hands)``, and what is told of it beside its name."""

    chain: Chain
    detail: Callable[[PendingOperation], str] = lambda operation: ""


def _is_hard(operation: PendingOperation) -> bool:
    return operation.arguments.get("type") == "HARD"


async def _stop(server: ServerDetails, operation: PendingOperation, hands: Hands) -> None:
    if _is_hard(operation):
        await whole(hands.hypervisor.destroy(server.server_id))
    else:
        await hands.hypervisor.shutdown(server.server_id, hands.settings.shutdown_timeout_s)


async def _start(server: ServerDetails, operation: PendingOperation, hands: Hands) -> None:
    if _is_hard(operation):
        await hands.put_config_drive(server)
    await whole(hands.hypervisor.start(server.server_id, paused=server.wanted == "paused"))


async def _interrupt(server: ServerDetails, operation: PendingOperation, hands: Hands) -> None:
    await hands.hypervisor.interrupt(server.server_id)


REBOOT = Chain("reboot", (Step("stopping", _stop), Step("starting", _start)))
CRASH_DUMP = Chain("crash_dump", (Step("interrupting", _interrupt),))

OPERATIONS: dict[str, NodeOperation] = {
    REBOOT.kind: NodeOperation(REBOOT, lambda operation: "HARD" if _is_hard(operation) else "SOFT"),
    RESCUE.kind: NodeOperation(RESCUE),
    UNRESCUE.kind: NodeOperation(UNRESCUE),
    CARRY.kind: NodeOperation(CARRY),
    MIGRATE.kind: NodeOperation(MIGRATE),
    CRASH_DUMP.kind: NodeOperation(CRASH_DUMP),
    SNAPSHOT.kind: NodeOperation(SNAPSHOT, lambda operation: str(operation.arguments.get("image_id", ""))),
}
"""By the word that the server uses for it."""


class Operations:
    """Goes through operations; one machine's come one after the other."""

    def __init__(
        self,
        hands: Hands,
        journal: Journal,
        steps: Steps,
        tell: Tell,
        table: dict[str, NodeOperation] = OPERATIONS,
    ) -> None:
        self._hands = hands
        self._journal = journal
        self._steps = steps
        self._tell = tell
        self._table = table

    async def carry_out(self, server: ServerDetails, operation: PendingOperation) -> None:
        """Bring it to its end and tell the server. Raises one of TRANSIENT where it is to be gone on with."""
        kind = self._table.get(operation.kind)
        if kind is None:
            error: str | None = f"This host does not know the operation {operation.kind}."
        else:
            error = await self._do(kind, server, operation)
            if error is not None:
                await self._undo(kind.chain, server, operation, error)
        key, operation_id = server.server_id, operation.operation_id
        self._journal.note_operation(operation_id, Finished(key, done=True, error=error))
        self._tell.operation(OperationReport(operation_id, error))

    async def _do(
        self, kind: NodeOperation, server: ServerDetails, operation: PendingOperation
    ) -> str | None:
        """Do the steps that are left. Returns why one failed, None where all are done."""
        chain, known = kind.chain, self._journal.operations.get(operation.operation_id)
        if known is not None and known.error is not None:
            return known.error  # it was being undone
        names = [step.name for step in chain.steps]
        step: Step | None = chain.step(known.phase) if known and known.phase in names else chain.first
        try:
            async with self._steps.step(server.server_id, f"operation.{chain.kind}", kind.detail(operation)):
                while step is not None:
                    self._note(server, operation, step.name)
                    if step.do is not None:
                        await step.do(server, operation, self._hands)
                    step = chain.after(step.name)
        except TRANSIENT:
            raise
        except Exception as failure:
            return reason_of(failure)
        return None

    async def _undo(
        self, chain: Chain, server: ServerDetails, operation: PendingOperation, error: str
    ) -> None:
        known = self._journal.operations[operation.operation_id]
        step = chain.to_undo(known.phase)
        while step is not None:
            self._note(server, operation, step.name, error)
            assert step.undo is not None
            try:
                async with self._steps.step(server.server_id, f"undo.{chain.kind}", step.name):
                    await step.undo(server, operation, self._hands)
            except TRANSIENT:
                raise
            except Exception as failure:  # what came before it is undone all the same
                _log.warning("a step can't be undone", step=step.name, error=reason_of(failure))
            step = chain.undo_next(step.name)

    def _note(
        self, server: ServerDetails, operation: PendingOperation, phase: str, error: str | None = None
    ) -> None:
        now = Finished(server.server_id, phase, error=error)
        if self._journal.operations.get(operation.operation_id) != now:
            self._journal.note_operation(operation.operation_id, now)
