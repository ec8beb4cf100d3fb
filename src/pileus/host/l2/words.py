"""The words by which flows of routers say what a packet is that they send to the agent, and the meters that
bound how many such packets come."""

from __future__ import annotations

EXPIRED = b"TX"
"""Its TTL or hop limit has ended."""
TOO_BIG = b"TB"
"""It is too long for the network that it goes to."""
ASKED = b"NS"
"""A neighbour solicitation for a router's address that the switch can't answer itself."""
SOLICITED = b"RS"
"""A router solicitation."""

ERRORS_METER, ASKED_METER = 0xFFFF, 0xFFFE
"""Above the numbers of devices, and below their further meters."""


def told(word: bytes, meter: int) -> str:
    """The actions that bring a packet to the agent."""
    return f"meter:{meter},controller(userdata={word.hex('.')})"
