"""Default routes whose next hops are watched by BFD (RFC 5880, 5881): the values, and what a driver can do.

They stand in a table of routing of their own, where only next hops that answer are. Which these are is found
out and put there without any agent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

INTERVAL_MS, MULTIPLIER = 250, 3
"""A next hop that is silent for so many intervals is down."""


class BfdFailed(Exception):
    """Some routers' next hops could not be watched: the routers' ids, each with the reason."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        self.reasons = dict(reasons)
        super().__init__("; ".join(f"{key}: {why}" for key, why in self.reasons.items())[:2000])


class WatchedHop(msgspec.Struct, frozen=True):
    """A neighbour on a device. ``source``: the router's own IPv4 address there, which connections by it have.
    ``far``: no subnet of the device has the neighbour."""

    address: str
    device: str
    source: str | None = None
    far: bool = False


class WatchedRouter(msgspec.Struct, frozen=True, kw_only=True):
    """The next hops by which a router reaches everything. ``balanced``: all that are up are used at once;
    else the first of them."""

    router_id: str
    namespace: str
    table: int
    hops: tuple[WatchedHop, ...]
    balanced: bool = False


class BfdRouters(Protocol):
    """``driver.Bird`` runs BIRD, ``simulated.SimulatedBfd`` is told who is silent."""

    async def apply(self, routers: Sequence[WatchedRouter]) -> int:
        """Watch these as described; how many changes that took. Raises BfdFailed, with the others done."""
        ...

    async def remove(self, router_ids: Collection[str]) -> None:
        """Watch nothing for these, and leave no routes of theirs."""
        ...

    async def known(self) -> set[str]:
        """Routers of which there is something here, a process or files."""
        ...

    async def running(self) -> set[str]:
        """Routers whose next hops are watched."""
        ...

    async def down(self, routers: Iterable[WatchedRouter]) -> dict[str, set[str]]:
        """The addresses of next hops that do not answer, by router; routers of which nobody can say it are
        left out."""
        ...
