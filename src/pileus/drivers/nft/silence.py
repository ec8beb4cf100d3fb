"""Devices whose frames the machine's own network stack must not see, as one table. Pure.

A switch in user space reads what a device receives from a packet socket, and the kernel goes on to give the
same frame to its own stack: a guest that sends to its tap's address, or to everybody, would speak with the
machine. Packet sockets get their copy before the ingress hook is asked (net/core/dev.c,
``__netif_receive_skb_core``), so what is dropped there is lost for nobody but the stack.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pileus.drivers.nft.table import PREFIX, Base, Chain, Table

TABLE = f"{PREFIX}silence"
FAMILY: Literal["netdev"] = "netdev"
_FIRST = -500


def render(devices: Iterable[str]) -> Table:
    """The table of a namespace: a chain for each device, which drops all."""
    return Table(
        name=TABLE,
        family=FAMILY,
        chains=tuple(
            Chain(device, base=Base("filter", "ingress", _FIRST, "drop", device))
            for device in sorted(devices)
        ),
    )
