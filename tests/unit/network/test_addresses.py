"""Which address a port gets, and which prefixes, pools and gateways make sense."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.core.errors import Fault
from pileus.services.network.rules import addresses
from pileus.services.network.rules.addresses import Pool


def test_default_pool_has_a_hole_at_the_gateway() -> None:
    prefix = addresses.network("10.0.0.0/29", 4)
    assert addresses.default_gateway(prefix) == "10.0.0.1"
    shown = [addresses.shown_pool(pool, 4) for pool in addresses.default_pools(prefix, "10.0.0.3")]
    assert shown == ["10.0.0.1-10.0.0.2", "10.0.0.4-10.0.0.6"]


def test_small_and_ipv6_prefixes() -> None:
    six = addresses.network("2001:DB8::5/64", 6)
    assert str(six) == "2001:db8::/64"
    assert addresses.default_gateway(six) == "2001:db8::1"
    assert addresses.shown_pool(addresses.default_pools(six, "2001:db8::1")[0], 6) == (
        "2001:db8::2-2001:db8::ffff:ffff:ffff:ffff"
    )


@pytest.mark.parametrize(
    ("cidr", "version"),
    [("10.0.0.0/33", 4), ("nonsense", 4), ("10.0.0.0/24", 6), ("0.0.0.0/0", 4), ("::/64", 6)],
)
def test_prefixes_that_are_no_subnets(cidr: str, version: int) -> None:
    with pytest.raises(Fault) as refused:
        addresses.network(cidr, version)
    assert refused.value.code == "InvalidInput"


@pytest.mark.parametrize(
    ("cidr", "gateway", "pools"),
    [
        ("10.0.0.0/30", "10.0.0.1", ["10.0.0.2-10.0.0.2"]),
        ("10.0.0.0/31", "10.0.0.1", ["10.0.0.0-10.0.0.0"]),
        ("10.0.0.9/32", "10.0.0.10", ["10.0.0.9-10.0.0.9"]),
        ("255.255.255.255/32", None, ["255.255.255.255-255.255.255.255"]),
        ("fd00::/126", "fd00::1", ["fd00::2-fd00::3"]),
        ("fd00::/127", "fd00::1", []),
        ("fd00::5/128", "fd00::6", ["fd00::5-fd00::5"]),
    ],
)
def test_gateways_and_pools_of_small_prefixes(cidr: str, gateway: str | None, pools: list[str]) -> None:
    version = 6 if ":" in cidr else 4
    prefix = addresses.network(cidr, version)
    assert addresses.default_gateway(prefix) == gateway
    found = addresses.default_pools(prefix, gateway)
    assert [addresses.shown_pool(pool, version) for pool in found] == pools


@pytest.mark.parametrize(
    "cidr",
    ["10.0.0.0/31", "10.0.0.9/32", "fd00::/127", "fd00::1/128", "224.0.0.0/8", "ff00::/64", "127.0.0.0/8"],
)
def test_prefixes_without_a_place_for_dhcp(cidr: str) -> None:
    with pytest.raises(Fault):
        addresses.check_dhcp(addresses.network(cidr, 6 if ":" in cidr else 4))


@pytest.mark.parametrize(
    ("cidr", "address", "guest", "router"),
    [
        ("10.0.0.0/30", "10.0.0.0", False, False),
        ("10.0.0.0/30", "10.0.0.3", False, False),
        ("10.0.0.0/31", "10.0.0.0", True, True),
        ("10.0.0.9/32", "10.0.0.9", True, True),
        ("fd00::/64", "fd00::", False, True),
        ("fd00::/127", "fd00::", False, True),
        ("fd00::/127", "fd00::1", True, True),
        ("fd00::5/128", "fd00::5", True, True),
        ("fd00::/64", "10.0.0.1", False, False),
    ],
)
def test_addresses_that_a_port_may_ask_for(cidr: str, address: str, guest: bool, router: bool) -> None:
    prefix = addresses.network(cidr, 6 if ":" in cidr else 4)
    asked = addresses.parse_address(address)
    assert addresses.may_have(prefix, asked, False) is guest
    assert addresses.may_have(prefix, asked, True) is router


@pytest.mark.parametrize(
    ("pools", "gateway", "code"),
    [
        ([("10.0.0.9", "10.0.0.5")], None, "InvalidAllocationPool"),
        ([("10.0.0.9", "fd00::1")], None, "InvalidAllocationPool"),
        ([("10.0.0.2", "10.0.1.5")], None, "OutOfBoundsAllocationPool"),
        ([("10.0.0.0", "10.0.0.5")], None, "OutOfBoundsAllocationPool"),
        ([("10.0.0.2", "10.0.0.9"), ("10.0.0.9", "10.0.0.12")], None, "OverlappingAllocationPools"),
        ([("10.0.0.1", "10.0.0.9")], "10.0.0.1", "GatewayConflictWithAllocationPools"),
    ],
)
def test_pools_that_are_refused(pools: list[tuple[str, str]], gateway: str | None, code: str) -> None:
    with pytest.raises(Fault) as refused:
        addresses.check_pools(addresses.network("10.0.0.0/24", 4), pools, gateway)
    assert refused.value.code == code


def test_gateway_must_not_be_the_network_itself() -> None:
    prefix = addresses.network("10.0.0.0/24", 4)
    assert addresses.check_gateway(prefix, "10.9.0.1") == "10.9.0.1"
    for wrong in ("10.0.0.0", "10.0.0.255", "fd00::1", "x"):
        with pytest.raises(Fault):
            addresses.check_gateway(prefix, wrong)


def test_overlap_is_found_within_a_version() -> None:
    prefix = addresses.network("10.0.0.0/24", 4)
    others = [("a", "10.1.0.0/24"), ("b", "fd00::/64"), ("c", "10.0.0.128/25")]
    assert addresses.overlapping(prefix, others) == "c"
    assert addresses.overlapping(prefix, others[:2]) is None


def test_eui64_of_rfc_4291() -> None:
    assert addresses.eui64("2001:db8::/64", "fa:16:3e:00:00:01") == "2001:db8::f816:3eff:fe00:1"


@given(st.sets(st.integers(0, 60)), st.integers(1, 70), st.booleans(), st.integers())
def test_choose_never_gives_twice_and_gives_all_there_is(
    taken: set[int], count: int, lowest: bool, seed: int
) -> None:
    pools = [Pool(0, 9), Pool(20, 50)]
    everything = {*range(10), *range(20, 51)}
    chosen = addresses.choose(pools, taken, count, random.Random(seed), lowest)
    free = everything - taken
    assert len(chosen) == len(set(chosen)) == min(count, len(free))
    assert set(chosen) <= free
    if lowest:
        assert chosen == sorted(free)[: len(chosen)]


def test_choose_in_a_huge_pool() -> None:
    pool = Pool(2**64, 2**65)
    chosen = addresses.choose([pool], set(), 100, random.Random(1))
    assert len(set(chosen)) == 100
    assert all(address in pool for address in chosen)


def test_draw_avoids_and_differs() -> None:
    drawn = addresses.draw([Pool(1, 200)], 20, random.Random(1), avoid={5, 6})
    assert len(set(drawn)) == 20
    assert not {5, 6} & set(drawn)
    assert addresses.draw([Pool(1, 3)], 5, random.Random(1), avoid={2}) == [1, 3]
