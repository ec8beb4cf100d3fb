"""Connections that the server opens to addresses which somebody else has named.

A name is resolved once, each of its addresses is judged, and the connection goes to just these: so a name
can't be a harmless address's while it is looked at and this host's own a moment later.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import aiohttp

_RESOLVE_S = 15

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class AddressRefused(ValueError):
    """The name has no address, or one that may not be asked."""


async def connector_to(host: str, port: int, may_ask: Callable[[Address], bool]) -> aiohttp.TCPConnector:
    """A connector that reaches the host at the addresses that were judged, and no other.

    Raises AddressRefused, or OSError where the name can't be resolved.
    """
    import aiohttp  # 60 ms, which a cloud that asks nobody does not spend

    looking = asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    try:
        found = await asyncio.wait_for(looking, _RESOLVE_S)
    except TimeoutError:
        raise AddressRefused(f"{host} can't be resolved in {_RESOLVE_S} s") from None
    addresses = sorted({str(one[4][0]) for one in found})
    refused = [one for one in addresses if not may_ask(normal_address(one))]
    if refused or not addresses:
        raise AddressRefused(f"{host} is at {', '.join(refused) or 'no address'}")
    return aiohttp.TCPConnector(resolver=_Known(addresses))  # type: ignore[arg-type]


def normal_address(text: str) -> Address:
    """An address without its zone; an IPv4 one that is written as IPv6 (mapped, NAT64, 6to4) as itself."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if address.sixtofour is not None:
            return address.sixtofour
    return address


_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class _Known:
    """Resolves to the addresses that were judged."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[dict[str, Any]]:
        return [
            {
                "hostname": host,
                "host": one,
                "port": port,
                "family": socket.AF_INET6 if ":" in one else socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
            for one in self._addresses
        ]

    async def close(self) -> None:
        """Nothing is held."""
