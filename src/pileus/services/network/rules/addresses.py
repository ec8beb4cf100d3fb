"""Prefixes, gateways, pools, and which address a port gets.

Addresses are integers in here and text outside; the text is canonical (RFC 5952
for IPv6), so that equal addresses are equal keys in the database. The choice among
free addresses is random by default: concurrent clients then seldom want the same.
"""

from __future__ import annotations

import ipaddress
import itertools
import random
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from pileus.core.addresses import Address, parse_address, parse_prefix
from pileus.core.errors import Conflict, Invalid
from pileus.services.network.common.errors import InvalidInput

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
AUTO_MODES = frozenset({"slaac", "dhcpv6-stateless"})
DELEGATED = "prefix_delegation"
"""The pool that stands for a prefix from a router outside."""
PROVISIONAL = "::/64"
"""The prefix of a subnet until its router has got one."""

_SMALL = 4096
"""Up to this many addresses, all free ones are listed and the choice is uniform."""


class InvalidAllocationPool(Invalid):
    message = "The allocation pool {pool} is not valid."


class OutOfBoundsAllocationPool(Invalid):
    message = "The allocation pool {pool} spans beyond the subnet cidr {subnet_cidr}."


class OverlappingAllocationPools(Conflict):
    message = "Found overlapping allocation pools: {pool_1} {pool_2} for subnet {subnet_cidr}."


class GatewayConflictWithAllocationPools(Conflict):
    message = "Gateway ip {ip_address} conflicts with allocation pool {pool}."


class IpamValueInvalid(Conflict):
    message = "Gateway IP {gateway_ip} cannot be the network or broadcast IP address {subnet_cidr}"


class Pool(NamedTuple):
    """An inclusive range of addresses, as integers."""

    first: int
    last: int

    def __contains__(self, address: object) -> bool:
        return isinstance(address, int) and self.first <= address <= self.last

    @property
    def size(self) -> int:
        return self.last - self.first + 1


def number(address: str) -> int:
    """An address as an integer; ValueError where it is none."""
    return int(parse_address(address))


def text(address: int, version: int) -> str:
    """An integer as canonical text."""
    return str(ipaddress.IPv4Address(address) if version == 4 else ipaddress.IPv6Address(address))


def network(cidr: str, version: int, *, provisional: bool = False) -> IPNetwork:
    """The prefix that ``cidr`` names, its host bits cleared; InvalidInput where it is no subnet's. One that
    is to be delegated may be ``provisional``."""
    if provisional and cidr == PROVISIONAL:
        return ipaddress.ip_network(cidr)
    try:
        prefix = parse_prefix(cidr)
    except ValueError:
        raise InvalidInput(f"'{cidr}' is not a valid IP subnet") from None
    if prefix.version != version:
        raise InvalidInput(f"cidr '{cidr}' does not match the ip_version '{version}'")
    if version == 6 and int(prefix.network_address) == 0:
        raise InvalidInput("IPv6 subnet '::' is not supported")
    if prefix.prefixlen == 0:
        raise InvalidInput("0 is not allowed as CIDR prefix length")
    return prefix


def check_dhcp(prefix: IPNetwork) -> None:
    """InvalidInput where a DHCP server has no place on a prefix."""
    if prefix.max_prefixlen - prefix.prefixlen < 2:
        raise InvalidInput("Subnet has a prefix length that is incompatible with DHCP service enabled")
    if prefix.is_multicast:
        raise InvalidInput("Multicast IP subnet is not supported if enable_dhcp is True")
    if prefix.is_loopback:
        raise InvalidInput("Loopback IP subnet is not supported if enable_dhcp is True")
    if int(prefix.network_address) == 0 and str(prefix) != PROVISIONAL:
        raise InvalidInput("First IP '0.0.0.0' of network is not supported if enable_dhcp is True.")


def pool_range(prefix: IPNetwork) -> Pool:
    """Bound the addresses of allocation pools: no network and broadcast address on IPv4 (/31 and /32 have
    neither, RFC 3021), no subnet-router anycast address on IPv6 (RFC 4291): nothing of a /128 is left."""
    first, last = int(prefix.network_address), int(prefix.broadcast_address)
    if prefix.version == 4:
        return Pool(first, last) if prefix.prefixlen >= 31 else Pool(first + 1, last - 1)
    return Pool(first + 1, last)


