"""Virtual routers for real: a keepalived for each, in the router's namespace.

keepalived outlives us and does what matters by itself: it hears the active host and takes over, it gives
and takes addresses and routes, and tells the neighbours. A change of these is a file and a SIGHUP, in which
the active one stays active. What it says through its FIFO is a hint only: which host is active shows in the
kernel, by the marker address.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from pileus.core.files import write_atomically
from pileus.core.names import is_path_part, path_part
from pileus.drivers.keepalived.render import PROGRAM, render
from pileus.drivers.keepalived.spec import ACTIVE, STANDBY, KeepalivedFailed, State, VirtualRouter
from pileus.drivers.netlink.links import Links
from pileus.drivers.outliving import arguments_of, end, is_in, processes
from pileus.drivers.process import ProgramFailed, run_daemon, user_of

PACKAGES = ("keepalived",)
"""Of Debian."""
_AT_ONCE = 4
_TRIES, _PAUSE_S = 200, 0.02
"""How long it may take until keepalived has written its number down."""


def missing_programs() -> list[str]:
    """The programs that are not installed here; empty if all are."""
    path = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin" + os.pathsep + "/sbin"
    return [program for program in (PROGRAM, "ip") if shutil.which(program, path=path) is None]


class Keepalived:
    """``VirtualRouters`` for real. ``folder`` holds a folder for each router, and is nobody else's to write;
    ``links`` are those of the host."""

    def __init__(self, folder: Path, links: Links) -> None:
        self._folder = folder
        self._links = links
        self._environment = os.environ | {"PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
        self._ears: dict[str, _Ear] = {}
        self._heard: set[str] = set()
        self._news = asyncio.Event()

    async def apply(self, routers: Sequence[VirtualRouter]) -> int:
        """See VirtualRouters."""
        gate = asyncio.Semaphore(_AT_ONCE)
        reasons: dict[str, str] = {}
        changes = 0
        homeless = any(self._pid(router.router_id) is None for router in routers)
        lost = await asyncio.to_thread(self._scan) if homeless else {}

        async def one(router: VirtualRouter) -> None:
            nonlocal changes
            async with gate:
                try:
                    changes += await self._apply(router, lost)
                except Exception as error:  # one that nobody expects is still that router's alone
                    known = isinstance(error, ProgramFailed | OSError | ValueError)
                    reasons[router.router_id] = str(error) if known else f"{type(error).__name__}: {error}"

        await asyncio.gather(*map(one, routers))
        if reasons:
            raise KeepalivedFailed(reasons)
        return changes

    async def remove(self, router_ids: Collection[str]) -> None:
        """See VirtualRouters."""
        lost = await asyncio.to_thread(self._scan) if router_ids else {}
        await asyncio.gather(*(self._remove(router_id, lost) for router_id in router_ids))

    async def known(self) -> set[str]:
        """See VirtualRouters."""

        def folders() -> set[str]:
            if not self._folder.is_dir():
                return set()
            return {entry.name for entry in os.scandir(self._folder) if is_path_part(entry.name)}

        return await asyncio.to_thread(folders) | {*await asyncio.to_thread(self._scan)}

    async def running(self) -> set[str]:
        """See VirtualRouters."""
        return set(await asyncio.to_thread(self._scan))

    async def states(self, routers: Iterable[VirtualRouter]) -> dict[str, State]:
        """See VirtualRouters."""
        several = list(routers)
        found = await self._links.read([router.namespace for router in several])
        states: dict[str, State] = {}
        for router in several:
            inside = found.get(router.namespace)
            link = inside.links.get(router.interface) if inside is not None else None
            is_active = link is not None and router.marker in link.addresses
            states[router.router_id] = ACTIVE if is_active else STANDBY
        return states

    async def changed(self) -> set[str]:
        """See VirtualRouters."""
        await self._news.wait()
        self._news.clear()
        heard, self._heard = self._heard, set()
        return heard

    def close(self) -> None:
        """See VirtualRouters."""
        for ear in self._ears.values():
            ear.close()
        self._ears.clear()

    async def _apply(self, router: VirtualRouter, lost: Mapping[str, int]) -> int:
        home = self._home(router.router_id)
        if any(letter.isspace() for letter in str(home)):
            raise ValueError(f"{PROGRAM} takes no path with blanks: {home}")
        text = render(router, home / "fifo")
        is_new = await asyncio.to_thread(self._write, home, text)
        number = self._pid(router.router_id)
        changes = int(is_new)
        former = number if number is not None else lost.get(router.router_id)
        if former is not None and (number is None or not is_in(former, router.namespace)):
            await self._end(router.router_id, former)
            number = None
        if number is None:
            number = await self._start(router)
            changes += 1
        elif is_new:
            os.kill(number, signal.SIGHUP)
        self._listen(router.router_id, home / "fifo", number)
        return changes

    def _write(self, home: Path, text: str) -> bool:
        home.mkdir(parents=True, exist_ok=True)
        fifo, configuration = home / "fifo", home / "conf"
        if not fifo.is_fifo():
            fifo.unlink(missing_ok=True)
            os.mkfifo(fifo, 0o600)
        if configuration.exists() and configuration.read_text() == text:
            return False
        write_atomically(configuration, text.encode(), durable=False)
        return True

    def _arguments(self, router_id: str) -> tuple[str, ...]:
        home = self._home(router_id)
        files = (f"--use-file={home}/conf", f"--pid={home}/pid", f"--vrrp_pid={home}/vrrp_pid")
        return (PROGRAM, "--vrrp", *files)

    async def _start(self, router: VirtualRouter) -> int:
        """keepalived goes to the background at once, and writes down its number when it has read the file."""
        home = self._home(router.router_id)
        for file in ("pid", "vrrp_pid"):  # of one that was killed: its number may be another's by now
            (home / file).unlink(missing_ok=True)
        inside = ("ip", "netns", "exec", router.namespace)
        await run_daemon((*inside, *self._arguments(router.router_id)), environment=self._environment)
        for _ in range(_TRIES):
            if (number := self._pid(router.router_id)) is not None:
                return number
            await asyncio.sleep(_PAUSE_S)
        raise OSError(f"{PROGRAM} ended as soon as it had begun, or began too slowly")

    async def _remove(self, router_id: str, lost: dict[str, int]) -> None:
        number = self._pid(router_id) or lost.get(router_id)
        if number is not None:
            await self._end(router_id, number)
        await asyncio.to_thread(shutil.rmtree, self._home(router_id), ignore_errors=True)

    async def _end(self, router_id: str, number: int) -> None:
        if (ear := self._ears.pop(router_id, None)) is not None:
            ear.close()
        await end(number)

    def _listen(self, router_id: str, fifo: Path, number: int) -> None:
        present = self._ears.get(router_id)
        if present is not None and present.number == number:
            return
        if present is not None:
            present.close()
        self._ears[router_id] = _Ear(fifo, number, lambda: self._hear(router_id))

    def _hear(self, router_id: str) -> None:
        self._heard.add(router_id)
        self._news.set()

    def _home(self, router_id: str) -> Path:
        return self._folder / path_part(router_id)

    def _pid(self, router_id: str) -> int | None:
        try:
            number = int((self._home(router_id) / "pid").read_text())
        except (OSError, ValueError):
            return None
        ours = arguments_of(number) == self._arguments(router_id) and user_of(number) == os.geteuid()
        return number if ours else None

    def _scan(self) -> dict[str, int]:
        """The processes of ours by router: keepalived's first one, whose child is another of the same
        arguments."""
        found: dict[str, int] = {}
        start = f"--use-file={self._folder}/"
        for number, arguments in processes():
            if arguments[0] != PROGRAM or len(arguments) < 3 or not arguments[2].startswith(start):
                continue
            router_id, _, file = arguments[2].removeprefix(start).partition("/")
            if file == "conf" and is_path_part(router_id) and user_of(number) == os.geteuid():
                found[router_id] = min(number, found.get(router_id, number))
        return found


class _Ear:
    """Hears what one keepalived says, and when it ends."""

    def __init__(self, fifo: Path, number: int, tell: Callable[[], None]) -> None:
        self.number = number
        self._tell = tell
        # Opened for writing, too: so it never ends, whoever writes.
        self._fifo = os.open(fifo, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self._process = os.pidfd_open(number)
        except OSError:
            os.close(self._fifo)
            raise
        loop = asyncio.get_running_loop()
        loop.add_reader(self._fifo, self._hear)
        loop.add_reader(self._process, self._ended)

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._fifo, 1 << 16)
        self._tell()

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._process)
        self._tell()

    def close(self) -> None:
        loop = asyncio.get_running_loop()
        for descriptor in (self._fifo, self._process):
            loop.remove_reader(descriptor)
            os.close(descriptor)
