"""Exports of volumes by NBD over TLS: a qemu-storage-daemon for each, which outlives us.

It runs as the user whom the volume's file belongs to, with bounds, and lets in one host: whoever shows a
certificate with that host's name, signed by that host's authority. Its arguments say all that there is to
know of it, so that it is found again by whoever starts after us.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from pileus.core.names import is_path_part, path_part
from pileus.drivers import outliving
from pileus.drivers.exports.authority import Authority, put_files
from pileus.drivers.exports.errors import ExportFailed
from pileus.drivers.pools.pool import Place
from pileus.drivers.process import ProgramFailed, run_daemon, user_of
from pileus.drivers.qemu_img.driver import as_user

PACKAGES = ("qemu-system-common", "qemu-utils")
"""Of Debian: qemu-storage-daemon is in one of them, by the release."""

_PROGRAM = "qemu-storage-daemon"
_MEMORY = 2 << 30
_STARTS_WITHIN_S = 20.0
_PORT = re.compile(r"addr\.port=([0-9]+)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class NbdExport(msgspec.Struct, frozen=True, kw_only=True):
    """A volume to be exported as ``name``. ``client``: the name of the host that may open it, ``authority``:
    whose certificates say that it is that one."""

    export_id: str
    name: str
    place: Place
    client: str
    authority: str
    read_only: bool = False


class NbdServers(Protocol):
    """The exports of one host. Verbs may be repeated."""

    async def open(self, export: NbdExport) -> int:
        """Export it; the port at which. One that runs is left as it is. Raises ExportFailed."""

    async def close(self, export_id: str) -> None:
        """Nothing of it is left."""

    async def found(self) -> Mapping[str, int]:
        """The exports that run, with their ports."""


def missing_programs() -> list[str]:
    """The programs that are not installed here; empty if all are."""
    return [program for program in (_PROGRAM, "prlimit", "setpriv") if shutil.which(program) is None]


def must_be_names(export: NbdExport) -> None:
    """Raise ExportFailed for what would mean more than itself in a command or a path."""
    plain = is_path_part(export.name) and is_path_part(export.export_id)
    if not plain or not _NAME.fullmatch(export.client):
        raise ExportFailed("a name that can't be part of a command")


class QemuNbd:
    """``NbdServers`` for real. ``root``: a folder for credentials; ``user``: of the volumes' files;
    ``ports``: those that may be used."""

    def __init__(
        self, root: Path, authority: Authority, *, user: tuple[int, int] | None, ports: range
    ) -> None:
        self._root = root
        self._authority = authority
        self._user = user
        self._ports = ports
        self._opening = asyncio.Lock()

    async def open(self, export: NbdExport) -> int:
        """See NbdServers."""
        must_be_names(export)
        async with self._opening:
            running = await self.found()
            if (port := running.get(export.export_id)) is not None:
                return port
            await asyncio.to_thread(self._put_credentials, export)
            taken = set(running.values())
            why = "no port is free"
            for port in self._ports:
                if port in taken:
                    continue
                try:
                    await run_daemon(self._command(export, port), timeout_s=_STARTS_WITHIN_S)
                except ProgramFailed as error:
                    why = error.stderr.strip().removeprefix(f"{_PROGRAM}: ")
                    if "Address already in use" in why:
                        continue
                    break
                return port
            await asyncio.to_thread(self._forget, export.export_id)
            raise ExportFailed(why)

    async def close(self, export_id: str) -> None:
        """See NbdServers."""
        path_part(export_id)
        for number, found, _ in await asyncio.to_thread(lambda: list(self._processes())):
            if found == export_id:
                await outliving.end(number)
        await asyncio.to_thread(self._forget, export_id)

    async def found(self) -> Mapping[str, int]:
        """See NbdServers."""
        return await asyncio.to_thread(lambda: {found: port for _, found, port in self._processes()})

    def _processes(self) -> Iterator[tuple[int, str, int]]:
        """Our daemons: number, export, port. Anybody may give a process whatever arguments he likes."""
        users = {0, self._user[0]} if self._user is not None else {0}
        start = self._credentials("")
        for number, arguments in outliving.processes():
            if arguments[0] != _PROGRAM:
                continue
            mine = [one.removeprefix(start) for one in arguments if one.startswith(start)]
            port = next((found for one in arguments if (found := _PORT.search(one))), None)
            if mine and port is not None and is_path_part(mine[0]) and user_of(number) in users:
                yield number, mine[0], int(port[1])

    def _put_credentials(self, export: NbdExport) -> None:
        self._root.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._root.chmod(0o711)
        files = self._authority.server_files(export.authority)
        put_files(self._root / path_part(export.export_id), files, self._user)

    def _forget(self, export_id: str) -> None:
        shutil.rmtree(self._root / path_part(export_id), ignore_errors=True)

    def _credentials(self, export_id: str) -> str:
        return f"tls-creds-x509,id=tls,endpoint=server,verify-peer=on,dir={self._root}/{export_id}"

    def _command(self, export: NbdExport, port: int) -> tuple[str, ...]:
        place = export.place
        mode = "on" if export.read_only else "off"
        driver = "host_device" if place.block else "file"
        # a comma in a value is written twice
        file = str(place.path).replace(",", ",,")
        address = self._authority.address
        return (
            *("prlimit", f"--as={_MEMORY}", "--"),
            *as_user(self._user),
            _PROGRAM,
            *("--object", self._credentials(export.export_id)),
            *("--object", f"authz-simple,id=who,identity=CN={export.client}"),
            *("--blockdev", f"driver={driver},node-name=file,filename={file},read-only={mode}"),
            *("--blockdev", f"driver={place.format},node-name=disk,file=file,discard=unmap,read-only={mode}"),
            "--nbd-server",
            f"addr.type=inet,addr.host={address},addr.port={port},tls-creds=tls,tls-authz=who",
            "--export",
            f"type=nbd,id=export,node-name=disk,name={export.name},"
            f"writable={'off' if export.read_only else 'on'}",
            "--daemonize",
        )


class SimulatedNbd:
    """``NbdServers`` without daemons; ``exports`` are those that run."""

    def __init__(self, ports: range) -> None:
        self._ports = ports
        self.exports: dict[str, int] = {}

    async def open(self, export: NbdExport) -> int:
        """See NbdServers."""
        must_be_names(export)
        if export.export_id in self.exports:
            return self.exports[export.export_id]
        if not await asyncio.to_thread(export.place.path.exists):
            raise ExportFailed(f"Could not open '{export.place.path}': No such file or directory")
        free = next((port for port in self._ports if port not in self.exports.values()), None)
        if free is None:
            raise ExportFailed("no port is free")
        self.exports[export.export_id] = free
        return free

    async def close(self, export_id: str) -> None:
        """See NbdServers."""
        self.exports.pop(path_part(export_id), None)

    async def found(self) -> Mapping[str, int]:
        """See NbdServers."""
        return dict(self.exports)
