"""Operations that a node carries out: what the node calls them, and what a server is when one has ended."""

from __future__ import annotations

from typing import Any, NamedTuple

from pileus.services.compute.rules import states
from pileus.services.compute.servers.chains.common import NODE
from pileus.services.compute.servers.chains.reboot import REBOOT
from pileus.services.compute.servers.chains.reboot import TASKS as REBOOTING
from pileus.services.compute.servers.chains.rescue import RESCUE, UNRESCUE
from pileus.services.compute.servers.chains.snapshot import SETTLE, SNAPSHOT
from pileus.services.compute.servers.chains.snapshot import TASKS as SNAPSHOTTING

__all__ = ["NODE", "ON_NODE", "OnNode"]


class OnNode(NamedTuple):
    """One kind. ``called``: the node's word (``host/hypervisor/operations.py``); ``tasks``: the server's
    tasks that end with it; ``actions``: as users see it; ``succeeded``: what a server then is; ``then``: the
    chain's step that follows, whether it went well or not (None: the operation is over); ``failed``: what a
    server is, beside what it was before, when it did not go well."""

    called: str
    tasks: tuple[str, ...]
    actions: tuple[str, ...]
    succeeded: dict[str, Any]
    then: str | None = None
    failed: dict[str, Any] = {}  # noqa: RUF012 - nobody changes it


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
}
"""By the operation's kind."""
