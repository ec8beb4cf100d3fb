"""Routes, the choice of agents, and free prefixes: values in, values out."""

from __future__ import annotations

import ipaddress
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.core.errors import Fault
from pileus.services.network.rules import prefixes, routing
from pileus.services.network.rules.routing import Attached
from pileus.services.network.rules.scheduling import Candidate, choose, serves_router


def test_what_may_be_on_one_router() -> None:
    there = [Attached("a", "10.0.0.0/24"), Attached("six", "fd00::/64")]
    routing.check_apart(there, [Attached("b", "10.0.1.0/24"), Attached("c", "fd00:1::/64")], {"a", "six"})
    for new in (Attached("a", "10.0.0.0/24"), Attached("b", "10.0.0.128/25"), Attached("c", "10.0.0.0/8")):
        with pytest.raises(Fault):
            routing.check_apart(there, [new], {"a", "six"})


def test_routes_are_added_and_removed_whole() -> None:
    one = {"destination": "10.1.0.0/16", "nexthop": "10.0.0.5"}
    two = {"destination": "10.1.0.0/16", "nexthop": "10.0.0.6"}
    assert routing.added([one], [one, two, two]) == [one, two]
    assert routing.removed([one, two], [two, two]) == [one]
    assert routing.removed([one], [two]) == [one]


def test_the_least_loaded_are_chosen() -> None:
    candidates = [Candidate("a", "h1", 3, "east"), Candidate("b", "h2", 1, "west"), Candidate("c", "h3", 2)]
    dice = random.Random(1)
    assert [one.agent_id for one in choose(candidates, 2, "least", dice)] == ["b", "c"]
    assert [one.agent_id for one in choose(candidates, 2, "least", dice, ["east"])] == ["a"]
    assert choose(candidates, 1, "least", dice, ["north"]) == []
    taken = {choose(candidates, 1, "chance", random.Random(seed))[0].agent_id for seed in range(40)}
    assert taken == {"a", "b", "c"}
    equal = [Candidate(str(number), "h", 0) for number in range(4)]
    assert len({choose(equal, 1, "least", random.Random(seed))[0].agent_id for seed in range(40)}) == 4


@pytest.mark.parametrize(
    ("configurations", "gateway", "served"),
    [
        ({}, None, True),
        ({}, "ext", True),
        ({"handle_internal_only_routers": False}, None, False),
        ({"handle_internal_only_routers": False}, "ext", True),
        ({"gateway_external_network_id": "ext"}, "ext", True),
        ({"gateway_external_network_id": "other"}, "ext", False),
        ({"gateway_external_network_id": ""}, "ext", True),
        ({"use_namespaces": False, "router_id": "r"}, None, True),
        ({"use_namespaces": False, "router_id": "s"}, None, False),
        ({"use_namespaces": True, "router_id": "s"}, None, True),
    ],
)
def test_which_agents_serve_a_router(configurations: dict[str, object], gateway: str, served: bool) -> None:
    assert serves_router(configurations, "r", gateway) is served


def test_a_free_prefix_comes_from_the_smallest_gap() -> None:
    taken = ["10.0.0.0/26", "10.0.0.128/25"]
    assert prefixes.first_free(4, ["10.0.0.0/22"], taken, 26) == "10.0.0.64/26"
    assert prefixes.first_free(4, ["10.0.0.0/22"], taken, 25) == "10.0.1.0/25"
    assert prefixes.first_free(4, ["10.0.0.0/22"], taken, 23) == "10.0.2.0/23"
    assert prefixes.first_free(4, ["10.0.0.0/22"], taken, 22) is None
    assert prefixes.first_free(6, ["fd00::/48"], [], 64) == "fd00::/64"


@given(st.lists(st.integers(24, 30), max_size=30), st.integers(24, 30))
def test_what_is_cut_never_overlaps(lengths: list[int], last: int) -> None:
    taken: list[str] = []
    for length in [*lengths, last]:
        cut = prefixes.first_free(4, ["10.0.0.0/23", "10.9.0.0/24"], taken, length)
        if cut is None:
            continue
        assert prefixes.is_free(cut, ["10.0.0.0/23", "10.9.0.0/24"], taken)
        assert ipaddress.ip_network(cut).prefixlen == length
        taken.append(cut)
    networks = [ipaddress.IPv4Network(one) for one in taken]
    for number, one in enumerate(networks):
        assert not any(one.overlaps(other) for other in networks[number + 1 :])
