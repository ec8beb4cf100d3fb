"""A cloud that is a service of systemd is back after a reboot, with its networks, without a command."""

from __future__ import annotations

import time

import pytest
from tests.machine.conftest import Inside
from tests.machine.guests import two_guests

pytestmark = pytest.mark.machine

STATE = "/var/lib/reboot"


def test_a_cloud_is_back_after_a_reboot(inside: Inside) -> None:
    inside.pileus(f"service install --state {STATE} --listen 127.0.0.1:8774", 120)
    two_guests(inside, STATE, "s", "10.40.0.0/24")
    inside.timed("reboot, until ssh", inside.machine.reboot())
    began = time.monotonic()
    inside.run("timeout 900 systemctl is-system-running --wait", 120, check=False)
    assert inside.run("systemctl is-active pileus").strip() == "active"
    inside.timed("  until systemd is done", time.monotonic() - began)
    status = inside.pileus(f"status --state {STATE}")
    assert "ready" in status, status
    inside.pileus(f"down --purge --state {STATE}")
