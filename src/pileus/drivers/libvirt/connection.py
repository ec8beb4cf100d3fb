"""A connection to libvirt from asyncio: calls in a few threads, events from one.

libvirt's calls block, so each runs in a small pool of threads (the C library lets go of
the interpreter meanwhile). Its events come from one loop per process, which runs in a
thread of its own; that loop must be registered before the first connection is opened,
and stays for the process's life.

libvirt-python has no wheel: it is an optional extra, and only this room imports it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import libvirt

from pileus.drivers.libvirt.hypervisor import DomainMissing, HypervisorFailed, HypervisorUnavailable

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_THREADS = 4
_KEEPALIVE_S, _KEEPALIVE_MISSES = 5, 4
_RETRY_FROM_S, _RETRY_UP_TO_S = 0.2, 5.0

# By where an error comes from, as its code says too little: a "system error" of QEMU's driver may be a
# disk that is not there, one of the wire's is a connection that broke.
_WIRE = frozenset((libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE))
_GONE = frozenset((libvirt.VIR_ERR_NO_CONNECT, libvirt.VIR_ERR_INVALID_CONN))


class Connection:
    """Keeps one connection open. ``opened`` is called in the loop's thread with each new one, to
    register for events; ``up`` in the loop, once it is usable."""

    def __init__(
        self, uri: str, *, opened: Callable[[libvirt.virConnect], None], up: Callable[[], None]
    ) -> None:
        self._uri = uri
        self._opened = opened
        self._up = up
        self._connection: libvirt.virConnect | None = None
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="libvirt")
        self._lost = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as we know."""
        return self._connection is not None

    async def connect(self) -> None:
        """Open the connection; raises HypervisorUnavailable when nothing answers now."""
        self._loop = asyncio.get_running_loop()
        _run_event_loop()
        await self._open()
        self._keeper = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Close it, and open no other."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        connection, self._connection = self._connection, None
        if connection is not None:
            await asyncio.get_running_loop().run_in_executor(self._threads, _close, connection)
        self._threads.shutdown(wait=False)

    async def call(self, verb: str, work: Callable[[libvirt.virConnect], _T], *, apart: bool = False) -> _T:
        """Run ``work`` with the connection in a thread; ``apart``: in one of its own, as it takes long.
        libvirt's errors become ours."""
        connection = self._connection
        if connection is None:
            raise HypervisorUnavailable(verb, "no connection to libvirt")
        try:
            if apart:
                return await asyncio.to_thread(work, connection)
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, connection)
        except libvirt.libvirtError as error:
            fault = _fault(verb, error)
            if isinstance(fault, HypervisorUnavailable) and not await self._alive(connection):
                self._drop(connection)
            raise fault from error

    async def _alive(self, connection: libvirt.virConnect) -> bool:
        def ask() -> bool:
            try:
                return bool(connection.isAlive())
            except libvirt.libvirtError:
                return False

        return await asyncio.get_running_loop().run_in_executor(self._threads, ask)

    async def _open(self) -> None:
        def work() -> libvirt.virConnect:
            connection = libvirt.open(self._uri)
            with contextlib.suppress(libvirt.libvirtError):  # a driver in the process has no keepalive
                connection.setKeepAlive(_KEEPALIVE_S, _KEEPALIVE_MISSES)
            connection.registerCloseCallback(self._closed, None)
            self._opened(connection)
            return connection

        try:
            self._connection = await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except libvirt.libvirtError as error:
            raise HypervisorUnavailable("connect", reason(error)) from error
        self._up()

    async def _keep(self) -> None:
        """Open it again whenever it is lost."""
        while True:
            await self._lost.wait()
            self._lost.clear()
            delay_s = _RETRY_FROM_S
            while self._connection is None:
                try:
                    await self._open()
                except HypervisorUnavailable as error:
                    _log.warning("libvirt does not answer: %s", error.reason)
                    await asyncio.sleep(delay_s)
                    delay_s = min(2 * delay_s, _RETRY_UP_TO_S)

    def _closed(self, connection: Any, reason: int, opaque: Any) -> None:
        """Called by libvirt in its event thread, with another object for the same connection."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._drop, None)

    def _drop(self, connection: libvirt.virConnect | None) -> None:
        if self._connection is None or (connection is not None and connection is not self._connection):
            return
        self._connection = None
        self._lost.set()


def _close(connection: libvirt.virConnect) -> None:
    with contextlib.suppress(libvirt.libvirtError):
        connection.unregisterCloseCallback()
        connection.close()


def is_gone(error: libvirt.libvirtError) -> bool:
    """Whether an error is about the connection, and not about what was asked."""
    return error.get_error_code() in _GONE or error.get_error_domain() in _WIRE


def reason(error: libvirt.libvirtError) -> str:
    """Return libvirt's text of an error."""
    return str(error.get_error_message() or error)


def _fault(verb: str, error: libvirt.libvirtError) -> HypervisorFailed:
    if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
        return DomainMissing(verb, reason(error))
    return (HypervisorUnavailable if is_gone(error) else HypervisorFailed)(verb, reason(error))


_event_loop: threading.Thread | None = None
_event_loop_lock = threading.Lock()


def _run_event_loop() -> None:
    global _event_loop
    with _event_loop_lock:
        if _event_loop is not None:
            return
        # Errors are raised; that the library prints them to stderr as well helps nobody.
        libvirt.registerErrorHandler(lambda _context, _error: None, None)
        libvirt.virEventRegisterDefaultImpl()

        def turn() -> None:
            while True:
                try:
                    libvirt.virEventRunDefaultImpl()
                except libvirt.libvirtError:
                    _log.exception("libvirt's event loop")

        _event_loop = threading.Thread(target=turn, name="libvirt-events", daemon=True)
        _event_loop.start()
