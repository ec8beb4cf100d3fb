"""A cloud without Open vSwitch on Debian's kernel, which tracks connections of bridges and knows VLANs of
cards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.machine.conftest import CHECKOUT, Inside
from tests.machine.guests import lost, two_guests

pytestmark = pytest.mark.machine

STATE, SETTINGS = "/var/lib/linuxbridge", "/etc/pileus-linuxbridge.toml"
TEXT = '[switch]\\nmechanism = "linuxbridge"\\ninterface_mappings = ["physnet1:card0"]\\n'
FAR = "10.41.0.250"
FAR_SIDE = (
    "ip netns add far && ip link add card0 type veth peer name wire netns far && "
    "ip -n far link set wire up && ip -n far link add link wire name tagged type vlan id 77 && "
    f"ip -n far link set tagged up && ip -n far address add {FAR}/24 dev tagged"
)
"""The other end of the card: somebody who speaks with the tag 77 alone."""


@pytest.fixture(scope="module")
def address(inside: Inside) -> Iterator[str]:
    """The address of a guest that another one, ``lb-a``, reaches."""
    inside.run(f"{FAR_SIDE} && ip link set card0 up")
    inside.run(f"printf '{TEXT}' > {SETTINGS}")
    inside.up(STATE, f"--config {SETTINGS} --listen 127.0.0.1:8775")
    yield two_guests(inside, STATE, "lb", "10.40.0.0/24")
    inside.pileus(f"down --purge --state {STATE}")
    inside.run("ip link del card0; ip netns del far")


def test_the_kernels_own_connection_tracking_of_bridges_is_used(inside: Inside, address: str) -> None:
    tables = inside.run("nft list tables")
    assert "table bridge pileus_ports" in tables
    assert "pileus_tracking" not in tables, "the packets don't pass the hooks of the family inet"
    assert "ct direction reply" in inside.run("nft list chain bridge pileus_ports tracking")


def test_a_restart_of_the_agent_loses_no_ping(inside: Inside, address: str) -> None:
    kill = f"pkill -9 -f '[p]ileus.app.processes.agent {STATE}'"  # not the shell that says so
    sent, missing = lost(inside, "lb", address, kill, 20)
    assert sent and missing == 0


def test_a_network_on_a_vlan_has_a_device_of_the_card(inside: Inside, address: str) -> None:
    physical = "--provider-network-type vlan --provider-physical-network physnet1 --provider-segment 77"
    for command in (
        f"network create {physical} tagged",
        "subnet create --network tagged --subnet-range 10.41.0.0/24 tagged",
        "port create --network tagged tagged-a",
    ):
        inside.run(f". {STATE}/openrc && {CHECKOUT}/.venv/bin/openstack {command}")
    inside.pileus(f"plug tagged-a --state {STATE}")
    assert "vlan protocol 802.1Q id 77" in inside.run("ip -d link show card0.77")
    inside.run(
        f"for i in $(seq 60); do ip netns exec guest-tagged-a ping -c 1 -W 1 {FAR} && exit; done; exit 1"
    )
    inside.pileus(f"unplug tagged-a --state {STATE}")
