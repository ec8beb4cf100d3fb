"""Hardware addresses: the house's prefix and three random bytes."""

from __future__ import annotations

import random
import re
from collections.abc import Collection

_MAC = re.compile(r"^[0-9a-f]{2}(:[0-9a-f]{2}){5}$")

_BARE = re.compile(r"[0-9a-f]{12}|[0-9a-f]{4}(\.[0-9a-f]{4}){2}")

BASE_MAC = "fa:16:3e:00:00:00"
DVR_BASE_MAC = "fa:16:3f:00:00:00"
"""Of hosts that route, apart from those of ports."""


def normalise(mac: str) -> str | None:
    """Lower case with colons, or None where ``mac`` is not a unicast, non-zero hardware address."""
    text = mac.strip().lower().replace("-", ":")
    if _BARE.fullmatch(text):
        # Twelve digits, as they are or by fours with dots between.
        text = ":".join(re.findall("..", text.replace(".", "")))
    if not _MAC.match(text) or text == "00:00:00:00:00:00" or int(text[:2], 16) & 1:
        return None
    return text


def make(count: int, dice: random.Random, taken: Collection[str] = (), base: str = BASE_MAC) -> list[str]:
    """``count`` addresses that differ from each other and from ``taken``.

    The bytes of ``base`` that are not zero at its end are kept (base_mac's meaning
    in the Network API: ``fa:16:3e:4f:00:00`` keeps four).
    """
    prefix = kept(base)
    free = 5 - prefix.count(":")
    made: dict[str, None] = {}
    while len(made) < count:
        number = dice.getrandbits(8 * free)
        tail = number.to_bytes(free, "big").hex(":")
        mac = f"{prefix}:{tail}"
        if mac not in taken:
            made[mac] = None
    return list(made)


def kept(base: str) -> str:
    """The octets that all addresses of a base have: three, or more where those behind are not 0."""
    octets = base.split(":")
    while len(octets) > 3 and octets[-1] == "00":
        octets.pop()
    return ":".join(octets)


def mask(base: str) -> str:
    """The mask of the octets that all addresses of a base have."""
    count = kept(base).count(":") + 1
    return ":".join(["ff"] * count + ["00"] * (6 - count))
