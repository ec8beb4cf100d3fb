"""Prefixes of a subnet pool: their bounds, and which part of them is free. Pure."""

from __future__ import annotations

import bisect
import ipaddress
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pileus.core.errors import Invalid
from pileus.services.network.rules.addresses import IPNetwork, Pool, text

BITS = {4: 32, 6: 128}
_DEFAULT_MINIMUM = {4: 8, 6: 64}
_QUOTA_UNIT = {4: 32, 6: 64}


class EmptySubnetPoolPrefixList(Invalid):
    message = "Empty subnet pool prefix list."


class PrefixVersionMismatch(Invalid):
    message = "Cannot mix IPv4 and IPv6 prefixes in a subnet pool."


class IllegalSubnetPoolPrefixBounds(Invalid):
    message = "Illegal prefix bounds: {prefix_type}={prefixlen}, {base_prefix_type}={base_prefixlen}."


class IllegalSubnetPoolPrefixUpdate(Invalid):
    message = "Illegal update to prefixes: {msg}."


class MinPrefixSubnetAllocationError(Invalid):
    message = (
        "Unable to allocate subnet with prefix length {prefixlen}, minimum allowed prefix is {min_prefixlen}."
    )


class MaxPrefixSubnetAllocationError(Invalid):
    message = (
        "Unable to allocate subnet with prefix length {prefixlen}, maximum allowed prefix is {max_prefixlen}."
    )


def compact(prefixes: Sequence[str]) -> tuple[int, list[str]]:
    """The IP version of a pool's prefixes and the fewest prefixes that say the same."""
    if not prefixes:
        raise EmptySubnetPoolPrefixList()
    networks: list[Any] = [ipaddress.ip_network(one) for one in prefixes]
    version = networks[0].version
    if any(one.version != version for one in networks):
        raise PrefixVersionMismatch()
    return version, [str(one) for one in ipaddress.collapse_addresses(networks)]


def bounds(version: int, given: Mapping[str, int | None]) -> dict[str, int]:
    """``min_prefixlen``, ``max_prefixlen`` and ``default_prefixlen``, what was not given filled in."""
    low = given.get("min_prefixlen")
    high = given.get("max_prefixlen")
    low = _DEFAULT_MINIMUM[version] if low is None else low
    high = BITS[version] if high is None else high
    usual = given.get("default_prefixlen")
    usual = low if usual is None else usual
    for one, value, other, limit in (
        ("min_prefixlen", low, "max_prefixlen", high),
        ("max_prefixlen", high, "ip_version_max", BITS[version]),
        ("default_prefixlen", usual, "max_prefixlen", high),
    ):
        if value > limit:
            raise _illegal(one, value, other, limit)
    if usual < low:
        raise _illegal("default_prefixlen", usual, "min_prefixlen", low)
    return {"min_prefixlen": low, "max_prefixlen": high, "default_prefixlen": usual}


def _illegal(kind: str, length: int, base: str, base_length: int) -> IllegalSubnetPoolPrefixBounds:
    return IllegalSubnetPoolPrefixBounds(
        prefix_type=kind, prefixlen=length, base_prefix_type=base, base_prefixlen=base_length
    )


def check_kept(before: Iterable[str], after: Iterable[str]) -> None:
    """IllegalSubnetPoolPrefixUpdate where a pool would lose a prefix that it has. Both are compact, and of
    one IP version."""
    kept = sorted(map(_pool, after))
    for one in map(_pool, before):
        at = bisect.bisect_right(kept, one.first, key=lambda pool: pool.first) - 1
        if at < 0 or kept[at].last < one.last:
            raise IllegalSubnetPoolPrefixUpdate(msg="Existing prefixes must be a subset of the new prefixes")


def check_length(length: int, low: int, high: int) -> None:
    """Whether a pool gives subnets of this prefix length."""
    if length > high:
        raise MaxPrefixSubnetAllocationError(prefixlen=length, max_prefixlen=high)
    if length < low:
        raise MinPrefixSubnetAllocationError(prefixlen=length, min_prefixlen=low)


def units(version: int, length: int) -> int:
    """Count a subnet of this length for a project's quota: IPv4 addresses, IPv6 /64s."""
    return int(2 ** max(_QUOTA_UNIT[version] - length, 0))


def is_free(cidr: str, prefixes: Iterable[str], taken: Iterable[str]) -> bool:
    """Whether a prefix is the pool's, and no part of it is taken."""
    wanted = ipaddress.ip_network(cidr)
    if not any(_inside(wanted, ipaddress.ip_network(one)) for one in prefixes):
        return False
    others: Iterable[Any] = map(ipaddress.ip_network, taken)
    return not any(other.overlaps(wanted) for other in others)


def share(prefixes: Iterable[str], others: Iterable[str]) -> bool:
    """Whether any address is in both; they are of one IP version."""
    mine, theirs = sorted(map(_pool, prefixes)), sorted(map(_pool, others))
    i = j = 0
    while i < len(mine) and j < len(theirs):
        if mine[i].first <= theirs[j].last and theirs[j].first <= mine[i].last:
            return True
        # The one that ends first meets nothing that comes later.
        if mine[i].last < theirs[j].last:
            i += 1
        else:
            j += 1
    return False


def without(version: int, prefixes: Iterable[str], removed: Iterable[str]) -> list[str]:
    """The fewest prefixes of what remains when others are taken away."""
    _, gone = compact(list(removed))
    address: Any = {4: ipaddress.IPv4Address, 6: ipaddress.IPv6Address}[version]
    left = _gaps([_pool(one) for one in prefixes], sorted(map(_pool, gone)))
    several: list[Any] = [
        one
        for gap in left
        for one in ipaddress.summarize_address_range(address(gap.first), address(gap.last))
    ]
    return [str(one) for one in ipaddress.collapse_addresses(several)]


def first_free(version: int, prefixes: Iterable[str], taken: Iterable[str], length: int) -> str | None:
    """A free prefix of this length, out of the smallest gap that has room; None where none has."""
    size = 2 ** (BITS[version] - length)
    holes = _gaps([_pool(one) for one in prefixes], sorted(_pool(one) for one in taken))
    best: tuple[int, int] | None = None
    for hole in holes:
        start = -(-hole.first // size) * size
        if start + size - 1 <= hole.last and (best is None or (hole.size, start) < best):
            best = (hole.size, start)
    return None if best is None else f"{text(best[1], version)}/{length}"


def _pool(cidr: str) -> Pool:
    prefix = ipaddress.ip_network(cidr)
    return Pool(int(prefix.network_address), int(prefix.broadcast_address))


def _gaps(whole: Iterable[Pool], taken: Sequence[Pool]) -> Iterable[Pool]:
    """``taken`` is sorted, and nothing in it is taken twice."""
    for pool in whole:
        first = pool.first
        at = bisect.bisect_left(taken, first, key=lambda used: used.last)
        for used in itertools.islice(taken, at, None):
            if used.first > pool.last:
                break
            if used.first > first:
                yield Pool(first, used.first - 1)
            first = max(first, used.last + 1)
        if first <= pool.last:
            yield Pool(first, pool.last)


def _inside(one: IPNetwork, other: IPNetwork) -> bool:
    return (
        one.version == other.version
        and one.network_address >= other.network_address  # type: ignore[operator]
        and one.broadcast_address <= other.broadcast_address  # type: ignore[operator]
    )
