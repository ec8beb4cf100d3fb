"""What a guest's link does by itself with IPv6."""

from __future__ import annotations

import asyncio
import ipaddress

from tests.patience import PATIENCE

from pileus.drivers.process import run


def made_of(mac: str, prefix: str) -> str:
    """The address that a guest gives itself (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    identifier = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return str(ipaddress.IPv6Address(ipaddress.IPv6Network(prefix).network_address.packed[:8] + identifier))


async def until_link_local(namespace: str, device: str = "eth0") -> None:
    """Until the link's own address can be used: duplicate address detection (RFC 4862) takes a second or two.

    Programs that bind to it before fail, as DHCPv6 clients do. Raises TimeoutError.
    """
    shown = ("ip", "-n", namespace, "-6", "address", "show", "dev", device, "scope", "link", "-tentative")
    async with asyncio.timeout(20 * PATIENCE):
        while b"fe80:" not in await run(shown):
            await asyncio.sleep(0.1)
