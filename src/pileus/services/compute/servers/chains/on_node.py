"""Operations that a node carries out: what the node calls them, and what a server is when one has ended."""

from __future__ import annotations

from typing import Any, NamedTuple

from pileus.services.compute.rules import states
from pileus.services.compute.servers.chains.reboot import REBOOT
from pileus.services.compute.servers.chains.reboot import TASKS as REBOOTING


class OnNode(NamedTuple):
    """One kind. ``called``: the node's word (``host/hypervisor/operations.py``); ``tasks``: the server's
    tasks that end with it; ``action``: as users see it; ``succeeded``: what a server then is."""

    called: str
    tasks: tuple[str, ...]
    action: str
    succeeded: dict[str, Any]


ON_NODE: dict[str, OnNode] = {
    REBOOT.kind: OnNode(
        "reboot",
        REBOOTING,
        "reboot",
        {"vm_state": states.ACTIVE, "power_state": states.RUNNING, "fault": None},
    ),
    "server.snapshot": OnNode("snapshot", (states.SNAPSHOT,), "createImage", {}),
}
"""By the operation's kind."""
