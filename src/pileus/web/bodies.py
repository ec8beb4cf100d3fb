"""Bodies of requests as they come: bounded in size, in time and in how many bytes are held at once.

A body that is read whole has a deadline, and its bytes count, until its request is answered, against what its
client may hold and what all may hold. One that streams to the disk (an image) has none of these: it must go
on coming, at a least rate.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from pileus.core.errors import Fault, Kind, TooMany, Unavailable
from pileus.web.faults import BodyTooLarge

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

SMALL = 16 << 10
"""Bytes of a body that are not counted while they are few: they are fewer than a connection's own."""


class BodyLimits(msgspec.Struct, frozen=True, kw_only=True):
    """``largest_bytes`` bounds a body (``largest_anonymous_bytes`` one without a token), ``within_s`` the
    time in which it must be there. ``held_bytes`` and ``held_bytes_of_one`` bound what is held of
    unanswered requests, of all clients and of one. A stream may pause ``idle_s`` and must, after that time,
    have come at ``least_bytes_per_s``.
    """

    largest_bytes: int = 1 << 20
    largest_anonymous_bytes: int = 114_688
    within_s: float = 60.0
    held_bytes: int = 64 << 20
    held_bytes_of_one: int = 16 << 20
    idle_s: float = 30.0
    least_bytes_per_s: int = 1024


class ClientGone(Exception):
    """The client hung up before its request was read. There is nobody to answer."""


class BodyTooSlow(Fault):
    """The body did not come in time (408)."""

    kind = Kind.REQUEST_TIMEOUT
    message = "The body of the request did not arrive in time."


class TooManyBodies(TooMany):
    """One client has too much of unfinished requests here (429)."""

    message = "Too many unfinished requests of one client. Try again later."
    retry_after_s = 5


class BodiesFull(Unavailable):
    """All clients together have too much of unfinished requests here (503)."""

    message = "Too many unfinished requests. Try again later."
    retry_after_s = 5


class Bodies:
    """Counts the bytes of bodies that are held now. Used in the event loop only."""

    def __init__(self, limits: BodyLimits) -> None:
        self.limits = limits
        self.held = 0
        self._of: dict[str, int] = {}

    def lease(self, share: Callable[[], str], *, anonymous: bool) -> Lease:
        """For one request; ``share`` tells by what its client is counted."""
        return Lease(self, share, anonymous=anonymous)

    def take(self, share: str, size: int) -> None:
        """Hold some bytes more of a client (empty: the Unix socket). Raises TooManyBodies or BodiesFull."""
        held = self._of.get(share, 0) + size
        if share and held > self.limits.held_bytes_of_one:
            raise TooManyBodies
        if self.held + size > self.limits.held_bytes:
            raise BodiesFull
        self._of[share] = held
        self.held += size

    def give_back(self, share: str, size: int) -> None:
        """The bytes are gone."""
        self.held -= size
        left = self._of[share] - size
        if left:
            self._of[share] = left
        else:
            del self._of[share]


class Lease:
    """One request's part of what is held; a context manager, whose end gives it back."""

    __slots__ = ("_anonymous", "_bodies", "_held", "_share", "_share_of")

    def __init__(self, bodies: Bodies, share: Callable[[], str], *, anonymous: bool) -> None:
        self._bodies = bodies
        self._share_of = share
        self._share = ""
        self._anonymous = anonymous
        self._held = 0

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        if self._held:
            self._bodies.give_back(self._share, self._held)

    async def read(self, receive: Receive, announced: bytes) -> bytes:
        """The whole body. Raises BodyTooLarge, BodyTooSlow, TooManyBodies, BodiesFull or ClientGone."""
        limits = self._bodies.limits
        largest = limits.largest_anonymous_bytes if self._anonymous else limits.largest_bytes
        if announced.isdigit() and (len(announced) > 18 or int(announced) > largest):
            raise BodyTooLarge
        try:
            async with asyncio.timeout(limits.within_s):
                return await self._read(receive, largest)
        except TimeoutError:
            raise BodyTooSlow from None

    async def _read(self, receive: Receive, largest: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            part: bytes = message.get("body", b"")
            if part:
                size += len(part)
                self._check(size, largest)
                parts.append(part)
            if not message.get("more_body"):
                return parts[0] if len(parts) == 1 else b"".join(parts)

    def _check(self, size: int, largest: int) -> None:
        if size > largest:
            raise BodyTooLarge
        if size > SMALL and size > self._held:
            self._share = self._share or self._share_of()
            self._bodies.take(self._share, size - self._held)
            self._held = size


async def stream(receive: Receive, limits: BodyLimits) -> AsyncIterator[bytes]:
    """The parts of a body that goes to the disk as it comes. Raises BodyTooSlow or ClientGone.

    Only the time that is spent waiting for the client counts.
    """
    size, waited = 0, 0.0
    while True:
        began = time.monotonic()
        try:
            async with asyncio.timeout(limits.idle_s):
                message = await receive()
        except TimeoutError:
            raise BodyTooSlow from None
        waited += time.monotonic() - began
        if message["type"] == "http.disconnect":
            raise ClientGone
        part: bytes = message.get("body", b"")
        if part:
            size += len(part)
            yield part
        if not message.get("more_body"):
            return
        if size < (waited - limits.idle_s) * limits.least_bytes_per_s:
            raise BodyTooSlow
