"""One machine under QEMU: started from a disk, reached by ssh as root, turned off.

What it writes goes to an overlay; the disk below stays as it is. It has user networking only (this machine's
networks, links and rules are not touched) and ends with the process that started it.
"""

from __future__ import annotations

import contextlib
import io
import shlex
import shutil
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pileus.app.lab.machine.disk import ROOT_LABEL, Disk
from pileus.app.lab.machine.registries import CannotMakeMachine
from pileus.drivers.guestimage.program import is_installed, run

QEMU = "qemu-system-x86_64"
NEEDED = (QEMU, "qemu-img", "ssh", "setpriv")
_TRANSLATED_MIB = 512
_OFF_WITHIN_S = 120.0


@dataclass(frozen=True)
class Size:
    """The resources that a machine gets. Under emulation all takes many times as long (``patience``)."""

    cpus: int = 2
    memory_mib: int = 5120
    kvm: bool = False

    @property
    def patience(self) -> float:
        """By how much waiting is longer than with KVM."""
        return 1.0 if self.kvm else 8.0


def missing_programs() -> list[str]:
    """List the programs that a machine needs and this one has not."""
    return [program for program in NEEDED if not is_installed(program)]


def overlay(file: Path, base: Path) -> None:
    """Make ``file`` a qcow2 that begins as ``base`` and takes all writes."""
    run(("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(base.absolute()), str(file)))


class Machine:
    """A machine that is off until ``start``. ``folder`` keeps its console, and its overlay for as long."""

    def __init__(self, disk: Disk, folder: Path, image: Path, size: Size, wheels: Path | None = None) -> None:
        self.disk = disk
        self.folder = folder
        self.image = image
        self.size = size
        self._wheels = wheels
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "known_hosts").write_text(f"machine {disk.host_key}\n")

    # -- power

    def start(self) -> float:
        """Turn it on and wait until root can log in; how long that took. Raises CannotMakeMachine."""
        began = time.monotonic()
        self._port = _free_port()
        self._process = subprocess.Popen(
            self._command(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "qemu.log").open("wb"),
        )
        self.wait_for_ssh()
        return time.monotonic() - began

    def wait_for_ssh(self, within_s: float | None = None) -> None:
        """Return when root can log in. Raises CannotMakeMachine, with the end of its console."""
        deadline = time.monotonic() + (within_s or 60 * self.size.patience)
        while not self._answers():
            if not self.is_on:
                raise CannotMakeMachine(reason=f"QEMU ended: {(self.folder / 'qemu.log').read_text()[-600:]}")
            if time.monotonic() > deadline:
                raise CannotMakeMachine(reason=f"it did not boot in time:\n{self.console()[-2000:]}")
            time.sleep(1)

    def _answers(self) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.run("true", check=False, timeout_s=30).returncode == 0
        return False

    def reboot(self) -> float:
        """Reboot it as its administrator does; the seconds from the order until root can log in again."""
        before = self.run("cat /proc/sys/kernel/random/boot_id").stdout
        began = time.monotonic()
        self.run("systemctl reboot", check=False)
        deadline = began + 120 * self.size.patience
        while time.monotonic() < deadline:
            self._hang_up()
            if self._answers():
                now = self.run("cat /proc/sys/kernel/random/boot_id", check=False).stdout
                if now and now != before:
                    return time.monotonic() - began
            time.sleep(1)
        raise CannotMakeMachine(reason=f"it did not come back:\n{self.console()[-2000:]}")

    def stop(self) -> None:
        """Turn it off, orderly if it can."""
        if self._process is None:
            return
        if self.is_on:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.run("systemctl poweroff", check=False, timeout_s=30)
            self._hang_up()
            try:
                self._process.wait(_OFF_WITHIN_S)
            except subprocess.TimeoutExpired:
                self.kill()
        self._process = None

    def kill(self) -> None:
        """Pull the plug."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def is_on(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def console(self) -> str:
        """Its output on the serial line so far."""
        file = self.folder / "console.log"
        return file.read_text(errors="replace") if file.exists() else ""

    # -- inside

    def run(
        self, command: str, *, check: bool = True, timeout_s: float = 120.0, stdin: bytes = b""
    ) -> subprocess.CompletedProcess[str]:
        """Run a line of shell as root in it. Raises CalledProcessError and TimeoutExpired."""
        done = subprocess.run(
            [*self.ssh(), command], input=stdin, capture_output=True, timeout=timeout_s, check=False
        )
        told = subprocess.CompletedProcess(
            command,
            done.returncode,
            done.stdout.decode(errors="replace"),
            done.stderr.decode(errors="replace"),
        )
        if check:
            told.check_returncode()
        return told

    def ssh(self, *more: str) -> list[str]:
        """The arguments of an ssh into it."""
        options = {
            "BatchMode": "yes", "ConnectTimeout": "20", "LogLevel": "ERROR", "HostKeyAlias": "machine",
            "StrictHostKeyChecking": "yes", "UserKnownHostsFile": str(self.folder / "known_hosts"),
            "ControlMaster": "auto", "ControlPersist": "600", "ControlPath": str(self.folder / "ssh"),
            "ServerAliveInterval": "30", "IdentitiesOnly": "yes",
        }  # fmt: skip
        flags = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        return ["ssh", *flags, "-i", str(self.disk.key), "-p", str(self._port), *more, "root@127.0.0.1"]

    def put(self, folder: str, files: Iterable[tuple[str, Path]]) -> None:
        """Copy files (name inside, file here) to a folder inside."""
        quoted = shlex.quote(folder)
        self.run(f"mkdir -p {quoted} && tar -xf - -C {quoted}", stdin=packed(files))

    def get(self, paths: Iterable[str], folder: Path) -> None:
        """Copy files and folders of it, as far as they are there, into ``folder``."""
        wanted = " ".join(shlex.quote(path.lstrip("/")) for path in paths)
        command = f"cd / && tar --ignore-failed-read -czf - $(ls -d {wanted} 2>/dev/null)"
        done = subprocess.run([*self.ssh(), command], capture_output=True, timeout=120, check=False)
        if done.stdout:
            folder.mkdir(parents=True, exist_ok=True)
            with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
                archive.extractall(folder, filter="data")

    def _hang_up(self) -> None:
        """Forget the connection that all calls share."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(self.ssh("-O", "exit"), capture_output=True, timeout=10, check=False)
        (self.folder / "ssh").unlink(missing_ok=True)

    def _command(self) -> list[str]:
        size = self.size
        accelerator = "kvm" if size.kvm else f"tcg,thread=multi,tb-size={_TRANSLATED_MIB}"
        # What guards against other tenants costs an emulated processor a third of its speed.
        line = f"root=LABEL={ROOT_LABEL} ro console=ttyS0{'' if size.kvm else ' mitigations=off'}"
        drives = [f"file={self.image},format=qcow2,if=virtio,cache=unsafe,discard=unmap"]
        if self._wheels is not None:
            drives.append(f"file={self._wheels},format=raw,if=virtio,readonly=on")
        quiet = ("nice", "-n", "5") if shutil.which("nice") else ()
        return [
            *quiet, "setpriv", "--pdeathsig", "KILL", QEMU, "-name", "pileus-machine", "-accel", accelerator,
            "-cpu", "host" if size.kvm else "max,la57=off",
            "-smp", str(size.cpus), "-m", str(size.memory_mib), "-nodefaults", "-no-user-config",
            "-display", "none", "-chardev", f"file,id=console,path={self.folder / 'console.log'},append=on",
            "-serial", "chardev:console", "-device", "virtio-rng-pci",
            "-kernel", str(self.disk.kernel), "-initrd", str(self.disk.initrd), "-append", line,
            *(part for drive in drives for part in ("-drive", drive)),
            "-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{self._port}-:22",
            "-device", "virtio-net-pci,netdev=net",
        ]  # fmt: skip


def packed(files: Iterable[tuple[str, Path]]) -> bytes:
    """A tar of files (name in it, file here) that are all root's."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for name, file in files:
            archive.add(file, name, recursive=False, filter=_as_root)
    return written.getvalue()


def _as_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
