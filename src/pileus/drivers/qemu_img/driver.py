"""qemu-img, with the limits that content from strangers deserves.

A header of some bytes can make a program build tables without end, so each run has a bound
on memory and on processor time, as the kernel counts them (``prlimit``), and a deadline. Where files belong
to a user of their own it has no more rights than that one (``setpriv``).
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from pileus.drivers.process import ProgramFailed, run
from pileus.drivers.qemu_img.images import (
    QCOW2_HEADER_BYTES,
    ImageCheck,
    ImageFailed,
    ImageFormat,
    ImageInfo,
    Preallocation,
    backing_name,
    has_data_file,
)

PACKAGES = ("qemu-utils",)
"""Of Debian; prlimit and setpriv are in util-linux, which is always there."""

_PROGRAM = "qemu-img"
_GIB = 1 << 30
_ERRORS, _LEAKS = 2, 3
"""Exit statuses of ``qemu-img check``."""


class Limits(msgspec.Struct, frozen=True):
    """Limits of one run: address space in bytes, processor time and time that passes in seconds."""

    memory: int = _GIB
    cpu_s: int = 30
    timeout_s: float = 60.0


QUICK = Limits()
COPYING = Limits(memory=2 * _GIB, cpu_s=3600, timeout_s=7200.0)
"""For what reads and writes whole images."""


def missing_programs() -> list[str]:
    """The programs that are not installed here; empty if all are."""
    return [program for program in (_PROGRAM, "prlimit", "setpriv") if shutil.which(program) is None]


class QemuImg:
    """``Images`` for real. ``user``: user and group to run as, where this process may choose."""

    def __init__(
        self, *, quick: Limits = QUICK, copying: Limits = COPYING, user: tuple[int, int] | None = None
    ) -> None:
        self._quick = quick
        self._copying = copying
        self._user = user if os.geteuid() == 0 else None

    async def create(
        self, path: Path, format: ImageFormat, size: int, *, preallocation: Preallocation = "off"
    ) -> None:
        """See Images."""
        how = () if preallocation == "off" else ("-o", f"preallocation={preallocation}")
        limits = self._quick if preallocation == "off" else self._copying
        await self._run(limits, "create", "-q", "-f", format, *how, str(path), str(size))

    async def create_overlay(
        self, path: Path, backing: Path, backing_format: ImageFormat, size: int | None = None
    ) -> None:
        """See Images."""
        below = ("-b", backing_name(backing), "-F", backing_format)
        wanted = () if size is None else (str(size),)
        await self._run(self._quick, "create", "-q", "-f", "qcow2", *below, str(path), *wanted)

    async def info(self, path: Path, format: ImageFormat) -> ImageInfo:
        """See Images."""
        if format == "qcow2" and has_data_file(await asyncio.to_thread(_head, path)):
            # qemu-img would open that file, with this process's rights, before anybody could refuse it.
            raise ImageFailed("info", f"{path} has an external data file")
        # -U: without the lock that a running machine holds.
        printed = await self._run(self._quick, "info", "--output=json", "-U", "-f", format, str(path))
        facts: dict[str, Any] = msgspec.json.decode(printed)
        specific = facts.get("format-specific", {}).get("data", {})
        return ImageInfo(
            path=str(path),
            format=facts["format"],
            size=facts["virtual-size"],
            used=facts.get("actual-size", 0),
            backing=facts.get("backing-filename"),
            backing_format=facts.get("backing-filename-format"),
            data_file=specific.get("data-file"),
        )

    async def convert(
        self,
        source: Path,
        source_format: ImageFormat,
        target: Path,
        target_format: ImageFormat,
        *,
        compress: bool = False,
    ) -> None:
        """See Images."""
        partial = target.with_name(f".{target.name}.part")
        options = ("-c",) if compress else ()
        names = (str(source), str(partial))
        try:
            await self._run(
                self._copying, "convert", "-q", "-f", source_format, "-O", target_format, *options, *names
            )
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)

    async def fill(
        self,
        source: Path,
        source_format: ImageFormat,
        target: Path,
        target_format: ImageFormat,
        *,
        compress: bool = False,
    ) -> None:
        """See Images."""
        options = ("-n", "--target-is-zero", *(("-c",) if compress else ()))
        formats = ("-f", source_format, "-O", target_format)
        await self._run(self._copying, "convert", "-q", *options, *formats, str(source), str(target))

    async def resize(
        self, path: Path, format: ImageFormat, size: int, *, preallocation: Preallocation = "off"
    ) -> None:
        """See Images."""
        how = () if preallocation == "off" else (f"--preallocation={preallocation}",)
        await self._run(self._quick, "resize", "-q", "-f", format, *how, str(path), str(size))

    async def rebase(
        self, path: Path, backing: Path | None, backing_format: ImageFormat | None, *, safe: bool = True
    ) -> None:
        """See Images."""
        below = (
            ("-b", "") if backing is None else ("-b", backing_name(backing), "-F", backing_format or "raw")
        )
        unsafe = () if safe else ("-u",)
        limits = self._copying if safe else self._quick
        await self._run(limits, "rebase", "-q", "-f", "qcow2", *unsafe, *below, str(path))

    async def check(self, path: Path, format: ImageFormat = "qcow2") -> ImageCheck:
        """See Images."""
        command = self._command(self._copying, ("check", "--output=json", "-f", format, str(path)))
        try:
            printed = await run(command, timeout_s=self._copying.timeout_s)
        except ProgramFailed as error:
            if error.status in (_ERRORS, _LEAKS):
                return ImageCheck(errors=int(error.status == _ERRORS), leaks=int(error.status == _LEAKS))
            raise _failure("check", error) from error
        found: dict[str, Any] = msgspec.json.decode(printed)
        return ImageCheck(
            errors=found.get("corruptions", 0) + found.get("check-errors", 0), leaks=found.get("leaks", 0)
        )

    async def _run(self, limits: Limits, verb: str, *arguments: str) -> bytes:
        try:
            return await run(self._command(limits, (verb, *arguments)), timeout_s=limits.timeout_s)
        except ProgramFailed as error:
            raise _failure(verb, error) from error

    def _command(self, limits: Limits, arguments: Sequence[str]) -> tuple[str, ...]:
        bounds = ("prlimit", f"--as={limits.memory}", f"--cpu={limits.cpu_s}", "--")
        return (*bounds, *as_user(self._user), _PROGRAM, *arguments)


def as_user(user: tuple[int, int] | None) -> tuple[str, ...]:
    """The words before a command that make it run as this user and group, with no rights beside theirs;
    none for None."""
    if user is None:
        return ()
    uid, gid = user
    rights = ("--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")
    return ("setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", *rights, "--")


def _failure(verb: str, error: ProgramFailed) -> ImageFailed:
    said = error.stderr.strip().removeprefix(f"{_PROGRAM}: ")
    if error.status is not None and error.status < 0:
        said = said or f"ended by signal {-error.status}: it took more than it may"
    return ImageFailed(verb, said or f"ended with {error.status}")


def _head(path: Path) -> bytes:
    """Read the first bytes of a file; none of one that can't be read, which qemu-img says better."""
    try:
        with path.open("rb") as file:
            return file.read(QCOW2_HEADER_BYTES)
    except OSError:
        return b""
