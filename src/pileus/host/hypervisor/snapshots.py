"""The operation ``snapshot``: copy a machine's root disk, as it is in one moment, and bring it to the server.

A machine that runs is copied by QEMU while it goes on; one that is off is read from its disk. The copy lies
in the machine's folder until the server has it, so that the bringing can be gone on with, and goes with the
folder where the machine is deleted meanwhile.
"""

from __future__ import annotations

from pathlib import Path

from pileus.drivers.libvirt.hypervisor import DomainMissing, HypervisorFailed, Power
from pileus.flow.chain import Chain, Step
from pileus.host.hypervisor.carrying import bring
from pileus.host.hypervisor.hands import Hands
from pileus.host.hypervisor.machine import root_target
from pileus.host.hypervisor.steps import TRANSIENT
from pileus.wire.hypervisor import PendingOperation, ServerDetails

_AWAKE = frozenset({Power.RUNNING, Power.PAUSED, Power.SUSPENDED})


def _copy_path(server: ServerDetails, operation: PendingOperation, hands: Hands) -> Path:
    return hands.places(server.server_id).folder / f"snapshot.{operation.operation_id}"


async def _copy(server: ServerDetails, operation: PendingOperation, hands: Hands) -> None:
    path = _copy_path(server, operation, hands)
    if await _is_awake(server, hands):
        quiesce = bool(operation.arguments.get("quiesce")) and server.hardware.guest_agent
        try:
            await hands.hypervisor.copy_disk(
                server.server_id, root_target(server.hardware), path, quiesce=quiesce
            )
            return
        except TRANSIENT:
            raise
        except HypervisorFailed:
            if await _is_awake(server, hands):
                raise
    # Off, or it went off meanwhile: nobody writes to the disk.
    path.unlink(missing_ok=True)
    await hands.images.convert(hands.places(server.server_id).root_disk, "qcow2", path, "qcow2")


async def _is_awake(server: ServerDetails, hands: Hands) -> bool:
    try:
        found = (await hands.hypervisor.stats([server.server_id])).get(server.server_id)
    except DomainMissing:
        return False
    return found is not None and found.power in _AWAKE


async def _bring(server: ServerDetails, operation: PendingOperation, hands: Hands) -> None:
    path = _copy_path(server, operation, hands)
    await bring(hands.server, str(operation.arguments["upload"]), str(operation.arguments["download"]), path)
    path.unlink(missing_ok=True)


async def _forget(server: ServerDetails, operation: PendingOperation, hands: Hands) -> None:
    _copy_path(server, operation, hands).unlink(missing_ok=True)


SNAPSHOT = Chain(
    "snapshot",
    (Step("copying", _copy, undo=_forget), Step("uploading", _bring, undo=_forget)),
)
