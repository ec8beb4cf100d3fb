"""Segments, MTUs, hardware addresses and bindings: the smaller decisions."""

from __future__ import annotations

import random

import pytest

from pileus.core.errors import Fault
from pileus.services.network.rules import macs, segments
from pileus.services.network.rules.binding import AgentFacts, bind
from pileus.services.network.rules.segments import Ranges, Segment

RANGES = Ranges(vlan={"physnet1": ((100, 101), (200, 200)), "bare": ()}, flat=("physnet1",))


@pytest.mark.parametrize(
    ("network_type", "physical", "number"),
    [
        ("token-ring", None, None),
        ("vxlan", "physnet1", 5),
        ("vxlan", None, 0),
        ("vxlan", None, 2**24),
        ("flat", "physnet1", 4),
        ("flat", None, None),
        ("flat", "other", None),
        ("vlan", None, 5),
        ("vlan", "nowhere", 5),
        ("vlan", "physnet1", 4095),
        ("vlan", "bare", None),
    ],
)
def test_provider_attributes_that_do_not_go_together(
    network_type: str, physical: str | None, number: int | None
) -> None:
    with pytest.raises(Fault) as refused:
        segments.check(network_type, physical, number, RANGES)
    assert refused.value.code == "InvalidInput"


def test_free_walks_around_and_ends() -> None:
    dice = random.Random(3)
    taken: set[int] = set()
    for _ in range(3):
        found = segments.free(RANGES.vlan["physnet1"], taken, dice)
        assert found is not None
        taken.add(found)
    assert taken == {100, 101, 200}
    assert segments.free(RANGES.vlan["physnet1"], taken, dice) is None
    assert segments.free((), set(), dice) is None


def test_what_is_said_of_a_segment_in_use() -> None:
    assert segments.in_use(Segment("vlan", "physnet1", 5)).code == "VlanIdInUse"
    assert segments.in_use(Segment("flat", "physnet1")).code == "FlatNetworkInUse"
    assert "ID 9 " in segments.in_use(Segment("vxlan", "", 9)).text


def test_mtu_is_what_remains() -> None:
    assert segments.mtu("vxlan", None, 1500) == 1450
    assert segments.mtu("flat", 1400, 1500) == 1400
    with pytest.raises(Fault):
        segments.mtu("vxlan", 1451, 1500)
    segments.check_mtu("n", 67, ())
    for asked, versions in ((67, {4}), (67, {6}), (1279, {4, 6})):
        with pytest.raises(segments.NetworkMTUSubnetConflict):
            segments.check_mtu("n", asked, versions)


def test_macs_keep_the_base_and_avoid_the_taken() -> None:
    made = macs.make(50, random.Random(1))
    assert len(set(made)) == 50
    assert all(mac.startswith("fa:16:3e:") and macs.normalise(mac) == mac for mac in made)
    assert macs.make(1, random.Random(1), taken={made[0]}) == [made[1]]
    assert macs.make(1, random.Random(1), base="fa:16:3e:4f:00:00")[0].startswith("fa:16:3e:4f:")


@pytest.mark.parametrize("mac", ["00:00:00:00:00:00", "01:00:5e:00:00:01", "fa:16:3e:0:0:1", "zz"])
def test_what_is_no_mac(mac: str) -> None:
    assert macs.normalise(mac) is None


def agent(alive: bool = True, **configurations: object) -> AgentFacts:
    return AgentFacts("Open vSwitch agent", alive, configurations)


def test_a_linux_bridge_agent_binds_by_its_cards() -> None:
    def found(network_type: str, physical_network: str | None, **configurations: object) -> tuple[str, str]:
        one = AgentFacts("Linux bridge agent", True, configurations)
        outcome = bind("h1", "normal", network_type, physical_network, [one])
        return outcome.vif_type, outcome.reason

    cards, theirs = {"physnet1": "eth1"}, {"physnet2": "br0"}
    assert found("vxlan", None, tunnel_types=["vxlan"]) == ("bridge", "")
    assert found("vlan", "physnet1", interface_mappings=cards) == ("bridge", "")
    assert found("flat", "physnet2", bridge_mappings=theirs) == ("bridge", "")
    no_card = "the host has no network card for physical network physnet2"
    assert found("vlan", "physnet2", bridge_mappings=theirs) == ("binding_failed", no_card)
    assert "the Linux bridge agent of the host has no gre tunnels" in found("gre", None)


def test_binding_says_why_not() -> None:
    good = agent(tunnel_types=["vxlan"], bridge_mappings={"physnet1": "br-ex"})
    assert bind("", "normal", "vxlan", None, []).vif_type == "unbound"
    bound = bind("h1", "normal", "vxlan", None, [good])
    assert (bound.vif_type, bound.vif_details["bridge_name"]) == ("ovs", "br-int")
    assert bind("h1", "normal", "vlan", "physnet1", [good]).vif_type == "ovs"
    for refused, words in (
        (bind("h1", "normal", "vxlan", None, []), "ever reported"),
        (bind("h1", "normal", "vxlan", None, [agent(alive=False)]), "is down"),
        (bind("h1", "normal", "gre", None, [good]), "no gre tunnels"),
        (bind("h1", "normal", "flat", "physnet2", [good]), "physnet2"),
        (bind("h1", "direct", "vxlan", None, [good]), "direct"),
    ):
        assert refused.vif_type == "binding_failed"
        assert words in refused.reason
