"""Starting and stopping an ovsdb-server and an ovs-vswitchd of our own.

For a host without a service manager, and for several hosts on one machine: each has a
run directory (sockets, pid files, logs, database) and, when given, a network namespace.
The daemons detach and outlive the process that started them; what runs already is taken
as it is. They are ended by the pid in their pid file, after a look at who has that pid.

The run directory's path must be short: a Unix socket's path has 107 bytes at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from pathlib import Path

from pileus.drivers.process import run, run_daemon, user_of

SCHEMA_FILE = Path("/usr/share/openvswitch/vswitch.ovsschema")
_DATABASE, _SWITCH = "ovsdb-server", "ovs-vswitchd"
_PROGRAMS = (_DATABASE, _SWITCH, "ovsdb-tool", "ovs-vsctl", "ovs-ofctl")
_ENDS_WITHIN_S = 10.0


def missing_programs() -> list[str]:
    """The programs of Open vSwitch that are not installed here; empty if all are."""
    path = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin" + os.pathsep + "/sbin"
    return [program for program in _PROGRAMS if shutil.which(program, path=path) is None]


class SwitchDaemons:
    """One host's Open vSwitch. ``userspace`` leaves the kernel's datapath alone, so that bridges
    need ``datapath_type=netdev``; ``namespace`` is a name that ``ip netns`` knows."""

    def __init__(self, run_dir: Path, *, namespace: str | None = None, userspace: bool = True) -> None:
        self.run_dir = run_dir
        self._namespace = namespace
        self._userspace = userspace
        self._environment = os.environ | {
            "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin",
            **{f"OVS_{kind}DIR": str(run_dir) for kind in ("RUN", "LOG", "DB", "SYSCONF")},
        }

    @property
    def address(self) -> str:
        """Where OvsdbClient reaches the database."""
        return f"unix:{self._path('db.sock')}"

    async def start(self) -> None:
        """Start what does not run; returns when vswitchd has taken the database in. Raises ProgramFailed."""
        await self.start_database()
        await self.start_vswitchd()

    async def start_database(self) -> None:
        """Start ovsdb-server on the database file, which is made when there is none."""
        if self.pid(_DATABASE) is None:
            self.run_dir.mkdir(parents=True, exist_ok=True)
            database = self.run_dir / "conf.db"
            if not database.exists():
                await run(
                    ("ovsdb-tool", "create", str(database), str(SCHEMA_FILE)), environment=self._environment
                )
            await self._run(_DATABASE, str(database), f"--remote=p{self.address}", *self._daemon(_DATABASE))
        # Also where it runs already: an earlier start may have been cut off before this.
        initialise = ("ovs-vsctl", "--no-wait", f"--db={self.address}", "init")
        await run(initialise, environment=self._environment)

    async def start_vswitchd(self) -> None:
        """Start ovs-vswitchd, in the namespace if there is one."""
        if self.pid(_SWITCH) is not None:
            return
        inside = ("ip", "netns", "exec", self._namespace) if self._namespace else ()
        datapath = ("--disable-system",) if self._userspace else ()
        await self._run(*inside, _SWITCH, self.address, *datapath, *self._daemon(_SWITCH))

    async def stop(self) -> None:
        """End both, vswitchd first; what they keep in the run directory stays."""
        await self.stop_vswitchd()
        await self.stop_database()

    async def stop_database(self, *, kill: bool = False) -> None:
        """End ovsdb-server and wait until it is gone."""
        await self._end(_DATABASE, kill)

    async def stop_vswitchd(self, *, kill: bool = False) -> None:
        """End ovs-vswitchd and wait until it is gone; its flows go with it."""
        await self._end(_SWITCH, kill)

    def pid(self, program: str) -> int | None:
        """The process id of ``ovsdb-server`` or ``ovs-vswitchd``; None when it does not run."""
        try:
            number = int(self._path(f"{program}.pid").read_text())
            command = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
            state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, ValueError):
            return None
        # The pid may be another's by now; a zombie (its parent has yet to look) runs no more.
        ours = f"--pidfile={self._path(program)}.pid".encode() in command
        return number if ours and state != "Z" and user_of(number) == os.geteuid() else None

    def _path(self, name: str) -> Path:
        return self.run_dir / name

    def _daemon(self, program: str) -> tuple[str, ...]:
        return (
            f"--pidfile={self._path(program)}.pid",
            f"--unixctl={self._path(program)}.ctl",
            f"--log-file={self._path(program)}.log",
            "-vconsole:off",
            "-vsyslog:off",
            "--no-chdir",
            "--detach",
        )

    async def _run(self, *arguments: str) -> None:
        await run_daemon(arguments, environment=self._environment)

    async def _end(self, program: str, kill: bool) -> None:
        number = self.pid(program)
        if number is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL if kill else signal.SIGTERM)
        try:
            async with asyncio.timeout(_ENDS_WITHIN_S):
                while self.pid(program) is not None:  # noqa: ASYNC110 - not our child, no event tells
                    await asyncio.sleep(0.01)
        except TimeoutError:
            if not kill:
                await self._end(program, kill=True)
            else:
                raise
