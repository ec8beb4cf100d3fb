"""Virtual routers by VRRP (RFC 5798): the values, and what a driver of them can do.

Several hosts have the same router; one of them is active and has its addresses and routes. Hosts that
stand by hear the active one, and one of them takes over when it falls silent, without any agent or server.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

State = Literal["active", "standby"]
ACTIVE: State = "active"
STANDBY: State = "standby"


class KeepalivedFailed(Exception):
    """Some routers could not be brought into force: their ids, each with the reason."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        self.reasons = dict(reasons)
        super().__init__("; ".join(f"{key}: {why}" for key, why in self.reasons.items())[:2000])


class VirtualAddress(msgspec.Struct, frozen=True):
    """``address`` with its prefix length on a device of the namespace; the active host has it."""

    address: str
    device: str


class VirtualRoute(msgspec.Struct, frozen=True):
    """``destination`` is a prefix; by a neighbour or (``via`` None) on the link."""

    destination: str
    device: str
    via: str | None = None
    table: int = 0
    """0: the main one."""
    hops: tuple[tuple[str, str], ...] = ()
    """In the place of both: several neighbours, each with a device."""


class VirtualRouter(msgspec.Struct, frozen=True, kw_only=True):
    """One host's part of a virtual router. ``interface`` is on the network ``group``, by which the hosts
    hear each other; ``address`` is its own there."""

    router_id: str
    namespace: str
    interface: str
    address: str = ""
    group: str
    vr_id: int
    advert_interval_ms: int = 200
    addresses: tuple[VirtualAddress, ...] = ()
    routes: tuple[VirtualRoute, ...] = ()

    @property
    def marker(self) -> str:
        """The address that says which host is active: of the interface, and of nobody's network."""
        return f"169.254.0.{self.vr_id}/24"


class VirtualRouters(Protocol):
    """``driver.Keepalived`` runs keepalived, ``simulated.SimulatedKeepalived`` elects by itself."""

    async def apply(self, routers: Sequence[VirtualRouter]) -> int:
        """Make these as described; how many changes that took. Raises KeepalivedFailed, with the others
        done."""
        ...

    async def remove(self, router_ids: Collection[str]) -> None:
        """No such routers here; other hosts take over at once."""
        ...

    async def known(self) -> set[str]:
        """Routers of which there is something here, a process or files."""
        ...

    async def running(self) -> set[str]:
        """Routers that take part."""
        ...

    async def states(self, routers: Iterable[VirtualRouter]) -> dict[str, State]:
        """The states of routers that have been applied."""
        ...

    async def changed(self) -> set[str]:
        """Wait until some routers may have changed their state, or ended; which."""
        ...

    def close(self) -> None:
        """Listen no more; what runs goes on."""
        ...
