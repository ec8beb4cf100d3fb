"""Hardware addresses: the house's prefix and three random bytes."""

from __future__ import annotations

import random
import re
from collections.abc import Collection

_MAC = re.compile(r"^[0-9a-f]{2}(:[0-9a-f]{2}){5}$")

_BARE = re.compile(r"[0-9a-f]{12}|[0-9a-f]{4}(\.[0-9a-f]{4}){2}")

BASE_MAC = "fa:16:3e:00:00:00"


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
    kept = base.split(":")
    while len(kept) > 3 and kept[-1] == "00":
        kept.pop()
    prefix, free = ":".join(kept), 6 - len(kept)
    made: dict[str, None] = {}
    while len(made) < count:
        number = dice.getrandbits(8 * free)
        tail = number.to_bytes(free, "big").hex(":")
        mac = f"{prefix}:{tail}"
        if mac not in taken:
            made[mac] = None
    return list(made)
