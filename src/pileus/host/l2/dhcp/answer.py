"""The outcome of a guest's question, of either version of DHCP."""

from __future__ import annotations

import msgspec

STARTED, RENEWED, ENDED = "started", "renewed", "ended"


class Answer(msgspec.Struct, frozen=True):
    """``frame``: what is sent, if anything is. ``leases`` tell what became of some: the address and how;
    ``lease_s``: for how many seconds they are given."""

    frame: bytes | None = None
    leases: tuple[tuple[str, str], ...] = ()
    lease_s: int = 0
