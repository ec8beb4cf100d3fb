"""Debian packages by name from the machine's own registry, kept in a cache folder.

apt chooses versions, knows the mirrors and checks signatures and sums; nothing is installed. Where the
machine's package lists are missing or too old, lists of our own are fetched into the cache folder, from the
same sources and under the same keys, so the machine stays as it was and root is not needed.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pileus.drivers.guestimage.errors import CannotBuildImage
from pileus.drivers.guestimage.program import is_installed, run
from pileus.drivers.process import ProgramFailed

Say = Callable[[str], None]

_URI = re.compile(r"^'(?P<uri>[^']+)' (?P<file>\S+) (?P<size>\d+) SHA256:(?P<sha256>[0-9a-f]{64})$", re.M)
_KERNEL = re.compile(r"^ +Depends: (linux-image-\d\S*)$", re.M)
_DEPENDS = ("--recurse", *(f"--no-{kind}" for kind in ("recommends", "suggests", "conflicts", "breaks")))
_DOWNLOAD_S = 600.0


@dataclass(frozen=True)
class Package:
    """A package file: ``file`` is named as apt names it, NAME_VERSION_ARCHITECTURE.deb."""

    name: str
    version: str
    file: Path


class Registry:
    """The machine's configured package sources; ``cache`` is a folder that keeps what was fetched."""

    def __init__(self, cache: Path, say: Say) -> None:
        self._cache = cache
        self._say = say
        self._options: tuple[str, ...] = ("-o", "APT::Sandbox::User=root") if os.geteuid() == 0 else ()
        if not is_installed("apt-get"):
            raise CannotBuildImage(reason="it is made from Debian packages, and apt-get is not here")

    def fetch(self, kernel: str, programs: Sequence[str], tools: Sequence[str]) -> list[Package]:
        """The kernel that the metapackage ``kernel`` stands for, ``programs`` with all that they depend on,
        and ``tools`` by themselves. Raises CannotBuildImage."""
        try:
            return self._fetch(kernel, programs, tools)
        except ProgramFailed:
            self._refresh()
        try:
            return self._fetch(kernel, programs, tools)
        except ProgramFailed as error:
            raise CannotBuildImage(
                reason=f"apt can't get the packages: {error.stderr.strip()[-600:]}"
            ) from error

    def _fetch(self, kernel: str, programs: Sequence[str], tools: Sequence[str]) -> list[Package]:
        current = _KERNEL.search(self._apt("apt-cache", "depends", kernel))
        if current is None:
            raise ProgramFailed(("apt-cache", "depends", kernel), 0, f"{kernel} depends on no kernel")
        closure = self._apt("apt-cache", "depends", *_DEPENDS, "--no-replaces", "--no-enhances", *programs)
        names = {current[1], *tools, *re.findall(r"^([a-z0-9][a-z0-9.+-]+)$", closure, re.M)}
        wanted = list(_URI.finditer(self._apt("apt-get", "download", "--print-uris", "-qq", *sorted(names))))
        missing = [match for match in wanted if not self._is_here(match)]
        if missing:
            size_mib = sum(int(match["size"]) for match in missing) / 2**20
            self._say(f"fetching {len(missing)} Debian packages, {size_mib:.0f} MiB")
            # By name and version, so that the files are those that were announced.
            self._apt("apt-get", "download", "-qq", *map(_exact, missing), folder=self._cache)
        if broken := [match["file"] for match in wanted if not self._is_here(match)]:
            raise CannotBuildImage(reason=f"apt did not deliver {', '.join(broken)}")
        return [
            Package(name, version, self._cache / match["file"])
            for match in wanted
            for name, version in [_name_version(match["file"])]
        ]

    def _is_here(self, match: re.Match[str]) -> bool:
        file = self._cache / match["file"]
        if not file.is_file() or file.stat().st_size != int(match["size"]):
            return False
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest() == match["sha256"]

    def _refresh(self) -> None:
        self._say("fetching package lists")
        lists = self._cache / "lists"
        (lists / "partial").mkdir(parents=True, exist_ok=True)
        (self._cache / "archives" / "partial").mkdir(parents=True, exist_ok=True)
        self._options += ("-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={self._cache}")
        try:
            self._apt("apt-get", "update", "-qq")
        except ProgramFailed as error:
            raise CannotBuildImage(reason=f"apt-get update: {error.stderr.strip()[-600:]}") from error

    def _apt(self, program: str, *arguments: str, folder: Path | None = None) -> str:
        command = (program, *self._options, *arguments)
        return run(command, folder=folder, timeout_s=_DOWNLOAD_S).decode()


def _name_version(file: str) -> tuple[str, str]:
    name, version, _ = file.split("_", 2)
    return name, version.replace("%3a", ":")


def _exact(match: re.Match[str]) -> str:
    return "=".join(_name_version(match["file"]))