def may_have(prefix: IPNetwork, address: Address, of_router: bool) -> bool:
    """Whether a port may ask for an address of a prefix; on IPv6 routers may have the first one, too."""
    if address.version != prefix.version or address not in prefix:
        return False
    if prefix.version == 6:
        return of_router or prefix.prefixlen == 128 or address != prefix.network_address
    return int(address) in pool_range(prefix)


def default_gateway(prefix: IPNetwork) -> str | None:
    """The address after the prefix's own. That of a /32 or /128 lies outside; None behind the last of all."""
    following = int(prefix.network_address) + 1
    return text(following, prefix.version) if following < 2**prefix.max_prefixlen else None


def check_default_gateway(prefix: IPNetwork, gateway: str | None) -> None:
    """IpamValueInvalid for a /31: whoever wants one says where its gateway is, or that it has none."""
    if prefix.version == 4 and gateway == str(prefix.broadcast_address):
        raise IpamValueInvalid(gateway_ip=gateway, subnet_cidr=prefix)


def check_gateway(prefix: IPNetwork, gateway: str) -> str:
    """The canonical gateway address; InvalidInput where it can't be a gateway of ``prefix``.

    An address outside of the prefix is allowed (routers may be reached by on-link routes), the first and
    the last of an IPv4 prefix are not, whatever its length.
    """
    try:
        address = parse_address(gateway)
    except ValueError:
        raise InvalidInput(f"'{gateway}' is not a valid IP address") from None
    if address.version != prefix.version:
        raise InvalidInput(f"gateway_ip '{gateway}' does not match the ip_version '{prefix.version}'")
    if address.version == 4 and address in (prefix.network_address, prefix.broadcast_address):
        raise InvalidInput("Gateway is not valid on subnet")
    return str(address)


def default_pools(prefix: IPNetwork, gateway: str | None) -> list[Pool]:
    """Everything that may be given to somebody, with a hole at the gateway; the address of a /32 or /128."""
    if prefix.prefixlen == prefix.max_prefixlen:
        return [Pool(int(prefix.network_address), int(prefix.network_address))]
    whole = pool_range(prefix)
    hole = number(gateway) if gateway is not None else -1
    if hole not in whole:
        return [whole]
    halves = (Pool(whole.first, hole - 1), Pool(hole + 1, whole.last))
    return [half for half in halves if half.size > 0]


def check_pools(prefix: IPNetwork, pools: Iterable[tuple[str, str]], gateway: str | None) -> list[Pool]:
    """Pools given as (start, end) in text, checked and sorted."""
    bounds = pool_range(prefix)
    found: list[Pool] = []
    for start, end in pools:
        shown = f"{start}-{end}"
        try:
            first, last = parse_address(start), parse_address(end)
        except ValueError:
            raise InvalidAllocationPool(pool=shown) from None
        if first.version != prefix.version or last.version != prefix.version or int(last) < int(first):
            raise InvalidAllocationPool(pool=shown)
        pool = Pool(int(first), int(last))
        if pool.first < bounds.first or pool.last > bounds.last:
            raise OutOfBoundsAllocationPool(pool=shown, subnet_cidr=str(prefix))
        found.append(pool)
    found.sort()
    for one, other in itertools.pairwise(found):
        if other.first <= one.last:
            raise OverlappingAllocationPools(
                pool_1=shown_pool(one, prefix.version),
                pool_2=shown_pool(other, prefix.version),
                subnet_cidr=str(prefix),
            )
    check_gateway_outside(found, gateway, prefix.version)
    return found


def check_gateway_outside(pools: Iterable[Pool], gateway: str | None, version: int) -> None:
    """GatewayConflictWithAllocationPools where a pool would hand out the gateway's address."""
    if gateway is None:
        return
    for pool in pools:
        if number(gateway) in pool:
            raise GatewayConflictWithAllocationPools(pool=shown_pool(pool, version), ip_address=gateway)


def shown_pool(pool: Pool, version: int) -> str:
    """``10.0.0.2-10.0.0.254``, as messages have it."""
    return f"{text(pool.first, version)}-{text(pool.last, version)}"


def is_delegable(cidr: str) -> bool:
    """Whether a subnet can have a prefix from outside (or, provisional, none): one for guests, of 64 bits."""
    prefix = ipaddress.ip_network(cidr)
    strange = prefix.is_multicast or prefix.is_link_local or not int(prefix.network_address)
    return cidr == PROVISIONAL or (prefix.version == 6 and prefix.prefixlen == 64 and not strange)


