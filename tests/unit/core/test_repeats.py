"""Repeats in lists: what counts as equal, and that a long list is read once."""

from __future__ import annotations

import itertools
import time
from typing import Any

import pytest

from pileus.core.repeats import first_repeat
from pileus.resource import types
from pileus.services.network.common.addressing import NAMESERVERS, ROUTES
from pileus.services.network.ports.resource import FIXED_IPS
from pileus.services.network.rules import prefixes
from pileus.services.network.rules.routing import added, removed

MANY = 30_000
ADDRESSES = [f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}" for n in range(MANY)]
ROUTE_LIST = [{"destination": f"{one}/32", "nexthop": "10.0.0.1"} for one in ADDRESSES]
APART = [f"{one}/32" for one in ADDRESSES if int(one.rsplit(".", 1)[1]) % 2]


@pytest.mark.parametrize(
    ("items", "position"),
    [
        ([], None),
        ([1, 2, 3], None),
        ([1, "1", None], None),
        (["a", "b", "a"], 2),
        ([None, None], 1),
        ([1, True], 1),
        ([{"a": 1, "b": [2]}, {"b": [2], "a": 1}], 1),
        ([{"a": 1}, {"a": 2}], None),
        ([[1, [2]], [1, [2]]], 1),
    ],
)
def test_the_first_repeat_is_found(items: list[Any], position: int | None) -> None:
    assert first_repeat(items) == position


READ = {
    "unique texts": lambda: types.list_of(types.string(), unique=True).parse(list(ADDRESSES)),
    "unique objects": lambda: types.list_of(types.anything, unique=True).parse(list(ROUTE_LIST)),
    "routes added": lambda: added(ROUTE_LIST[::2], ROUTE_LIST),
    "routes removed": lambda: removed(ROUTE_LIST, ROUTE_LIST[::2]),
    "pools compared": lambda: prefixes.share(APART, [f"11{one[2:]}" for one in APART]),
    "pools kept": lambda: prefixes.check_kept(APART, APART),
    "a pool's gaps": lambda: prefixes.first_free(4, APART, APART[1::2], 32),
}


@pytest.mark.parametrize("name", READ)
def test_a_long_list_costs_no_comparison_of_all_with_all(name: str) -> None:
    began = time.process_time()
    READ[name]()
    assert time.process_time() - began < 5  # a comparison of all with all takes several times as long


@pytest.mark.parametrize(
    ("kind", "items", "repeat"),
    [
        (ROUTES, ROUTE_LIST, "Duplicate hostroute"),
        (NAMESERVERS, ADDRESSES, "Duplicate nameserver"),
        (FIXED_IPS, [{"ip_address": one} for one in ADDRESSES], "Duplicate IP address"),
    ],
)
def test_lists_that_are_too_long_are_not_read(kind: types.Type, items: list[Any], repeat: str) -> None:
    assert len(kind.parse(items[:1000])) == 1000
    with pytest.raises(types.BadValue, match=repeat):
        kind.parse([*items[:900], items[0]])
    with pytest.raises(types.BadValue, match="exceeds maximum length of 1000"):
        kind.parse([*items[:1000], object()])


def test_pools_meet_wherever_their_prefixes_lie() -> None:
    cidrs = [f"10.0.{third}.0/{length}" for third in (0, 2, 3, 7) for length in (24, 25)]
    for mine, theirs in itertools.product(itertools.combinations(cidrs, 2), repeat=2):
        _, one = prefixes.compact(mine)
        _, other = prefixes.compact(theirs)
        expected = any(
            prefixes.is_free(a, [b], []) or prefixes.is_free(b, [a], []) for a in one for b in other
        )
        assert prefixes.share(one, other) is expected
        inside = all(any(prefixes.is_free(a, [b], []) for b in other) for a in one)
        try:
            prefixes.check_kept(one, other)
        except prefixes.IllegalSubnetPoolPrefixUpdate:
            assert not inside
        else:
            assert inside
