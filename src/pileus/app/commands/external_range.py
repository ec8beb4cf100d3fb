"""Which addresses the demo's external network gets: such as this machine reaches nothing by.

What it would take is gone while the demo runs: a route, a neighbour or a name server in the range would
be looked for on the demo's network. Choosing is pure; what is there is read from iproute2 and resolv.conf.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import msgspec

from pileus.core.addresses import NotAnAddress, parse_prefix
from pileus.core.errors import Conflict, Invalid

CANDIDATES = (
    "203.0.113.0/24",  # TEST-NET-3, -2 and -1 (RFC 5737): nobody's in earnest
    "198.51.100.0/24",
    "192.0.2.0/24",
    "198.19.113.0/24",  # benchmarks (RFC 2544)
    "100.127.113.0/24",  # between a provider and its customers (RFC 6598)
    "10.203.113.0/24",  # private (RFC 1918), where few have theirs
    "172.30.113.0/24",
    "192.168.213.0/24",
)
_IS_A_DEFAULT = 1
"""Prefixes no longer than this are ways to everywhere: a default route, or the two halves of one."""
_SHORTEST, _LONGEST = 8, 28
_RESOLVERS = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))


class NoRangeLeft(Conflict):
    message = (
        "This machine reaches something in each of the ranges that the demo's external network could have "
        "({ranges}). Name one that it may have with --external-range."
    )


class RangeTaken(Conflict):
    message = "{range} can't be the demo's external network: {why}."


class BadRange(Invalid):
    message = "{range!r} is no range for the demo's external network: an IPv4 prefix of /8 to /28 is."


class Occupied(msgspec.Struct, frozen=True):
    """A prefix by which this machine reaches something, and what it is there, in words."""

    prefix: IPv4Network
    what: str


class ExternalRange(msgspec.Struct, frozen=True):
    """The network with its gateway, which is this machine, and the addresses that are given out."""

    cidr: str
    gateway: str
    pool: tuple[str, str]

    @property
    def address(self) -> str:
        """This machine's address on it, with the prefix length."""
        return f"{self.gateway}/{self.cidr.partition('/')[2]}"


def choose(occupied: Sequence[Occupied], wanted: str = "", reserved: Iterable[str] = ()) -> ExternalRange:
    """The range that is ``wanted``, or the first in which nothing is. ``reserved``: the demo's own other
    ranges. Raises BadRange, RangeTaken, NoRangeLeft."""
    taken = [*occupied, *(Occupied(IPv4Network(one), "the demo's project network") for one in reserved)]
    if wanted:
        prefix = _parse(wanted)
        if (found := _in_the_way(prefix, taken)) is not None:
            raise RangeTaken(range=prefix, why=f"{found.what} {found.prefix} is there")
        return laid_out(prefix)
    for candidate in map(IPv4Network, CANDIDATES):
        if _in_the_way(candidate, taken) is None:
            return laid_out(candidate)
    raise NoRangeLeft(ranges=", ".join(CANDIDATES))


def laid_out(prefix: IPv4Network) -> ExternalRange:
    """The first address is this machine's; some are left to it for other things where there is room."""
    first = prefix.network_address + (10 if prefix.num_addresses >= 64 else 2)
    return ExternalRange(
        str(prefix), str(prefix.network_address + 1), (str(first), str(prefix.broadcast_address - 1))
    )


def same(left: str, right: str) -> bool:
    """Whether two texts mean one range; raises BadRange for what is none."""
    return _parse(left) == _parse(right)


def _parse(text: str) -> IPv4Network:
    try:
        prefix = parse_prefix(text)
    except NotAnAddress:
        raise BadRange(range=text) from None
    if not isinstance(prefix, IPv4Network) or not _SHORTEST <= prefix.prefixlen <= _LONGEST:
        raise BadRange(range=text)
    if (
        prefix.is_loopback
        or prefix.is_multicast
        or prefix.is_link_local
        or prefix.network_address.packed[0] == 0
    ):
        raise BadRange(range=text)
    return prefix


def _in_the_way(prefix: IPv4Network, taken: Iterable[Occupied]) -> Occupied | None:
    return next((one for one in taken if one.prefix.overlaps(prefix)), None)


def occupied_by(
    routes: Iterable[dict[str, Any]],
    links: Iterable[dict[str, Any]],
    neighbours: Iterable[dict[str, Any]],
    resolvers: Iterable[str],
    ours: str,
) -> list[Occupied]:
    """Read prefixes in use from iproute2's JSON and the lines of resolv.conf; what is on the interface
    ``ours`` is the demo's own from an earlier time."""
    found = []
    for route in routes:
        if route.get("dev") != ours and route.get("type", "unicast") not in (
            "local",
            "broadcast",
            "multicast",
        ):
            found += _occupied(route.get("dst", "default"), "a route to")
            found += _occupied(route.get("gateway", ""), "a gateway at")
    for link in links:
        if link.get("ifname") != ours:
            for address in link.get("addr_info", ()):
                text = f"{address.get('local', '')}/{address.get('prefixlen', 32)}"
                found += _occupied(text, "an address of")
                found += _occupied(address.get("address", ""), "a peer at")
    for neighbour in neighbours:
        if neighbour.get("dev") != ours:
            found += _occupied(neighbour.get("dst", ""), "a neighbour at")
    for line in resolvers:
        words = line.split()
        if words[:1] == ["nameserver"] and len(words) > 1:
            found += _occupied(words[1], "a name server at")
    return found


def _occupied(text: str, what: str) -> list[Occupied]:
    try:
        prefix = IPv4Network(text, strict=False)
    except ValueError:
        return []  # "default", IPv6, or nothing
    return [] if prefix.prefixlen <= _IS_A_DEFAULT else [Occupied(prefix, what)]


def look(ours: str) -> list[Occupied]:
    """Return what this machine reaches now."""
    lines = [line for path in _RESOLVERS if path.exists() for line in path.read_text().splitlines()]
    return occupied_by(
        _ip("-4", "route", "show", "table", "all"), _ip("-4", "address"), _ip("-4", "neighbour"), lines, ours
    )


def _ip(*arguments: str) -> list[dict[str, Any]]:
    done = subprocess.run(["ip", "-json", *arguments], capture_output=True, text=True, check=False)
    found: list[dict[str, Any]] = json.loads(done.stdout or "[]") if done.returncode == 0 else []
    return found
