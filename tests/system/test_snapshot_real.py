"""An image of a real guest: what it wrote is in a server that is made of the image."""

from __future__ import annotations

import pytest
from tests.clouds import until
from tests.system import test_demo
from tests.system.demo_guests import BOOTED_WITHIN_S, COMPUTE, NETWORK, Guests, guests, state

__all__ = ["guests", "state"]

pytestmark = [*test_demo.pytestmark, pytest.mark.nightly]


def test_what_a_guest_wrote_is_in_its_image(guests: Guests) -> None:
    first, second = guests.server("demo-1"), guests.server("demo-2")
    guests.shell("echo written while it ran > /root/mark && sync")
    up_before = float(guests.shell("cat /proc/uptime").split()[0])
    image = guests.image_of(first["id"], "of-demo-1")
    assert float(guests.shell("cat /proc/uptime").split()[0]) > up_before, "it went on"

    # There is room for two: the copy takes the second one's place.
    guests.api.call("DELETE", f"{COMPUTE}/servers/{second['id']}")
    body = {
        "name": "copy",
        "imageRef": image,
        "flavorRef": first["flavor"]["id"],
        "networks": [{"uuid": guests.api.call("GET", f"{NETWORK}/networks?name=demo")["networks"][0]["id"]}],
        "key_name": "demo",
        "security_groups": [{"name": "demo"}],
    }
    copy = guests.api.call("POST", f"{COMPUTE}/servers", {"server": body})["server"]["id"]
    until(lambda: guests.server("copy")["status"] == "ACTIVE", BOOTED_WITHIN_S)
    guests.lead_to(copy)
    assert guests.shell("cat /root/mark; hostname") == "written while it ran\ncopy\n"

    # One that is off: nothing asks QEMU.
    guests.api.call("POST", f"{COMPUTE}/servers/{copy}/action", {"os-stop": None})
    until(lambda: guests.server("copy")["status"] == "SHUTOFF", BOOTED_WITHIN_S)
    guests.image_of(copy, "of-copy")
    assert guests.server("copy")["status"] == "SHUTOFF"
