"""Where libvirt is: the system's, or a libvirtd of our own.

The system's is used where its socket answers. Elsewhere (no service manager, or several
hosts on one machine) a libvirtd of our own is started in a mount namespace where its
compiled-in folders are ours (see ``private_mounts``): state, configuration, logs and
sockets are below one root folder, and the machine's own stay untouched. It detaches and
outlives the process that started it; machines outlive libvirtd, and the next one started
on the same root finds them.

QEMU runs as a user of its own, which must be able to reach the disks: below a folder that
only root may enter nothing starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from pileus.core.files import write_atomically
from pileus.drivers.process import ProgramFailed, run_daemon, user_of

SYSTEM_URI = "qemu:///system"
INSIDE = "/var/lib/libvirt"
"""The folder of libvirt's state as each libvirt sees it, a namespace of its own or not."""
PACKAGES = ("libvirt-daemon", "libvirt-daemon-driver-qemu", "qemu-system-x86", "qemu-utils")
"""Of Debian, for this room; libvirt-python is built with gcc, pkg-config, libvirt-dev and python3-dev."""

_PROGRAM = "libvirtd"
_QEMU_USER, _QEMU_ID = "libvirt-qemu", 64055
"""The user that Debian reserves (base-passwd); libvirt looks it up at start even when told another."""
_SYSTEM_SOCKETS = (Path("/run/libvirt/libvirt-sock"), Path("/run/libvirt/virtqemud-sock"))
_DRIVERS = Path("/usr/lib") / f"{os.uname().machine}-linux-gnu" / "libvirt" / "connection-driver"
_STARTS_WITHIN_S, _ENDS_WITHIN_S = 15.0, 15.0
_OURS = {
    "etc": "/etc/libvirt",
    "run": "/run/libvirt",
    "lib": "/var/lib/libvirt",
    "log": "/var/log/libvirt",
    "cache": "/var/cache/libvirt",
}

_QEMU_CONF = """\
# Logs are files that QEMU appends to by itself: no virtlogd has to run.
stdio_handler = "file"
security_driver = "none"
namespaces = []
cgroup_controllers = []
user = "{user}"
group = "{group}"
"""


def missing_programs() -> list[str]:
    """The programs that are not installed here; empty if all are."""
    path = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin" + os.pathsep + "/sbin"
    wanted = (_PROGRAM, "qemu-system-x86_64", "qemu-img")
    return [program for program in wanted if shutil.which(program, path=path) is None]


async def system_uri() -> str | None:
    """The URI of the system's libvirt if one answers; None where none does."""
    for path in _SYSTEM_SOCKETS:
        try:
            async with asyncio.timeout(2):
                _, writer = await asyncio.open_unix_connection(str(path))
        except (OSError, TimeoutError):
            continue
        writer.close()
        return SYSTEM_URI
    return None


