"""States of servers: what clients see, what filters select, what may be done."""

from __future__ import annotations

import pytest

from pileus.services.compute.rules import states


@pytest.mark.parametrize(
    ("vm_state", "task_state", "status"),
    [
        ("active", None, "ACTIVE"),
        ("active", "rebooting", "REBOOT"),
        ("active", "rebooting_hard", "HARD_REBOOT"),
        ("active", "powering-off", "ACTIVE"),
        ("active", "rebuilding", "REBUILD"),
        ("building", "spawning", "BUILD"),
        ("stopped", None, "SHUTOFF"),
        ("paused", None, "PAUSED"),
        ("suspended", "resuming", "SUSPENDED"),
        ("error", None, "ERROR"),
        ("deleted", None, "DELETED"),
        ("shelved", "shelving_offloading", "SHELVED"),
        ("shelved_offloaded", None, "SHELVED_OFFLOADED"),
        ("soft-delete", None, "SOFT_DELETED"),
        ("stopped", "resize_migrating", "RESIZE"),
        ("resized", None, "VERIFY_RESIZE"),
        ("resized", "resize_reverting", "REVERT_RESIZE"),
        ("active", "rebuild_spawning", "REBUILD"),
    ],
)
def test_status(vm_state: str, task_state: str | None, status: str) -> None:
    assert states.status_of(vm_state, task_state) == status
    selections, unknown = states.states_of([status.lower()])
    assert unknown == []
    assert any(one.vm_state == vm_state and ((task_state in one.tasks) != one.without) for one in selections)


def test_unknown_statuses() -> None:
    selections, unknown = states.states_of(["ACTIVE", "nothing", "MIGRATING"])
    assert unknown == ["nothing"]
    assert {one.vm_state for one in selections} == {"active", "paused"}


@pytest.mark.parametrize(
    ("action", "vm_state", "task_state", "refusal"),
    [
        ("start", "stopped", None, None),
        ("start", "active", None, ("vm_state", "active")),
        ("start", "stopped", "powering-on", ("task_state", "powering-on")),
        ("reboot_soft", "stopped", None, ("vm_state", "stopped")),
        ("reboot_hard", "stopped", None, None),
        ("reboot_hard", "active", "rebooting", None),
        ("reboot_hard", "active", "rebuilding", ("task_state", "rebuilding")),
        ("rebuild", "error", None, None),
        ("rebuild", "paused", None, ("vm_state", "paused")),
    ],
)
def test_permits(action: str, vm_state: str, task_state: str | None, refusal: tuple[str, str] | None) -> None:
    assert states.forbidden(action, vm_state, task_state) == refusal


def test_a_guest_that_went_off() -> None:
    assert states.drifted("running", states.SHUTDOWN) == "stopped"
    assert states.drifted("running", states.CRASHED) == "stopped"
    assert states.drifted("running", states.RUNNING) is None
    assert states.drifted("stopped", states.SHUTDOWN) is None
