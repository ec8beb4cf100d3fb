"""Who else gets the packets of a device, as values."""

from __future__ import annotations

import msgspec

Ranges = tuple[tuple[int, int], ...]
"""Of VLANs, first and last of each."""


class Copy(msgspec.Struct, frozen=True):
    """One receiver: the OpenFlow port ``ofport``, with the tag ``tag`` of a subport there,
    or in a tunnel as ``number``. ``vlans``: only frames with these tags; none: all. ``wrapped``: the tag that
    the frame wears on the interface, to be seen in the copy."""

    ofport: int
    tag: int = 0
    number: int = 0
    vlans: Ranges = ()
    wrapped: int = 0
    is_device: bool = False


class Copies(msgspec.Struct, frozen=True):
    """All receivers of a device's packets, and what it receives from other hosts: (port, number) each."""

    sent: tuple[Copy, ...] = ()
    got: tuple[Copy, ...] = ()
    received: tuple[tuple[int, int], ...] = ()