class LibvirtDaemon:
    """A libvirtd of our own. ``root``: its folder, whose path must be short (a Unix socket's has 107
    bytes). ``kvm`` False hides /dev/kvm from it, so that it never tries one that does not work.
    ``namespace``: the network namespace where the taps are, by the name that ``ip netns`` knows."""

    def __init__(self, root: Path, *, kvm: bool = False, namespace: str | None = None) -> None:
        self.root = root
        self._kvm = kvm
        self._namespace = namespace

    @property
    def uri(self) -> str:
        """The URI for LibvirtHypervisor."""
        return f"qemu+unix:///system?socket={self._socket}"

    @property
    def _socket(self) -> Path:
        return self.root / "sock" / "libvirt-sock"

    @property
    def _pid_file(self) -> Path:
        return self.root / "libvirtd.pid"

    async def start(self) -> None:
        """Start it unless it runs; returns when it answers. Raises ProgramFailed with the end of its log."""
        if self.pid() is None:
            await asyncio.to_thread(self._furnish)
            await run_daemon(self._command(), timeout_s=_STARTS_WITHIN_S, environment=self._environment())
        try:
            async with asyncio.timeout(_STARTS_WITHIN_S):
                while not await self._answers():  # noqa: ASYNC110 - not our child, no event tells
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise ProgramFailed((_PROGRAM,), None, self._log_tail()) from None

    async def stop(self, *, kill: bool = False) -> None:
        """End it and wait until it is gone; machines run on."""
        number = self.pid()
        if number is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL if kill else signal.SIGTERM)
        try:
            async with asyncio.timeout(_ENDS_WITHIN_S):
                while self.pid() is not None:  # noqa: ASYNC110 - not our child, no event tells
                    await asyncio.sleep(0.02)
        except TimeoutError:
            if kill:
                raise
            await self.stop(kill=True)

    def pid(self) -> int | None:
        """Its process id; None when it does not run."""
        try:
            number = int(self._pid_file.read_text())
            arguments = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
            state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, ValueError, IndexError):
            return None
        ours = str(self._pid_file).encode() in arguments and user_of(number) == os.geteuid()
        return number if state != "Z" and ours else None

    def _furnish(self) -> None:
        for name in (*_OURS, "sock", "drivers"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        # QEMU's user passes through to its monitor's socket.
        for folder in (self.root, self.root / "lib"):
            folder.chmod(folder.stat().st_mode | 0o711)
        for target in _OURS.values():
            Path(target).mkdir(parents=True, exist_ok=True)
        # libvirt asks whether QEMU's user may open /dev/kvm, again and again: this may nobody.
        write_atomically(self.root / "no-kvm", b"", 0o000)
        for name in ("qemu", "secret"):  # these alone: no networks, no packet filter, no storage
            driver = self.root / "drivers" / f"libvirt_driver_{name}.so"
            if not driver.is_symlink() and (_DRIVERS / driver.name).exists():
                driver.symlink_to(_DRIVERS / driver.name)
        uid, gid = qemu_owner()
        qemu_conf = _QEMU_CONF.format(user=f"+{uid}", group=f"+{gid}")
        write_atomically(self.root / "etc" / "qemu.conf", qemu_conf.encode())
        write_atomically(
            self.root / "libvirtd.conf",
            f'unix_sock_dir = "{self._socket.parent}"\n'
            'unix_sock_rw_perms = "0700"\n'
            'auth_unix_rw = "none"\n'
            "log_level = 3\n"
            f'log_outputs = "3:file:{self.root / "libvirtd.log"}"\n'.encode(),
        )
        if not _user_exists():
            for name, line in (
                ("passwd", f"{_QEMU_USER}:x:{_QEMU_ID}:{_QEMU_ID}::/nonexistent:/usr/sbin/nologin\n"),
                ("group", f"{_QEMU_USER}:x:{_QEMU_ID}:\n"),
            ):
                write_atomically(self.root / name, Path("/etc", name).read_bytes() + line.encode())

    def _command(self) -> list[str]:
        binds = [f"{self.root / name}={target}" for name, target in _OURS.items()]
        if not _user_exists():
            binds += [f"{self.root / name}=/etc/{name}" for name in ("passwd", "group")]
        if not self._kvm and Path("/dev/kvm").exists():
            binds.append(f"{self.root / 'no-kvm'}=/dev/kvm")
        inside = ["ip", "netns", "exec", self._namespace] if self._namespace else []
        helper = [sys.executable, "-S", "-m", "pileus.drivers.libvirt.private_mounts", *binds, "--"]
        daemon = [_PROGRAM, "--config", str(self.root / "libvirtd.conf")]
        return [*inside, *helper, *daemon, "--pid-file", str(self._pid_file)]

    def _environment(self) -> dict[str, str]:
        package_root = str(Path(__file__).parents[3])
        return os.environ | {
            "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin",
            "PYTHONPATH": package_root,
            "LIBVIRT_DRIVER_DIR": str(self.root / "drivers"),
        }

    async def _answers(self) -> bool:
        try:
            _, writer = await asyncio.open_unix_connection(str(self._socket))
        except OSError:
            return False
        writer.close()
        return True

    def _log_tail(self) -> str:
        with contextlib.suppress(OSError):
            return (self.root / "libvirtd.log").read_text(errors="replace")[-2000:]
        return "it left no log"


def socket_of(uri: str) -> Path:
    """The socket of the libvirt at a URI on this machine."""
    found = parse_qs(urlsplit(uri).query).get("socket")
    if found:
        return Path(found[0])
    return next((path for path in _SYSTEM_SOCKETS if path.exists()), _SYSTEM_SOCKETS[0])


def state_of(uri: str) -> Path:
    """The folder of its state, as it is for those outside of its namespace."""
    path = socket_of(uri)
    return Path(INSIDE) if path in _SYSTEM_SOCKETS else path.parent.parent / "lib"


def qemu_owner() -> tuple[int, int]:
    """User and group ids that QEMU runs as under a libvirtd of our own."""
    try:
        entry = pwd.getpwnam(_QEMU_USER)
    except KeyError:
        return _QEMU_ID, _QEMU_ID
    return entry.pw_uid, entry.pw_gid


def _user_exists() -> bool:
    try:
        pwd.getpwnam(_QEMU_USER)
    except KeyError:
        return False
    return True
