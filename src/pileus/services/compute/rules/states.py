"""States of servers in Nova's words, the status that clients see, and what may be done in which.

Sources: nova's ``vm_states``, ``task_states``, ``power_state`` and the status table of the Compute API guide
("Server concepts"), and the states that each action names in the Compute API reference.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

ACTIVE = "active"
BUILDING = "building"
PAUSED = "paused"
SUSPENDED = "suspended"
STOPPED = "stopped"
ERROR = "error"
RESCUED = "rescued"
RESIZED = "resized"
SHELVED = "shelved"
SHELVED_OFFLOADED = "shelved_offloaded"
SOFT_DELETED = "soft-delete"
DELETED = "deleted"

SCHEDULING = "scheduling"
NETWORKING = "networking"
BLOCK_DEVICE_MAPPING = "block_device_mapping"
SPAWNING = "spawning"
REBOOTING = "rebooting"
REBOOTING_HARD = "rebooting_hard"
PAUSING = "pausing"
UNPAUSING = "unpausing"
SUSPENDING = "suspending"
RESUMING = "resuming"
POWERING_OFF = "powering-off"
POWERING_ON = "powering-on"
REBUILDING = "rebuilding"
SNAPSHOT = "image_snapshot"
BACKUP = "image_backup"
RESCUING = "rescuing"
UNRESCUING = "unrescuing"
SHELVING = "shelving"
SHELVING_OFFLOADING = "shelving_offloading"
UNSHELVING = "unshelving"
RESIZE_PREP = "resize_prep"
RESIZE_MIGRATING = "resize_migrating"
RESIZE_FINISH = "resize_finish"
RESIZE_REVERTING = "resize_reverting"
EVACUATING = "rebuild_spawning"
MIGRATING = "migrating"
RESTORING = "restoring"
DELETING = "deleting"

NOSTATE, RUNNING, POWER_PAUSED, SHUTDOWN, CRASHED, POWER_SUSPENDED = 0, 1, 3, 4, 6, 7

WANT_RUNNING, WANT_STOPPED, WANT_PAUSED, WANT_SUSPENDED, WANT_GONE = (
    "running",
    "stopped",
    "paused",
    "suspended",
    "gone",
)

_DEFAULTS = {
    ACTIVE: "ACTIVE",
    BUILDING: "BUILD",
    PAUSED: "PAUSED",
    SUSPENDED: "SUSPENDED",
    STOPPED: "SHUTOFF",
    ERROR: "ERROR",
    RESCUED: "RESCUE",
    RESIZED: "VERIFY_RESIZE",
    SHELVED: "SHELVED",
    SHELVED_OFFLOADED: "SHELVED_OFFLOADED",
    SOFT_DELETED: "SOFT_DELETED",
    DELETED: "DELETED",
}
_SPECIAL = {
    (ACTIVE, REBOOTING): "REBOOT",
    (ACTIVE, REBOOTING_HARD): "HARD_REBOOT",
    (STOPPED, REBOOTING_HARD): "HARD_REBOOT",
    (PAUSED, REBOOTING_HARD): "HARD_REBOOT",
    (SUSPENDED, REBOOTING_HARD): "HARD_REBOOT",
    (ERROR, REBOOTING_HARD): "HARD_REBOOT",
    (ACTIVE, REBUILDING): "REBUILD",
    (STOPPED, REBUILDING): "REBUILD",
    (ERROR, REBUILDING): "REBUILD",
    **{(state, EVACUATING): "REBUILD" for state in (ACTIVE, STOPPED, ERROR)},
    **{
        (state, task): "RESIZE"
        for state in (ACTIVE, STOPPED)
        for task in (RESIZE_PREP, RESIZE_MIGRATING, RESIZE_FINISH)
    },
    (RESIZED, RESIZE_REVERTING): "REVERT_RESIZE",
    (ACTIVE, MIGRATING): "MIGRATING",
    (PAUSED, MIGRATING): "MIGRATING",
}

PROGRESS = frozenset({"ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE", "MIGRATING"})
"""Statuses in which a view has ``progress``."""

FAULTY = frozenset({"ERROR", "DELETED"})
"""Statuses in which a view has ``fault``."""


def status_of(vm_state: str, task_state: str | None) -> str:
    """The status that clients see."""
    return _SPECIAL.get((vm_state, task_state or "")) or _DEFAULTS.get(vm_state, "UNKNOWN")


class Selection(NamedTuple):
    """The servers of a status: a vm_state, and either exactly some task states or none of some."""

    vm_state: str
    tasks: tuple[str, ...]
    without: bool


def states_of(statuses: Iterable[str]) -> tuple[list[Selection], list[str]]:
    """The selections of a filter by status (in any case), and the words among them that are no status."""
    selections, unknown = [], []
    for status in statuses:
        word = status.upper()
        found = [
            Selection(vm_state, (task,), False)
            for (vm_state, task), shown in _SPECIAL.items()
            if shown == word
        ]
        for vm_state, shown in _DEFAULTS.items():
            if shown == word:
                special = tuple(task for (state, task) in _SPECIAL if state == vm_state)
                found.append(Selection(vm_state, special, True))
        if not found and word not in _ELSEWHERE:
            unknown.append(status)
        selections += found
    return selections, unknown


_ELSEWHERE = frozenset({"PASSWORD", "UNKNOWN"})
"""Statuses of Nova that no server here has (yet): a filter by them finds nothing, and is no error."""


class Permit(NamedTuple):
    """In which states something may be done; ``tasks`` None is in any."""

    states: frozenset[str]
    tasks: frozenset[str | None] | None = frozenset({None})


def _in(*states: str, tasks: frozenset[str | None] | None = frozenset({None})) -> Permit:
    return Permit(frozenset(states), tasks)


_HARD = frozenset(
    {None, REBOOTING, REBOOTING_HARD, PAUSING, UNPAUSING, SUSPENDING, RESUMING, POWERING_OFF, POWERING_ON}
)

PERMITS = {
    "start": _in(STOPPED),
    "stop": _in(ACTIVE, ERROR),
    "reboot_soft": _in(ACTIVE, tasks=frozenset({None, REBOOTING})),
    "reboot_hard": _in(ACTIVE, STOPPED, PAUSED, SUSPENDED, ERROR, tasks=_HARD),
    "pause": _in(ACTIVE),
    "unpause": _in(PAUSED),
    "suspend": _in(ACTIVE),
    "resume": _in(SUSPENDED),
    "rebuild": _in(ACTIVE, STOPPED, ERROR),
    "resize": _in(ACTIVE, STOPPED),
    "changePassword": _in(ACTIVE),
    "createImage": _in(ACTIVE, STOPPED, PAUSED, SUSPENDED),
    "createBackup": _in(ACTIVE, STOPPED, PAUSED, SUSPENDED),
    "migrate": _in(ACTIVE, STOPPED),
    "os-migrateLive": _in(ACTIVE, PAUSED),
    "evacuate": _in(ACTIVE, STOPPED, ERROR, tasks=None),
    "rescue": _in(ACTIVE, STOPPED, ERROR),
    "unrescue": _in(RESCUED),
    "shelve": _in(ACTIVE, STOPPED, PAUSED, SUSPENDED),
    "shelveOffload": _in(SHELVED),
    "unshelve": _in(SHELVED, SHELVED_OFFLOADED),
    "trigger_crash_dump": _in(ACTIVE, PAUSED, RESCUED, RESIZED, ERROR),
    "restore": _in(SOFT_DELETED),
    "confirmResize": _in(RESIZED),
    "revertResize": _in(RESIZED),
    "attach_interface": _in(ACTIVE, PAUSED, STOPPED),
    "detach_interface": _in(ACTIVE, PAUSED, STOPPED),
    "attach_volume": _in(ACTIVE, PAUSED, STOPPED, SHELVED_OFFLOADED),
    "detach_volume": _in(ACTIVE, PAUSED, STOPPED, SHELVED_OFFLOADED),
    "update_metadata": _in(ACTIVE, PAUSED, SUSPENDED, STOPPED),
    "get_diagnostics": _in(ACTIVE, PAUSED, SUSPENDED, STOPPED, tasks=None),
}


def forbidden(action: str, vm_state: str, task_state: str | None) -> tuple[str, str] | None:
    """None where the action may be done, else the attribute that forbids it and its value."""
    permit = PERMITS[action]
    if vm_state not in permit.states:
        return "vm_state", vm_state
    if permit.tasks is not None and task_state not in permit.tasks:
        return "task_state", str(task_state)
    return None


REACHED = {
    WANT_RUNNING: (RUNNING, ACTIVE),
    WANT_STOPPED: (SHUTDOWN, STOPPED),
    WANT_PAUSED: (POWER_PAUSED, PAUSED),
    WANT_SUSPENDED: (POWER_SUSPENDED, SUSPENDED),
}
"""For what is wanted: the power state that shows that it is so, and the state that the server is then in."""

WANTED_IN = {state: wanted for wanted, (_, state) in REACHED.items()} | {
    RESCUED: WANT_RUNNING,
    SHELVED: WANT_STOPPED,
    SHELVED_OFFLOADED: WANT_STOPPED,
    SOFT_DELETED: WANT_STOPPED,
}
"""For a state that a server rests in: what is wanted of it."""

KEPT = frozenset({ERROR, RESCUED, RESIZED, SHELVED, SOFT_DELETED})
"""States that no report of a host ends: only who asks does."""

ON_THE_WAY = frozenset(
    {
        SPAWNING, POWERING_OFF, POWERING_ON, PAUSING, UNPAUSING, SUSPENDING, RESUMING, REBUILDING,
        UNSHELVING, RESTORING, RESIZE_FINISH, RESIZE_REVERTING, EVACUATING,
    }
)  # fmt: skip
"""Tasks that end when the host reports that what is wanted is so."""

LEAVING = frozenset({SHELVING_OFFLOADING})
"""Tasks in which a server's host takes the machine away, and the server stays."""

MOVING = frozenset({RESIZE_PREP, RESIZE_MIGRATING, RESIZE_FINISH, RESIZE_REVERTING, EVACUATING, MIGRATING})
"""Tasks in which a server goes to another host, or becomes another machine on its own."""

IN_CHAINS = MOVING | {SNAPSHOT, BACKUP, SHELVING, SHELVING_OFFLOADING, UNSHELVING}
"""Tasks that end with the operation that they were begun for, and never before it."""


def drifted(wanted: str, power_state: int) -> str | None:
    """The state that a guest puts its server into by itself: one that shut down, or crashed, is stopped."""
    if wanted == WANT_RUNNING and power_state in (SHUTDOWN, CRASHED):
        return STOPPED
    return None