def moved(address: str, cidr: str) -> str:
    """The same host's address in another prefix."""
    prefix = ipaddress.ip_network(cidr)
    return text(int(prefix.network_address) | number(address) & int(prefix.hostmask), prefix.version)


def overlapping(prefix: IPNetwork, others: Iterable[tuple[str, str]]) -> str | None:
    """The id of the first of ``others`` (id, cidr) that shares an address with ``prefix``."""
    for other_id, cidr in others:
        other = ipaddress.ip_network(cidr)
        if other.version == prefix.version and prefix.overlaps(other):
            return other_id
    return None


def is_automatic(ra_mode: str | None, address_mode: str | None) -> bool:
    """Whether guests give themselves addresses: either mode says so, whoever announces the prefix."""
    return ra_mode in AUTO_MODES or address_mode in AUTO_MODES


def check_ipv6_modes(
    prefix: IPNetwork, enable_dhcp: bool, ra_mode: str | None, address_mode: str | None, *, new: bool
) -> None:
    """The combinations of ipv6_ra_mode and ipv6_address_mode that make sense (RFC 4862, RFC 8415)."""
    version = prefix.version
    if version == 4:
        for name, value in (("ipv6_ra_mode", ra_mode), ("ipv6_address_mode", address_mode)):
            if value is not None:
                raise InvalidInput(f"{name} is not valid when ip_version is 4")
        return
    if (ra_mode or address_mode) and not enable_dhcp:
        if not new:
            raise InvalidInput("Cannot disable enable_dhcp with ipv6 attributes set")
        raise InvalidInput("ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False")
    if ra_mode and address_mode and ra_mode != address_mode:
        raise InvalidInput(
            f"ipv6_ra_mode set to '{ra_mode}' with ipv6_address_mode set to '{address_mode}' is not valid. "
            "If both attributes are set, they must be the same value"
        )
    if is_automatic(ra_mode, address_mode) and prefix.prefixlen != 64:
        raise InvalidInput(
            f"Invalid CIDR {prefix} for IPv6 address mode. OpenStack uses the EUI-64 address format, "
            "which requires the prefix to be /64"
        )


def eui64(cidr: str, mac: str) -> str:
    """The address that a guest gives itself on an auto-configured prefix (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    identifier = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    prefix = ipaddress.IPv6Network(cidr)
    return str(ipaddress.IPv6Address(int(prefix.network_address) | int.from_bytes(identifier, "big")))


def draw(pools: Sequence[Pool], count: int, dice: random.Random, avoid: Collection[int] = ()) -> list[int]:
    """Up to ``count`` different addresses at random, without any in ``avoid``.

    For asking the database "which of these are taken?" without reading all that are.
    Fewer come back when the pools hold no more, or are too full for luck to help:
    then the caller reads what is taken and asks ``choose``.
    """
    sizes = [pool.size for pool in pools]
    total = sum(sizes)
    if total <= 2 * count:
        return [
            address for pool in pools for address in range(pool.first, pool.last + 1) if address not in avoid
        ][:count]
    drawn: dict[int, None] = {}
    for _ in range(4 * count):
        if len(drawn) == count:
            break
        address = _at(pools, dice.randrange(total))
        if address not in avoid:
            drawn[address] = None
    return list(drawn)


def choose(
    pools: Sequence[Pool],
    taken: Collection[int],
    count: int,
    dice: random.Random,
    lowest: bool = False,
) -> list[int]:
    """Up to ``count`` free addresses, chosen uniformly (or the lowest ones); fewer when there are no more."""
    total = sum(pool.size for pool in pools)
    if lowest or total <= _SMALL:
        free: list[int] = []
        for pool in pools:
            for address in range(pool.first, pool.last + 1):
                if address not in taken:
                    free.append(address)
                    if lowest and len(free) == count:
                        return free
        return free if lowest else dice.sample(free, min(count, len(free)))
    chosen: dict[int, None] = {}
    # A random start and then upwards to the first free one ends after as many steps as are taken.
    for _ in range(min(count, total)):
        offset = dice.randrange(total)
        for step in range(min(total, len(taken) + len(chosen) + 1)):
            address = _at(pools, (offset + step) % total)
            if address not in taken and address not in chosen:
                chosen[address] = None
                break
        else:
            break
    return list(chosen)


def _at(pools: Sequence[Pool], offset: int) -> int:
    for pool in pools:
        if offset < pool.size:
            return pool.first + offset
        offset -= pool.size
    raise IndexError(offset)
