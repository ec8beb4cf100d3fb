"""The operations ``rescue`` and ``unrescue``: a machine started from another image, and from its own disk.

A disk over the rescue image stands before the machine's own disks (or after them, where the image says so)
and is booted from. The machine's own disks are not touched by us; what the guest does to them is its matter.
"""

from __future__ import annotations

from msgspec.structs import replace

from pileus.flow.chain import Chain, Step
from pileus.host.hypervisor.hands import Hands
from pileus.host.hypervisor.steps import whole
from pileus.wire.hypervisor import PendingOperation, ServerDetails


async def _stop(server: ServerDetails, operation: PendingOperation, hands: Hands) -> None:
    await hands.hypervisor.shutdown(server.server_id, hands.settings.shutdown_timeout_s)
    await whole(hands.hypervisor.destroy(server.server_id))  # memory that was saved goes, too


async def _enter(server: ServerDetails, operation: PendingOperation, hands: Hands) -> None:
    await hands.put_rescue_disk(server)
    await hands.put_config_drive(server)
    await hands.define(server)


async def _start(server: ServerDetails, operation: PendingOperation, hands: Hands) -> None:
    await whole(hands.hypervisor.start(server.server_id))


async def _leave(server: ServerDetails, operation: PendingOperation, hands: Hands) -> None:
    await whole(hands.hypervisor.destroy(server.server_id))
    await hands.define(replace(server, rescue=None))
    await hands.drop_rescue_disk(server)


async def _go_back(server: ServerDetails, operation: PendingOperation, hands: Hands) -> None:
    await _leave(server, operation, hands)
    await _start(server, operation, hands)


RESCUE = Chain(
    "rescue",
    (Step("stopping", _stop), Step("defining", _enter, undo=_go_back), Step("starting", _start)),
)
UNRESCUE = Chain(
    "unrescue",
    (Step("stopping", _stop), Step("defining", _leave), Step("starting", _start)),
)
