"""A newcomer's first look: the machine is well, and the simulated cloud needs nothing of it."""

from __future__ import annotations

import re
import time

import pytest
from tests.machine.conftest import Inside

pytestmark = pytest.mark.machine

WHERE = "--simulated --state /tmp/simulated"


def test_the_machine_is_well(inside: Inside) -> None:
    """systemd has started what it should: otherwise the stories would tell of that."""
    state = inside.run("timeout 300 systemctl is-system-running --wait", 40, check=False).strip()
    assert state == "running", inside.run("systemctl --failed --no-legend; systemctl list-jobs")


def test_a_simulated_cloud(inside: Inside) -> None:
    began = time.monotonic()
    inside.pileus(f"up {WHERE} --detach --listen 127.0.0.1:8771")
    inside.timed("pileus up --simulated", time.monotonic() - began)
    status = inside.pileus(f"status {WHERE}")
    assert re.search(r"agents +(\d+) of \1 alive", status), status
    inside.pileus(f"down {WHERE} --purge")
    inside.run("! ls /tmp/simulated")
