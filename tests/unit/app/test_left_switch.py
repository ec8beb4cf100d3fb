"""A switch that another cloud left running is said before a second one takes its bridges."""

from __future__ import annotations

from pathlib import Path

import pytest

from pileus.app.nodes import switch
from pileus.app.nodes.switch import left_by_another_cloud
from pileus.app.state import StateFolder
from pileus.drivers import outliving


def program(state: str, *more: str) -> tuple[str, ...]:
    return ("ovs-vswitchd", "unix:/x", *more, f"--pidfile={state}/agent/ovs/ovs-vswitchd.pid")


@pytest.mark.parametrize(
    ("running", "said"),
    [
        ([(7, program("/var/lib/other"))], "/var/lib/other"),
        ([(7, ("/usr/sbin/ovs-vswitchd", *program("/var/lib/other")[1:]))], "/var/lib/other"),
        ([(7, program("/var/lib/mine"))], None),
        ([(8, program("/var/lib/elsewhere"))], None),  # in another namespace
        ([(7, ("ovs-vswitchd", "--pidfile=/run/openvswitch/ovs-vswitchd.pid"))], None),
        ([(7, ("vi", "--pidfile=/var/lib/other/agent/ovs/ovs-vswitchd.pid"))], None),
        ([], None),
    ],
)
def test_a_switch_of_another_state_folder_is_found(
    monkeypatch: pytest.MonkeyPatch, running: list[tuple[int, tuple[str, ...]]], said: str | None
) -> None:
    monkeypatch.setattr(outliving, "processes", lambda: iter(running))
    monkeypatch.setattr(outliving, "is_in", lambda number, namespace: number == 7)
    run_dir = switch._own_daemons(StateFolder(Path("/var/lib/mine")), "netdev").run_dir
    told = left_by_another_cloud(run_dir)
    if said is None:
        assert told is None
    else:
        assert told is not None and f"--state {said}`" in told and "process 7" in told
