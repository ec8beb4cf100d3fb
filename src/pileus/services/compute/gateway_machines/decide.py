"""Decide what has to be done for a gateway machine, from what is wanted, written down and there. Pure."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping
from typing import Any, NamedTuple

from pileus.services.compute.rules import states
from pileus.services.compute.uses.network import KnownMachine, WantedMachine

ACTIVE = "ACTIVE"
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 5, 60
_ALIVE = (states.BUILDING, states.ACTIVE)


class Step(enum.Enum):
    """The next thing to be done."""

    NOTHING = "nothing"
    MAKE = "make"
    """A server."""
    KEEP = "keep"
    """Bring what belongs to the server in line: its host, its ports, what is known of its health."""
    REPLACE = "replace"
    """The server is of no use: it goes, and another comes."""
    DELETE = "delete"
    """The server goes; there is no router any more."""
    FORGET = "forget"
    """Nothing is left."""


class Seen(NamedTuple):
    """A gateway machine as it is. ``server``: None where there is none, or it is gone; ``attached``: the
    ports that it has; ``host_up``: whether its host reports."""

    wanted: WantedMachine | None
    known: KnownMachine | None
    server: Mapping[str, Any] | None
    attached: tuple[str, ...] = ()
    host_up: bool = True


class Decision(NamedTuple):
    """The next thing to be done, and for a replacement why."""

    step: Step
    reason: str = ""


def decide(seen: Seen, now: dt.datetime, patience_s: float) -> Decision:
    """Say what is next; ``patience_s``: how long a machine may run without working."""
    server, known = seen.server, seen.known
    if server is not None and server["wanted"] == states.WANT_GONE:
        return Decision(Step.NOTHING)
    if seen.wanted is None:
        return Decision(Step.FORGET if server is None else Step.DELETE)
    if server is None:
        waits = known is not None and known.try_at is not None and known.try_at > now
        return Decision(Step.NOTHING if waits else Step.MAKE)
    if trouble := _trouble(seen, server, now, patience_s):
        return Decision(Step.REPLACE, trouble)
    return Decision(Step.KEEP if _differs(seen, server) else Step.NOTHING)


def pause_s(failures: int) -> float:
    """How long to wait after so many machines that came to nothing; none after the first."""
    return (
        float(min(_SHORTEST_PAUSE_S * 2 ** min(failures - 1, 10), _LONGEST_PAUSE_S)) if failures > 1 else 0.0
    )


def is_up(seen: Seen) -> bool:
    """Whether the server is there, whatever the machine does inside."""
    return seen.server is not None and seen.server["vm_state"] == states.ACTIVE


def _trouble(seen: Seen, server: Mapping[str, Any], now: dt.datetime, patience_s: float) -> str:
    state = server["vm_state"]
    if state == states.ERROR:
        fault = server["fault"] or {}
        return f"Its server is in error: {fault.get('message') or 'nobody knows why'}"
    if state not in _ALIVE:
        return f"Its server is {state}."
    if state == states.ACTIVE and not seen.host_up:
        return f"The host {server['host']} is down."
    since = seen.known.ailing_since if seen.known is not None else None
    if since is not None and not _works(seen) and (now - since).total_seconds() > patience_s:
        return f"It did not work for {patience_s:g} s."
    return ""


def _works(seen: Seen) -> bool:
    return seen.wanted is not None and seen.wanted.status == ACTIVE


def ails(seen: Seen) -> bool:
    """Whether the machine runs and does not work."""
    return is_up(seen) and not _works(seen)


def place_of(server: Mapping[str, Any]) -> str | None:
    """The host that the router is to be bound to."""
    return None if server["task_state"] == states.SCHEDULING else server["host"]


def _differs(seen: Seen, server: Mapping[str, Any]) -> bool:
    wanted, known = seen.wanted, seen.known
    assert wanted is not None
    place = place_of(server)
    if wanted.host != place or any(port.host != (wanted.host or "") for port in wanted.ports):
        return True
    if {port.port_id for port in wanted.ports} != {*seen.attached}:
        return True
    if known is None or ails(seen) != (known.ailing_since is not None):
        return True
    return is_up(seen) and _works(seen) and bool(known.failures or known.reason or known.try_at)
