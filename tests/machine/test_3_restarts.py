"""Parts that systemd runs are restarted by their administrator, while pings are counted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.machine.conftest import Inside
from tests.machine.guests import PINGS_A_SECOND, lost, two_guests

pytestmark = pytest.mark.machine

STATE = "/var/lib/restarts"


@pytest.fixture(scope="module")
def address(inside: Inside) -> Iterator[str]:
    """The address of a guest that another one, ``r-a``, reaches."""
    inside.up(STATE, "--listen 127.0.0.1:8773")
    yield two_guests(inside, STATE, "r", "10.30.0.0/24")
    inside.pileus(f"down --purge --state {STATE}")


@pytest.mark.parametrize(
    ("unit", "at_most_s"), [("openvswitch-switch", 1.0), ("libvirtd", 0.0), ("systemd-networkd", 0.0)]
)
def test_a_restart_loses_few_pings(inside: Inside, address: str, unit: str, at_most_s: float) -> None:
    sent, missing = lost(inside, "r", address, f"systemctl restart {unit}", 40)
    inside.timed(
        f"systemctl restart {unit}: {missing} of {sent} pings lost, seconds", missing / PINGS_A_SECOND
    )
    assert missing <= at_most_s * PINGS_A_SECOND * inside.patience
    assert lost(inside, "r", address, "true", 5)[1] == 0, "all is well again afterwards"
