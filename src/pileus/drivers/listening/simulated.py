"""Listening that nobody but this process can reach: places are remembered, and connections to them are
made by asking for one."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable

from pileus.drivers.listening.listeners import Place, Visit

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class SimulatedListeners:
    """Connects callers in this process. ``exists`` tells which namespaces there are (None: all)."""

    def __init__(self, exists: Callable[[str], int | None] | None = None) -> None:
        self.places: dict[Place, tuple[Visit, int]] = {}
        self._exists = exists
        self._visits: set[asyncio.Task[None]] = set()

    def incarnation(self, namespace: str) -> int | None:
        """See Listeners."""
        return 1 if self._exists is None else self._exists(namespace)

    async def listen(self, place: Place, visit: Visit, *, limit: int) -> _Listening:
        """See Listeners."""
        if self.incarnation(place.namespace) is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), place.namespace)
        if place in self.places:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        self.places[place] = visit, limit
        return _Listening(self, place)

    async def connect(self, place: Place, source: str) -> Streams:
        """A connection from ``source``. Raises ConnectionRefusedError."""
        if place not in self.places:
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        visit, limit = self.places[place]
        near, far = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=far, limit=limit)
        task = asyncio.create_task(_run(visit, reader, writer, source))
        self._visits.add(task)
        task.add_done_callback(self._visits.discard)
        return await asyncio.open_connection(sock=near)


class _Listening:
    def __init__(self, listeners: SimulatedListeners, place: Place) -> None:
        self._listeners = listeners
        self._place = place

    def close(self) -> None:
        """See Listening."""
        self._listeners.places.pop(self._place, None)


async def _run(visit: Visit, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, source: str) -> None:
    await visit(reader, writer, source)
