"""What is next for a gateway machine: facts in, one step out."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from pileus.services.compute.gateway_machines.decide import Seen, Step, decide, pause_s
from pileus.services.network.gateway_machines.reading import KnownMachine, MachinePort, WantedMachine

NOW = dt.datetime(2026, 1, 1)
PATIENCE_S = 180.0


def wanted(**changes: Any) -> WantedMachine:
    ports = (MachinePort("p1", "h1"),)
    return WantedMachine("r", "project", "name", "ACTIVE", None, ports, "h1")._replace(**changes)


def known(**changes: Any) -> KnownMachine:
    return KnownMachine("r", "s", 0, None, None, None)._replace(**changes)


def server(**changes: Any) -> dict[str, Any]:
    usual = {"vm_state": "active", "task_state": None, "wanted": "running", "host": "h1", "fault": None}
    return {**usual, **changes}


def seen(**changes: Any) -> Seen:
    return Seen(wanted(), known(), server(), ("p1",))._replace(**changes)


def later(seconds: float) -> dt.datetime:
    return NOW + dt.timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("facts", "step"),
    [
        (seen(), Step.NOTHING),
        (Seen(wanted(), None, None), Step.MAKE),
        (seen(server=None), Step.MAKE),
        (seen(server=None, known=known(try_at=later(1))), Step.NOTHING),
        (seen(server=None, known=known(try_at=later(-1))), Step.MAKE),
        (seen(wanted=None), Step.DELETE),
        (seen(wanted=None, server=None), Step.FORGET),
        (seen(wanted=None, server=server(wanted="gone")), Step.NOTHING),
        (seen(server=server(wanted="gone")), Step.NOTHING),
        # What is of no use is replaced, whoever has brought it about.
        *((seen(server=server(vm_state=state)), Step.REPLACE) for state in ("error", "stopped", "paused")),
        (seen(host_up=False), Step.REPLACE),
        (seen(server=server(vm_state="building", task_state="spawning"), host_up=False), Step.NOTHING),
        # Where it is, what it has, and how it is follow.
        (seen(wanted=wanted(host=None)), Step.KEEP),
        (seen(server=server(host="h2")), Step.KEEP),
        (seen(attached=()), Step.KEEP),
        (seen(attached=("p1", "p2")), Step.KEEP),
        (seen(wanted=wanted(status="ERROR")), Step.KEEP),
        (seen(known=known(failures=2)), Step.KEEP),
        (seen(wanted=wanted(status="ERROR"), known=known(ailing_since=later(-179))), Step.NOTHING),
        (seen(wanted=wanted(status="ERROR"), known=known(ailing_since=later(-181))), Step.REPLACE),
        (seen(wanted=wanted(status="BUILD"), known=known(ailing_since=later(-181))), Step.REPLACE),
        (seen(known=known(ailing_since=later(-181))), Step.KEEP),
    ],
)
def test_what_is_next(facts: Seen, step: Step) -> None:
    decision = decide(facts, NOW, PATIENCE_S)
    assert decision.step is step
    assert bool(decision.reason) is (step is Step.REPLACE)


def test_pauses_grow_to_a_bound() -> None:
    pauses = [pause_s(number) for number in range(1, 40)]
    assert pauses[0] == 0 and pauses == sorted(pauses) and pauses[-1] == 60
