"""Matches of security rules."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.host.l2.match import Unmatchable, address_match, conjoin, port_masks, rule_matches
from pileus.host.l2.numbers import NumbersExhausted, allocate, stable_ids
from pileus.wire.switch import SecurityRule


def span(mask: str) -> tuple[int, int]:
    """The ports that a mask of leading ones covers: first and last."""
    value, _, bits = mask.partition("/")
    ones = int(bits, 16) if bits else 0xFFFF
    size = 0x10000 - ones
    assert size & size - 1 == 0, "leading ones"
    assert int(value, 0) % size == 0
    return int(value, 0), int(value, 0) + size - 1


@given(st.tuples(st.integers(0, 65535), st.integers(0, 65535)).map(sorted))
def test_masks_cover_exactly_the_range(ends: list[int]) -> None:
    low, high = ends
    spans = [span(mask) for mask in port_masks(low, high)]
    assert (spans[0][0], spans[-1][1]) == (low, high)
    assert all(one[1] + 1 == next_one[0] for one, next_one in itertools.pairwise(spans))
    assert len(spans) <= 30, "the most that sixteen bits can need"


def test_masks_are_few() -> None:
    assert list(port_masks(22, 22)) == ["22"]
    assert list(port_masks(80, 87)) == ["0x50/0xfff8"]
    assert next(iter(port_masks(1, 65535))) == "1"
    assert len(list(port_masks(1, 65535))) == 16


@pytest.mark.parametrize(
    ("rule", "matches"),
    [
        (SecurityRule("r", "ingress", "IPv4"), ["ip"]),
        (SecurityRule("r", "ingress", "IPv6", "tcp", 22, 22), ["tcp6,tp_dst=22"]),
        (SecurityRule("r", "ingress", "IPv4", "6", 22, 22), ["tcp,tp_dst=22"]),
        (SecurityRule("r", "ingress", "IPv4", "udp", 0, 65535), ["udp"]),
        (SecurityRule("r", "ingress", "IPv4", "icmp", 8, 0), ["icmp,icmp_type=8,icmp_code=0"]),
        (SecurityRule("r", "ingress", "IPv4", "icmp", 8), ["icmp,icmp_type=8"]),
        (SecurityRule("r", "ingress", "IPv6", "icmp", 128), ["icmp6,icmp_type=128"]),
        (SecurityRule("r", "ingress", "IPv6", "ipv6-icmp"), ["icmp6"]),
        (SecurityRule("r", "ingress", "IPv4", "vrrp"), ["ip,nw_proto=112"]),
        (SecurityRule("r", "ingress", "IPv6", "sctp", 5, 6), ["sctp6,tp_dst=5", "sctp6,tp_dst=6"]),
    ],
)
def test_protocols(rule: SecurityRule, matches: list[str]) -> None:
    assert rule_matches(rule) == matches


@pytest.mark.parametrize(
    "rule",
    [
        SecurityRule("r", "ingress", "IPv4", "dccp", 1, 2),
        SecurityRule("r", "ingress", "IPv4", "icmpv6"),
        SecurityRule("r", "ingress", "IPv4", "nonsense"),
        SecurityRule("r", "ingress", "IPv4", "256"),
    ],
)
def test_what_the_switch_cannot_say_is_not_said(rule: SecurityRule) -> None:
    with pytest.raises(Unmatchable):
        rule_matches(rule)


def test_addresses() -> None:
    assert address_match("ingress", "10.0.0.5") == "ip,nw_src=10.0.0.5"
    assert address_match("egress", "10.0.0.5/8") == "ip,nw_dst=10.0.0.0/8"
    assert address_match("ingress", "0.0.0.0/0") == "ip"
    assert address_match("egress", "2001:DB8:0::1/128") == "ipv6,ipv6_dst=2001:db8::1"
    assert (
        conjoin("tcp,tp_dst=22", "ip,nw_src=10.0.0.5", "reg7=0x1") == "tcp,tp_dst=22,nw_src=10.0.0.5,reg7=0x1"
    )


@given(st.sets(st.text(min_size=1, max_size=3), max_size=8), st.sets(st.text(max_size=3), max_size=8))
def test_stable_ids_are_distinct_and_depend_on_the_names_alone(names: set[str], more: set[str]) -> None:
    ids = stable_ids(sorted(names))
    assert len(set(ids.values())) == len(names)
    assert ids == stable_ids(sorted(names, reverse=True))
    # In a space of five numbers names do collide, and are still told apart.
    few = sorted(names | more)[:5]
    assert sorted(stable_ids(few, 5).values()) == sorted(set(stable_ids(few, 5).values()))


def test_numbers_run_out_with_a_word() -> None:
    assert allocate(["a", "b"], {"a": 2}, {2, 3}, 4) == {"a": 2, "b": 1}
    assert allocate(["x"], {}, {1}, 3, after=3) == {"x": 2}
    with pytest.raises(NumbersExhausted):
        allocate(["a"], {}, {1, 2}, 2)
