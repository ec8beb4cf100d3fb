"""How many connections there are, and whose.

A connection *waits* when no request of it is under way: it is new, idle, or its request's head is still
coming. Where a bound is reached, the one that has waited longest is closed for the new one, of the same
client or of all, so that whoever only holds connections keeps nobody out. If none waits, the new one is
refused with 429 (its client has enough of them) or 503.
"""

from __future__ import annotations

import contextlib
import resource
from typing import Protocol

from pileus.app.sections import LimitSection
from pileus.web.client import Proxies, normal_address, share_of

SPARE_FILES = 256
"""File descriptors that are left for everything else: the database, images, agents."""


class Closable(Protocol):
    def end(self) -> None:
        """Close now."""


class Gate:
    """Counts connections; used in the event loop only. Those of trusted proxies count among all only."""

    def __init__(self, limits: LimitSection, proxies: Proxies) -> None:
        self.limits = limits
        self._proxies = proxies
        self._most = min(limits.connections, _files() - SPARE_FILES)
        self._open: dict[Closable, str] = {}
        self._of: dict[str, int] = {}
        self._waiting: dict[str, dict[Closable, None]] = {}
        self._all_waiting: dict[Closable, None] = {}

    def enter(self, connection: Closable, address: str) -> int:
        """Let a connection in: 0, or the status with which it is refused. An empty address has no bounds."""
        if not address:
            return 0
        address = normal_address(address)
        share = "" if self._proxies.trusts(address) else share_of(address)
        has_enough = share and self._of.get(share, 0) >= self.limits.connections_per_address
        if has_enough and not self._close_one(self._waiting.get(share, {})):
            return 429
        if len(self._open) >= self._most and not self._close_one(self._all_waiting):
            return 503
        self._open[connection] = share
        self._of[share] = self._of.get(share, 0) + 1
        self.waits(connection)
        return 0

    def waits(self, connection: Closable) -> None:
        """No request of it is under way."""
        share = self._open.get(connection)
        if share is not None:
            self._waiting.setdefault(share, {})[connection] = None
            self._all_waiting[connection] = None

    def works(self, connection: Closable) -> None:
        """The head of a request is there."""
        share = self._open.get(connection)
        if share is not None and connection in self._all_waiting:
            del self._all_waiting[connection]
            self._forget_waiting(share, connection)

    def leave(self, connection: Closable) -> None:
        """It is closed; one that was refused is unknown."""
        self.works(connection)
        share = self._open.pop(connection, None)
        if share is None:
            return
        left = self._of[share] - 1
        if left:
            self._of[share] = left
        else:
            del self._of[share]

    def _close_one(self, waiting: dict[Closable, None]) -> bool:
        """Close the one that has waited longest."""
        for connection in waiting:
            self.leave(connection)
            connection.end()
            return True
        return False

    def _forget_waiting(self, share: str, connection: Closable) -> None:
        waiting = self._waiting[share]
        del waiting[connection]
        if not waiting:
            del self._waiting[share]


def _files() -> int:
    """How many files this process may have open; the soft limit is raised as far as it goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return soft if soft != resource.RLIM_INFINITY else 1 << 20
