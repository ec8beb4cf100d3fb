"""Steps that happen to a machine: told with their times; what may be tried again, and what has failed."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pileus.core import log
from pileus.core.clock import Clock
from pileus.core.errors import Fault, Unavailable
from pileus.drivers.libvirt.hypervisor import HypervisorFailed, HypervisorUnavailable, NotDetached
from pileus.drivers.netlink.links import LinkError
from pileus.drivers.ovsdb.client import TransactionFailed
from pileus.drivers.ovsdb.jsonrpc import ConnectionLost
from pileus.drivers.qemu_img.images import ImageFailed
from pileus.host.hypervisor.images import BadImage
from pileus.host.isolation import reason
from pileus.host.switch import SwitchUnreachable
from pileus.wire.hypervisor import OperationReport, Step

T = TypeVar("T")
_log = log.get("host.hypervisor")


class Again(Exception):
    """Not now: to be tried again soon."""


class GivenUp(Exception):
    """Not possible; the text is the reason that people are told."""


class Tell(Protocol):
    """Takes news of a server."""

    def step(self, server_id: str, step: Step) -> None: ...

    def operation(self, report: OperationReport) -> None: ...


TRANSIENT = (
    Again,
    Unavailable,
    HypervisorUnavailable,
    NotDetached,
    SwitchUnreachable,
    ConnectionLost,
    TransactionFailed,
    LinkError,
    TimeoutError,
)
LASTING = (GivenUp, Fault, HypervisorFailed, ImageFailed, BadImage, OSError, ValueError)


class Note:
    """The detail that a step adds to its report."""

    def __init__(self, detail: str) -> None:
        self.detail = detail


class Steps:
    """Tells of steps as they end."""

    def __init__(self, tell: Tell, clock: Clock) -> None:
        self._tell = tell
        self._clock = clock

    @contextlib.asynccontextmanager
    async def step(self, server_id: str, name: str, detail: str = "") -> AsyncIterator[Note]:
        """A step of a server's life: what is done inside, whether it goes well or not."""
        note = Note(detail)
        began = self._clock.now()
        error = ""
        try:
            yield note
        except BaseException as failure:
            error = "interrupted" if isinstance(failure, asyncio.CancelledError) else reason_of(failure)
            raise
        finally:
            self._tell.step(server_id, step(name, began, self._clock.now(), note.detail, error))


def step(name: str, began: Any, ended: Any, detail: str = "", error: str = "") -> Step:
    """A step with its times, naive UTC."""
    return Step(
        name,
        began.isoformat(timespec="microseconds"),
        ended.isoformat(timespec="microseconds"),
        detail,
        error,
    )


async def whole(work: Awaitable[T]) -> T:
    """Await to the end, also when cancelled meanwhile: a call that runs in a thread or has left for a
    daemon can't be called back, and what follows must not overtake it."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.info("a step that nobody waits for any more failed", error=str(error))
        raise


_PATH = re.compile(r"(?<![\w./:])/(?:[^\s'\",:;()]+/)*(?=[^\s'\",:;()/]*)")


def without_paths(text: str) -> str:
    """A text in which files have their names, and not where they lie: that is nobody's but the host's."""
    return _PATH.sub("", text)


def reason_of(error: BaseException) -> str:
    match error:
        case HypervisorFailed():
            return without_paths(error.reason)
        case OSError() if error.strerror:
            name = Path(str(error.filename)).name if error.filename else ""
            return f"{error.strerror}: {name}" if name else error.strerror
        case ValueError():
            return str(error) or type(error).__name__
    return reason(error)
