"""Find what guests should be told by DHCP and can't be, for the timelines of their ports. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from pileus.host.l2.dhcp import v4, v6
from pileus.host.l2.dhcp.guests import Guest
from pileus.host.l2.dhcp.options import ROUTES, ROUTES_OF_WINDOWS, option_name

_FEW = 12
"""Routes and resolvers that fit into each answer."""


def untold(guest: Guest) -> str:
    """The reasons why a guest is not told all that it should be; empty: it is."""
    return "; ".join(dict.fromkeys((*guest.untold, *_left_out(guest))))


def _left_out(guest: Guest) -> Iterator[str]:
    if not (guest.options or guest.options_v6) and _count(guest) <= _FEW:
        return
    never = v4.left_out(guest, v4.MOST_ROOM)
    for code in sorted(v4.left_out(guest)):
        if code == ROUTES_OF_WINDOWS and guest.given[0].routes:
            continue  # told beside the standard's option for the same
        name = "classless-static-route" if code == ROUTES else option_name(code, 4)
        if code in never:
            yield f"the option {name!r} does not fit into an answer"
        else:
            yield f"the option {name!r} does not fit into answers to clients that take {v4.LEAST_ROOM} bytes"
    for code in sorted(v6.left_out(guest)):
        yield f"the option {option_name(code, 6)!r} of IPv6 does not fit into an answer"


def _count(guest: Guest) -> int:
    several = [*(len(one.routes) + len(one.resolvers) for one in guest.given), len(guest.resolvers_v6)]
    return max(several) + len(guest.given_v6)
