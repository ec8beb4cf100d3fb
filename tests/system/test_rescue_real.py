"""Rescue of a real guest: its own disk stands beside the image that it is booted from, and comes back."""

from __future__ import annotations

import pytest
from tests.clouds import until
from tests.system import test_demo
from tests.system.demo_guests import BOOTED_WITHIN_S, COMPUTE, Guests, guests, state

__all__ = ["guests", "state"]

pytestmark = [*test_demo.pytestmark, pytest.mark.nightly]


def test_a_guest_is_mended_from_another_image(guests: Guests) -> None:
    server = guests.server("demo-1")
    path = f"{COMPUTE}/servers/{server['id']}/action"
    guests.shell("echo its own > /root/mark && sync")
    guests.api.call("POST", path, {"rescue": None})
    until(lambda: guests.server("demo-1")["status"] == "RESCUE", BOOTED_WITHIN_S)
    # The root file system is the image's, where nobody has written; the own disk is the second one.
    seen = guests.shell("ls /root/mark 2>&1; mount /dev/vdb2 /mnt && cat /mnt/root/mark")
    assert "No such file" in seen and seen.endswith("its own\n")
    guests.shell("echo mended > /mnt/root/mark && umount /mnt && sync")
    guests.api.call("POST", path, {"unrescue": None})
    until(lambda: guests.server("demo-1")["status"] == "ACTIVE", BOOTED_WITHIN_S)
    assert guests.shell("cat /root/mark") == "mended\n"
