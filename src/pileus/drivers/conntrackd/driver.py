"""Virtual routers whose connections outlive a host: a conntrackd beside each keepalived.

Wraps a driver of virtual routers. Without it a router that takes over knows nothing of connections that began
before: those whose source address was translated end. conntrackd outlives us, as keepalived does, and is
found again by its arguments.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from pileus.core.files import write_atomically
from pileus.core.names import path_part
from pileus.drivers.conntrackd.render import PROGRAM, render
from pileus.drivers.keepalived.spec import KeepalivedFailed, State, VirtualRouter, VirtualRouters
from pileus.drivers.outliving import end, found_by_file, is_in
from pileus.drivers.process import ProgramFailed, run_daemon

PACKAGES = ("conntrackd",)
"""Of Debian."""
_AT_ONCE = 4
_LONGEST_SOCKET = 100
"""Letters of a Unix socket's path, of which the kernel has 108."""


def missing_programs() -> list[str]:
    """The programs that are not installed here; empty if all are."""
    path = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin" + os.pathsep + "/sbin"
    return [program for program in (PROGRAM,) if shutil.which(program, path=path) is None]


class Synchronised:
    """``VirtualRouters`` whose connections are told to the hosts that stand by. ``folder`` holds a folder for
    each router, and is nobody else's to write."""

    def __init__(self, folder: Path, routers: VirtualRouters) -> None:
        self._folder = folder
        self._routers = routers
        self._environment = os.environ | {"PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}

    async def apply(self, routers: Sequence[VirtualRouter]) -> int:
        """See VirtualRouters."""
        reasons: dict[str, str] = {}
        changes = 0
        try:
            changes = await self._routers.apply(routers)
        except KeepalivedFailed as failure:
            reasons = dict(failure.reasons)
        gate, there = asyncio.Semaphore(_AT_ONCE), await asyncio.to_thread(self._scan)

        async def one(router: VirtualRouter) -> None:
            nonlocal changes
            async with gate:
                try:
                    changes += await self._apply(router, there.get(router.router_id))
                except (ProgramFailed, OSError, ValueError) as error:
                    reasons[router.router_id] = f"{PROGRAM}: {error}"

        await asyncio.gather(*(one(router) for router in routers if router.router_id not in reasons))
        if reasons:
            raise KeepalivedFailed(reasons)
        return changes

    async def remove(self, router_ids: Collection[str]) -> None:
        """See VirtualRouters."""
        there = await asyncio.to_thread(self._scan) if router_ids else {}
        await asyncio.gather(*(end(there[one]) for one in router_ids if one in there))
        for router_id in router_ids:
            await asyncio.to_thread(shutil.rmtree, self._home(router_id), ignore_errors=True)
        await self._routers.remove(router_ids)

    async def known(self) -> set[str]:
        """See VirtualRouters."""
        return await self._routers.known() | {*await asyncio.to_thread(self._scan)}

    async def running(self) -> set[str]:
        """See VirtualRouters."""
        return await self._routers.running() & {*await asyncio.to_thread(self._scan)}

    async def states(self, routers: Iterable[VirtualRouter]) -> dict[str, State]:
        """See VirtualRouters."""
        return await self._routers.states(routers)

    async def changed(self) -> set[str]:
        """See VirtualRouters."""
        return await self._routers.changed()

    def close(self) -> None:
        """See VirtualRouters."""
        self._routers.close()

    async def _apply(self, router: VirtualRouter, number: int | None) -> int:
        home = self._home(router.router_id)
        if any(letter.isspace() for letter in str(home)) or len(f"{home}/ctl") > _LONGEST_SOCKET:
            raise ValueError(f"it takes no path with blanks, and none so long: {home}")
        is_new = await asyncio.to_thread(_write, home, render(router, home))
        if number is not None and (is_new or not is_in(number, router.namespace)):
            await end(number)
            number = None
        if number is None:
            (home / "lock").unlink(missing_ok=True)  # of one that was killed
            inside = ("ip", "netns", "exec", router.namespace)
            arguments = (PROGRAM, "-C", f"{home}/conf", "-d")
            await run_daemon((*inside, *arguments), environment=self._environment)
            return 1
        return int(is_new)

    def _home(self, router_id: str) -> Path:
        return self._folder / path_part(router_id)

    def _scan(self) -> dict[str, int]:
        """The processes of ours, by router."""
        return found_by_file(PROGRAM, f"{self._folder}/", users=(os.geteuid(),))


def _write(home: Path, text: str) -> bool:
    home.mkdir(parents=True, exist_ok=True)
    file = home / "conf"
    if file.exists() and file.read_text() == text:
        return False
    write_atomically(file, text.encode(), durable=False)
    return True
