"""A machine with this checkout in it: its disk, the packages of a node, and a run on top of them.

::

    ~/.cache/pileus/machine/
      bookworm-VERSIONS/disk.qcow2              a fresh Debian
                       /prepared-LOCKS.qcow2    with what `./pileus prepare` installs: an overlay
      wheels-LOCKS/                             Python packages that the lock files name
      run-*/                                    one run: an overlay, its console; gone at its end
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pileus.app.lab.machine import disk, emulator, registries
from pileus.app.lab.machine.disk import Disk
from pileus.app.lab.machine.emulator import Machine, Size
from pileus.app.lab.machine.registries import CannotMakeMachine, Registries
from pileus.drivers.guestimage.program import run
from pileus.drivers.libvirt.kvm import probe_kvm
from pileus.drivers.process import ProgramFailed

Say = Callable[[str], None]

CHECKOUT = "/root/pileus"
"""Where it lies inside, as a clone of root's would."""
_PYTHONS = {"bookworm": "3.11", "trixie": "3.13"}
_BESIDES = ("libvirt-daemon-system", "libvirt-clients", "tcpdump", "busybox", "openssh-client")
_LOCKED = ("pileus", "pyproject.toml", "lock/build.txt", "lock/run.txt", "lock/libvirt.txt")
# What a user of machines has besides: libvirt as a service; and what the tests of real parts are run with.
_PREPARE = f"""cd {CHECKOUT}
./pileus prepare
printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d
DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends {" ".join(_BESIDES)}
rm /usr/sbin/policy-rc.d
.venv/bin/python -m pip -q install --no-deps --require-hashes --requirement lock/test.txt
"""
_WHEELS_S = 600.0


@dataclass(frozen=True)
class Stories:
    """The parts that are the same for all runs."""

    suite: str
    disk: Disk
    registries: Registries
    wheels: Path | None
    size: Size
    say: Say


def why_not() -> str | None:
    """Why no machine can be made here, in words for who asked for one."""
    if os.geteuid() != 0:
        return "making a machine's disk needs root"
    if missing := [*disk.missing_programs(), *emulator.missing_programs()]:
        return f"not installed: {', '.join(missing)}"
    if checkout() is None:
        return "it runs a checkout, and this Pileus is installed without one"
    return None


def checkout() -> Path | None:
    """The checkout that this Pileus runs from."""
    root = Path(__file__).parents[5]
    return root if (root / "pileus").is_file() and (root / "lock").is_dir() else None


def _root() -> Path:
    root = checkout()
    if root is None:
        raise CannotMakeMachine(reason="it runs a checkout, and this Pileus is installed without one")
    return root


def stories(suite: str, say: Say) -> Stories:
    """Make or find the disk of a fresh Debian. Raises CannotMakeMachine."""
    if (reason := why_not()) is not None:
        raise CannotMakeMachine(reason=reason)
    if suite not in registries.SUITES:
        raise CannotMakeMachine(reason=f"no such suite: {suite} ({', '.join(registries.SUITES)})")
    reached = registries.of_this_machine()
    cache = disk.default_cache()
    made = disk.debian_disk(suite, reached, cache, say)
    verdict = asyncio.run(probe_kvm(cache / "kvm.json"))
    say(f"KVM: {verdict.reason}" if verdict.works else f"emulated, which is slow: {verdict.reason}")
    return Stories(suite, made, reached, _wheels(suite, cache, say), Size(kvm=verdict.works), say)


@contextlib.contextmanager
def running(about: Stories, *, prepared: bool = True) -> Iterator[Machine]:
    """A machine that is on, with this checkout. ``prepared``: with a node's packages too."""
    base = _prepared(about) if prepared else about.disk.image
    with _one_run(about, base) as machine:
        about.say(f"booting {about.suite}")
        about.say(f"it is up after {machine.start():.0f} s")
        hand_in(machine)
        yield machine


@contextlib.contextmanager
def _one_run(about: Stories, base: Path) -> Iterator[Machine]:
    with tempfile.TemporaryDirectory(prefix="run-", dir=disk.default_cache()) as folder:
        image = Path(folder) / "disk.qcow2"
        emulator.overlay(image, base)
        machine = Machine(about.disk, Path(folder), image, about.size, about.wheels)
        try:
            yield machine
        finally:
            machine.stop()


def hand_in(machine: Machine) -> None:
    """Copy the checkout's files into the machine."""
    machine.put(CHECKOUT, _files())


def _files() -> list[tuple[str, Path]]:
    """List the files of the checkout that git knows or would take."""
    root = _root()
    listed = run(("git", "-C", str(root), "ls-files", "-z", "-co", "--exclude-standard"))
    names = [name for name in listed.decode().split("\0") if name and (root / name).is_file()]
    return [(name, root / name) for name in names]


def _prepared(about: Stories) -> Path:
    """The disk with a node's packages, made once for what the launcher and the lock files say."""
    told = _PREPARE.encode() + b"".join((_root() / name).read_bytes() for name in _LOCKED)
    image = about.disk.folder / f"prepared-{hashlib.sha256(told).hexdigest()[:12]}.qcow2"
    if not image.exists():
        about.say("installing a node's packages on it (kept for the next run)")
        files = emulator.packed((f"{CHECKOUT}/{name}".lstrip("/"), file) for name, file in _files())
        prepare = disk.More(files, _PREPARE, about.wheels)
        try:
            disk.change(about.disk.image, image, about.registries, prepare)
        except ProgramFailed as error:
            raise CannotMakeMachine(reason=f"./pileus prepare: {error.stderr.strip()[-2000:]}") from error
        for old in about.disk.folder.glob("prepared-*.qcow2"):
            if old != image:
                old.unlink()
    return image


def _wheels(suite: str, cache: Path, say: Say) -> Path | None:
    """A file system with the locked Python packages; None where the machine has to fetch them itself."""
    locks = [_root() / "lock" / name for name in ("build.txt", "test.txt")]
    key = hashlib.sha256(b"".join(lock.read_bytes() for lock in locks)).hexdigest()[:12]
    image = cache / f"wheels-{suite}-{key}.ext4"
    if image.exists():
        return image
    say("fetching Python packages")
    with tempfile.TemporaryDirectory(prefix=".wheels-", dir=cache) as work:
        folder = Path(work) / "wheels"
        command = (
            sys.executable, "-m", "pip", "download", "-q", "--dest", str(folder), "--no-deps",
            "--require-hashes", "--only-binary=:all:", "--python-version", _PYTHONS[suite],
            *(part for lock in locks for part in ("--requirement", str(lock))),
        )  # fmt: skip
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_WHEELS_S, check=False,
            env={**os.environ, "PIP_CONSTRAINT": ""},
        )  # fmt: skip
        if done.returncode:
            say(f"the machine fetches its Python packages itself: {done.stderr.strip()[-300:]}")
            return None
        size = sum(file.stat().st_size for file in folder.iterdir())
        made = Path(work) / "wheels.ext4"
        try:
            disk.file_system(made, folder, size * 5 // 4 + (16 << 20), disk.WHEELS_LABEL)
        except ProgramFailed as error:
            raise CannotMakeMachine(reason=error.stderr.strip()[-600:]) from error
        for old in cache.glob(f"wheels-{suite}-*.ext4"):
            old.unlink()
        shutil.move(made, image)
    return image
