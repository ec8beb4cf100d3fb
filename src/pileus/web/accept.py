"""Which of several media types a client wants (RFC 9110, section 12.5.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence

HTML, JSON, PLAIN = "text/html", "application/json", "text/plain"

_RANGE = re.compile(r"\s*([\w!#$&^.+*-]+)/([\w!#$&^.+*-]+)\s*((?:;[^,]*)?)\s*")
_Q = re.compile(r";\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*(?:;|$)", re.IGNORECASE)


def preferred(accept: str | None, offers: Sequence[str]) -> str | None:
    """The offer that is wanted most, the earlier one of equals; None where none is acceptable.

    Without a header, or with one that can't be read, all are equally wanted.
    """
    if not accept or not accept.strip():
        return offers[0]
    ranges = []
    for part in accept.split(","):
        found = _RANGE.fullmatch(part)
        if found is None:
            return offers[0]
        quality = _Q.search(found[3])
        ranges.append((found[1].lower(), found[2].lower(), float(quality[1]) if quality else 1.0))
    weighed = [(offer, _quality(offer, ranges)) for offer in offers]
    best = max(quality for _, quality in weighed)
    return next(offer for offer, quality in weighed if quality == best) if best > 0 else None


def _quality(offer: str, ranges: Sequence[tuple[str, str, float]]) -> float:
    """Of the most specific range that the offer is in."""
    kind, _, subtype = offer.partition("/")
    for wanted in ((kind, subtype), (kind, "*"), ("*", "*")):
        for first, second, quality in ranges:
            if (first, second) == wanted:
                return quality
    return 0.0
