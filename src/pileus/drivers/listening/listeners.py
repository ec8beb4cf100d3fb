"""Listening for TCP connections in network namespaces while staying outside of them: the values, and
what a driver of it can do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

Visit = Callable[[asyncio.StreamReader, asyncio.StreamWriter, str], Awaitable[None]]
"""Serves a connection; the string is the address that it comes from. Whoever is called
closes the writer."""


class Place(msgspec.Struct, frozen=True):
    """Where to listen. ``interface`` restricts it to one, as an IPv6 address of a link needs. The address
    need not be there yet."""

    namespace: str
    address: str
    port: int
    interface: str | None = None


class Listening(Protocol):
    """A place that is listened at."""

    def close(self) -> None:
        """Let no new connections in; those that are there go on."""
        ...


class Listeners(Protocol):
    """``linux.LinuxListeners`` opens sockets, ``simulated.SimulatedListeners`` remembers places."""

    def incarnation(self, namespace: str) -> int | None:
        """A number that differs when a namespace of this name is made anew; None: there is none."""
        ...

    async def listen(self, place: Place, visit: Visit, *, limit: int) -> Listening:
        """Listen; lines of what comes are bounded to ``limit`` octets. Raises OSError."""
        ...
