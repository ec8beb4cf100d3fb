"""Operations that a node carries out: what the node calls them, and what a server is when one has ended."""

from __future__ import annotations

from typing import Any, NamedTuple

from pileus.flow.chain import Chain
from pileus.services.compute.rules import states
from pileus.services.compute.servers.chains.common import NODE
from pileus.services.compute.servers.chains.crash_dump import CRASH_DUMP
from pileus.services.compute.servers.chains.live_migration import ACTION as LIVE_ACTION
from pileus.services.compute.servers.chains.live_migration import LIVE
from pileus.services.compute.servers.chains.live_migration import SWITCH as LIVE_SWITCH
from pileus.services.compute.servers.chains.live_migration import TASKS as MIGRATING
from pileus.services.compute.servers.chains.reboot import REBOOT
from pileus.services.compute.servers.chains.reboot import TASKS as REBOOTING
from pileus.services.compute.servers.chains.rescue import RESCUE, UNRESCUE
from pileus.services.compute.servers.chains.resize import RESIZE, SWITCH
from pileus.services.compute.servers.chains.resize import TASKS as RESIZING
from pileus.services.compute.servers.chains.shelve import SETTLE as SETTLE_SHELVED
from pileus.services.compute.servers.chains.shelve import SHELVE, SHELVE_VOLUMES
from pileus.services.compute.servers.chains.snapshot import SETTLE, SNAPSHOT
from pileus.services.compute.servers.chains.snapshot import TASKS as SNAPSHOTTING

__all__ = ["NODE", "ON_NODE", "OnNode"]


class OnNode(NamedTuple):
    """One kind. ``called``: the node's word (``host/hypervisor/operations.py``); ``tasks``: the server's
    tasks that end with it; ``actions``: as users see it; ``succeeded``: what a server then is; ``then``: the
    chain's step that follows, whether it went well or not (None: the operation is over); ``failed``: what a
    server is, beside what it was before, when it did not go well. ``chain``: the task is the chain's own: it
    goes on with ``then`` where it went well and turns round where not, and says what a server then is."""

    called: str
    tasks: tuple[str, ...]
    actions: tuple[str, ...]
    succeeded: dict[str, Any]
    then: str | None = None
    failed: dict[str, Any] = {}  # noqa: RUF012 - nobody changes it
    chain: Chain | None = None


ON_NODE: dict[str, OnNode] = {
    REBOOT.kind: OnNode(
        "reboot",
        REBOOTING,
        ("reboot",),
        {"vm_state": states.ACTIVE, "power_state": states.RUNNING, "fault": None},
    ),
    RESCUE.kind: OnNode(
        "rescue",
        (states.RESCUING,),
        ("rescue",),
        {"vm_state": states.RESCUED, "power_state": states.RUNNING, "fault": None},
        failed={"rescue_image_id": None},
    ),
    UNRESCUE.kind: OnNode(
        "unrescue",
        (states.UNRESCUING,),
        ("unrescue",),
        {"vm_state": states.ACTIVE, "power_state": states.RUNNING, "rescue_image_id": None},
    ),
    SNAPSHOT.kind: OnNode("snapshot", SNAPSHOTTING, ("createImage", "createBackup"), {}, SETTLE),
    SHELVE.kind: OnNode("snapshot", (states.SHELVING,), ("shelve",), {}, SETTLE_SHELVED, chain=SHELVE),
    SHELVE_VOLUMES.kind: OnNode(
        "carry", (states.SHELVING,), ("shelve",), {}, SETTLE_SHELVED, chain=SHELVE_VOLUMES
    ),
    RESIZE.kind: OnNode("carry", RESIZING, ("resize", "migrate"), {}, SWITCH, chain=RESIZE),
    LIVE.kind: OnNode("migrate", MIGRATING, (LIVE_ACTION,), {}, LIVE_SWITCH, chain=LIVE),
    CRASH_DUMP.kind: OnNode("crash_dump", (), ("trigger_crash_dump",), {}),
}
"""By the operation's kind."""
