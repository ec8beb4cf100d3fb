"""BFD for real: a BIRD for each router whose next hops are watched, in the router's namespace.

BIRD outlives us and does what matters by itself: it speaks BFD with the next hops, and has those that answer
in the router's table of routing. A change is a file and a line over its control socket; sessions go on. It
gives its rights up but for those over the network.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from pileus.core.files import write_atomically
from pileus.core.names import is_path_part, path_part
from pileus.drivers.bfd.control import ControlFailed, ask, sessions
from pileus.drivers.bfd.render import PROGRAM, render
from pileus.drivers.bfd.spec import BfdFailed, WatchedRouter
from pileus.drivers.outliving import end, found_by_file, is_in
from pileus.drivers.process import ProgramFailed, run_daemon

PACKAGES = ("bird2",)
"""Of Debian."""
_USER = "bird"
_AT_ONCE = 4
_LONGEST_SOCKET = 100
"""Letters of a Unix socket's path, of which the kernel has 108."""
_UP = "Up"


def missing_programs() -> list[str]:
    """The programs that are not installed here; empty if all are."""
    path = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin" + os.pathsep + "/sbin"
    return [program for program in (PROGRAM,) if shutil.which(program, path=path) is None]


class Bird:
    """``BfdRouters`` for real. ``folder`` holds a folder for each router; BIRD's own user reads there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environment = os.environ | {"PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}

    async def apply(self, routers: Sequence[WatchedRouter]) -> int:
        """See BfdRouters."""
        gate, there = asyncio.Semaphore(_AT_ONCE), await asyncio.to_thread(self._scan)
        reasons: dict[str, str] = {}
        changes = 0

        async def one(router: WatchedRouter) -> None:
            nonlocal changes
            async with gate:
                try:
                    changes += await self._apply(router, there.get(router.router_id))
                except (ProgramFailed, ControlFailed, OSError, ValueError) as error:
                    reasons[router.router_id] = f"{PROGRAM}: {error}"

        await asyncio.gather(*map(one, routers))
        if reasons:
            raise BfdFailed(reasons)
        return changes

    async def remove(self, router_ids: Collection[str]) -> None:
        """See BfdRouters."""
        there = await asyncio.to_thread(self._scan) if router_ids else {}
        await asyncio.gather(*(end(there[one]) for one in router_ids if one in there))
        for router_id in router_ids:
            await asyncio.to_thread(shutil.rmtree, self._home(router_id), ignore_errors=True)

    async def known(self) -> set[str]:
        """See BfdRouters."""

        def folders() -> set[str]:
            if not self._folder.is_dir():
                return set()
            return {entry.name for entry in os.scandir(self._folder) if is_path_part(entry.name)}

        return await asyncio.to_thread(folders) | await self.running()

    async def running(self) -> set[str]:
        """See BfdRouters."""
        return set(await asyncio.to_thread(self._scan))

    async def down(self, routers: Iterable[WatchedRouter]) -> dict[str, set[str]]:
        """See BfdRouters."""
        found: dict[str, set[str]] = {}
        for router in routers:
            try:
                seen = await sessions(self._home(router.router_id) / "ctl")
            except ControlFailed:
                continue
            found[router.router_id] = {hop.address for hop in router.hops if seen.get(hop.address) != _UP}
        return found

    async def _apply(self, router: WatchedRouter, number: int | None) -> int:
        home = self._home(router.router_id)
        if any(letter.isspace() for letter in str(home)) or len(f"{home}/ctl") > _LONGEST_SOCKET:
            raise ValueError(f"it takes no path with blanks, and none so long: {home}")
        is_new = await asyncio.to_thread(_write, home, render(router))
        if number is not None and not is_in(number, router.namespace):
            await end(number)
            number = None
        if number is None:
            (home / "ctl").unlink(missing_ok=True)  # of one that was killed
            await run_daemon(
                ("ip", "netns", "exec", router.namespace, *_arguments(home)), environment=self._environment
            )
            return 1
        if is_new:
            await ask(home / "ctl", "configure")
        return int(is_new)

    def _home(self, router_id: str) -> Path:
        return self._folder / path_part(router_id)

    def _scan(self) -> dict[str, int]:
        return found_by_file(PROGRAM, f"{self._folder}/", users=_users())


def _arguments(home: Path) -> tuple[str, ...]:
    user = ("-u", _USER, "-g", _USER) if len(_users()) > 1 else ()
    return (PROGRAM, "-c", f"{home}/conf", "-s", f"{home}/ctl", *user)


def _users() -> set[int]:
    """The users as whom one of ours may run."""
    try:
        return {os.geteuid(), pwd.getpwnam(_USER).pw_uid}
    except KeyError:
        return {os.geteuid()}


def _write(home: Path, text: str) -> bool:
    for folder in (home.parent, home):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
    file = home / "conf"
    if file.exists() and file.read_text() == text:
        return False
    write_atomically(file, text.encode(), durable=False)
    return True
