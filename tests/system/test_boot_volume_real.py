"""A real guest whose root disk is a volume: what it writes is in the volume, and in a server of its image; a
disk that it lets go of is gone."""

from __future__ import annotations

import pytest
from tests.clouds import until
from tests.system import test_demo
from tests.system.demo_guests import BOOTED_WITHIN_S, COMPUTE, NETWORK, Guests, guests, state

__all__ = ["guests", "state"]

pytestmark = [*test_demo.pytestmark, pytest.mark.nightly]
VOLUME = "/volume/v3"


def make(guests: Guests, name: str, flavor: str, **values: object) -> str:
    """A server that is ACTIVE and has the floating IP."""
    network = guests.api.call("GET", f"{NETWORK}/networks?name=demo")["networks"][0]["id"]
    body = {
        "name": name,
        "flavorRef": flavor,
        "networks": [{"uuid": network}],
        "key_name": "demo",
        "security_groups": [{"name": "demo"}],
        **values,
    }
    server = str(guests.api.call("POST", f"{COMPUTE}/servers", {"server": body})["server"]["id"])
    until(lambda: guests.server(name)["status"] in ("ACTIVE", "ERROR"), BOOTED_WITHIN_S)
    assert guests.server(name)["status"] == "ACTIVE", guests.server(name)
    guests.lead_to(server)
    return server


def delete(guests: Guests, server: str) -> None:
    guests.api.call("DELETE", f"{COMPUTE}/servers/{server}")
    until(lambda: server not in str(guests.api.call("GET", f"{COMPUTE}/servers")["servers"]))


def become(guests: Guests, server: str, action: dict[str, object], wanted: str) -> None:
    guests.api.call("POST", f"{COMPUTE}/servers/{server}/action", action)
    until(lambda: guests.server("on-volume")["status"] in (wanted, "ERROR"), BOOTED_WITHIN_S)
    assert guests.server("on-volume")["status"] == wanted, guests.server("on-volume")


def status(guests: Guests, volume: str) -> str:
    return str(guests.api.call("GET", f"{VOLUME}/volumes/{volume}")["volume"]["status"])


def test_a_guest_lives_on_a_volume(guests: Guests) -> None:
    first = guests.server("demo-1")
    flavor = first["flavor"]["id"]
    for name in ("demo-1", "demo-2"):
        delete(guests, guests.server(name)["id"])
    root = {
        "source_type": "image",
        "destination_type": "volume",
        "uuid": first["image"]["id"],
        "boot_index": 0,
    }
    root |= {"volume_size": 1, "delete_on_termination": True}
    server = make(guests, "on-volume", flavor, block_device_mapping_v2=[root])
    assert guests.server("on-volume")["image"] == ""
    guests.shell("echo written > /root/mark && sync")

    # A disk comes and goes, and the guest answers.
    made = guests.api.call("POST", f"{VOLUME}/volumes", {"volume": {"size": 1}})["volume"]["id"]
    until(lambda: status(guests, made) == "available")
    path = f"{COMPUTE}/servers/{server}/os-volume_attachments"
    guests.api.call("POST", path, {"volumeAttachment": {"volumeId": made}})
    until(lambda: status(guests, made) == "in-use")
    until(lambda: "vdb" in guests.shell("cat /proc/partitions"), BOOTED_WITHIN_S)
    guests.shell("echo data > /dev/vdb && sync")
    guests.api.call("DELETE", f"{path}/{made}")
    until(lambda: status(guests, made) == "available", BOOTED_WITHIN_S)
    assert "vdb" not in guests.shell("cat /proc/partitions")

    # It becomes another machine on this host and goes back, leaves the host and comes again.
    was = guests.api.call("GET", f"{COMPUTE}/flavors/{flavor}")["flavor"]
    size = {"ram": was["ram"] + 128, "vcpus": was["vcpus"], "disk": was["disk"]}
    larger = {"flavor": {"name": "larger", "id": "larger", **size}}
    guests.api.call("POST", f"{COMPUTE}/flavors", larger)
    become(guests, server, {"resize": {"flavorRef": "larger"}}, "VERIFY_RESIZE")
    memory = int(guests.shell("grep MemTotal /proc/meminfo").split()[1])
    assert memory > was["ram"] * 1024, "it has more than all that it had"
    guests.shell("echo larger >> /root/mark && sync")
    become(guests, server, {"revertResize": None}, "ACTIVE")
    become(guests, server, {"shelve": None}, "SHELVED_OFFLOADED")
    become(guests, server, {"unshelve": None}, "ACTIVE")
    assert guests.shell("cat /root/mark") == "written\nlarger\n"

    copied = guests.image_of(server, "of-volume")
    until(
        lambda: all(
            one["status"] == "available" for one in guests.api.call("GET", f"{VOLUME}/snapshots")["snapshots"]
        )
    )
    delete(guests, server)  # its volume stays, since it has a snapshot
    make(guests, "copy", flavor, imageRef=copied)
    assert guests.shell("cat /root/mark") == "written\nlarger\n"
    # it is told who it is now after it has let us in
    until(lambda: guests.shell("hostname") == "copy\n", BOOTED_WITHIN_S)
