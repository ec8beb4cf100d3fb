"""Actions that find packets which are too long for the network that they go to. Pure."""

from __future__ import annotations

from pileus.host.l2 import tables as t

_ETHERNET = 14
"""Bytes of a frame without a tag before its packet."""


def measured(mtu: int, vlan: int) -> list[str]:
    """Actions that write down whether a packet is too long for a network."""
    return [
        f"check_pkt_larger({mtu + _ETHERNET})->NXM_NX_REG12[0]",
        f"set_field:0x{vlan:x}->{t.ONWARD}",
    ]
