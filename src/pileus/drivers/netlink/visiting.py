"""Work inside network namespaces of this machine.

A thread can enter a network namespace, a process with other threads should not fork: so each
batch runs in one new thread, which enters the namespaces concerned one after the other and
ends. (pyroute2 is imported there for the first time: it costs a quarter of a second.)
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pileus.core.names import path_part
from pileus.drivers.netlink.links import LinkError

NAMESPACES = Path("/run/netns")
_CLONE_NEWNET = 0x40000000

T = TypeVar("T")
Work = Callable[[Any], T]
"""Work in a namespace, with pyroute2's IPRoute of it."""


async def visit(jobs: Sequence[tuple[str | None, Work[T]]]) -> list[T]:
    """Run each job in its namespace, with what changes things there; their results, in order."""

    def work() -> list[T]:
        results = []
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            for namespace, job in jobs:
                _enter(namespace, own)
                with contextlib.closing(_Changer()) as netlink:
                    results.append(job(netlink))
        finally:
            os.close(own)
        return results

    return await in_thread(work) if jobs else []


class _Changer:
    """pyroute2's IPRoute of the namespace that the thread is in, opened when there is something to change."""

    def __init__(self) -> None:
        self._route: Any = None

    def __getattr__(self, name: str) -> Any:
        from pyroute2 import IPRoute

        if self._route is None:
            self._route = IPRoute()
        return getattr(self._route, name)

    def close(self) -> None:
        if self._route is not None:
            self._route.close()


def namespaces(prefix: str = "") -> list[str]:
    """The names of network namespaces that begin with ``prefix``."""
    if not NAMESPACES.is_dir():
        return []
    return sorted(path.name for path in NAMESPACES.iterdir() if path.name.startswith(prefix))


def make_namespaces(names: Iterable[str]) -> None:
    """Make those that are missing. It moves the thread that runs it: for ``in_thread`` only."""
    from pyroute2 import netns

    present = set(namespaces())
    for name in names:
        if name not in present:
            _check(_libc().unshare(_CLONE_NEWNET), name)
            netns.attach(name, "thread-self")


def remove_namespaces(names: Iterable[str]) -> None:
    """Remove those that are there."""
    from pyroute2 import netns

    present = set(namespaces())
    for name in names:
        if name in present:
            netns.remove(name)


async def in_thread(work: Callable[[], T]) -> T:
    """Run in a thread that nobody uses afterwards: its namespace may not be the process's."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def body() -> None:
        try:
            result = work()
        except BaseException as error:  # handed to who waits
            loop.call_soon_threadsafe(settle, None, error)
        else:
            loop.call_soon_threadsafe(settle, result, None)

    threading.Thread(target=body, name="links", daemon=True).start()
    return await done


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(status: int, about: str) -> None:
    if status != 0:
        raise LinkError(f"{about}: {os.strerror(ctypes.get_errno())}")


def _enter(namespace: str | None, own: int) -> None:
    if namespace is None:
        _check(_libc().setns(own, _CLONE_NEWNET), "the own namespace")
        return
    try:
        descriptor = os.open(NAMESPACES / path_part(namespace), os.O_RDONLY)
    except FileNotFoundError:
        raise LinkError(f"{namespace}: no such namespace") from None
    try:
        _check(_libc().setns(descriptor, _CLONE_NEWNET), namespace)
    finally:
        os.close(descriptor)
