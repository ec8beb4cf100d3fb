"""Exports of volumes by iSCSI with CHAP: a tgtd of ours in user space, one target for each export.

tgtd is spoken to through its socket, by the records of its own tgtadm, since a command would show the
password to everybody on the host. What it serves it forgets when it ends; who may log in is kept in files
that root alone reads, so that an export is opened again with the same name and password.
Source of the records: tgt's usr/tgtadm.h, of versions 1.0.70 and later.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import shutil
import struct
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from pileus.core.files import write_atomically
from pileus.core.names import is_path_part, path_part
from pileus.drivers.exports.errors import ExportFailed
from pileus.drivers.outliving import processes
from pileus.drivers.pools.pool import Place
from pileus.drivers.process import ProgramFailed, run_daemon, user_of

PACKAGES = ("tgt",)
"""Of Debian; whoever opens an export by QEMU needs qemu-block-extra."""

IQN = "iqn.2026-11.org.pileus:"
LUN = 1
PORT = 3260
_PROGRAM = "tgtd"
_STARTS_WITHIN_S, _ANSWERS_WITHIN_S, _PAUSE_S = 15.0, 10.0, 0.1
_REQUEST = struct.Struct("=ii64sIiQQIIIIII")
_ANSWER = struct.Struct("=II")
_SYSTEM, _TARGET, _DEVICE, _PORTAL, _ACCOUNT = 0, 1, 2, 3, 7
_NEW, _DELETE, _SHOW, _BIND, _UNBIND, _UPDATE = 0, 1, 2, 3, 4, 5
_NONE = -1
_TARGET_LINE = re.compile(r"^Target (\d+): (\S+)$", re.M)
_PORTAL_LINE = re.compile(r"^Portal: (\S+),\d+$", re.M)
_INITIATOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:-]{0,222}")


class IscsiExport(msgspec.Struct, frozen=True, kw_only=True):
    """A raw volume to be exported. ``initiator``: the name of the only one that may log in; empty: whoever
    knows the password."""

    export_id: str
    place: Place
    initiator: str = ""
    read_only: bool = False


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """How an export is opened, at the server's address."""

    port: int
    target: str
    lun: int = LUN
    username: str
    password: str


class IscsiServers(Protocol):
    """The exports of one host. Verbs may be repeated; they raise ExportFailed."""

    async def open(self, export: IscsiExport) -> Login: ...

    async def close(self, export_id: str) -> None:
        """Nothing of it is left; whoever has it open has it no longer."""

    async def found(self) -> Collection[str]:
        """The exports that are open."""


def missing_programs() -> list[str]:
    """The programs that are not installed here; empty if all are."""
    path = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin"
    return [] if shutil.which(_PROGRAM, path=path) else [_PROGRAM]


def is_served(path: Path) -> bool:
    """Whether a tgtd of this host has a file open: it takes no locks."""
    for number, arguments in processes():
        if Path(arguments[0]).name != _PROGRAM or user_of(number) != os.geteuid():
            continue  # anybody may call his process so
        with contextlib.suppress(OSError):
            if any(entry.readlink() == path for entry in Path(f"/proc/{number}/fd").iterdir()):
                return True
    return False


class _Target(NamedTuple):
    """A target that there is, and what tgtd says of it."""

    number: int
    said: str


def _is_as_wanted(said: str, export: IscsiExport) -> bool:
    """Whether a target is whole and what is wanted now. Who may log in is the last thing that one is told."""
    unit = said.partition(f" LUN: {LUN}\n")[2]
    allowed = said.partition(" ACL information:\n")[2].split()
    return (
        allowed == [export.initiator or "ALL"]
        and f" Backing store path: {export.place.path}\n" in unit
        and f" Readonly: {'Yes' if export.read_only else 'No'}\n" in unit
    )


def must_be_exportable(export: IscsiExport) -> None:
    """Raise ExportFailed for what no target can be made of."""
    if not is_path_part(export.export_id) or "," in str(export.place.path):
        raise ExportFailed("a name that can't be part of a command")
    if export.initiator and not _INITIATOR.fullmatch(export.initiator):
        raise ExportFailed("the initiator's name is none")
    if export.place.format != "raw":
        raise ExportFailed(f"a volume of the format {export.place.format} can't be opened by iSCSI")


class _Nobody(ExportFailed):
    """No tgtd listens, or it ended while it was asked."""


class Tgt:
    """``IscsiServers`` for real. ``root``: a folder for the socket (its path must be short) and passwords."""

    def __init__(self, root: Path, address: str, port: int = PORT) -> None:
        self._root = root
        self._portal = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        self._port = port
        self._lock = asyncio.Lock()

    @property
    def _socket(self) -> str:
        """tgtd adds the number of its control port to the name that it is told."""
        return f"{self._root / 'tgtd'}.0"

    async def open(self, export: IscsiExport) -> Login:
        """See IscsiServers."""
        must_be_exportable(export)
        async with self._lock:
            login = await asyncio.to_thread(self._login, export.export_id)
            await self._start()
            targets = await self._targets()
            found = targets.get(login.target)
            if found is not None and _is_as_wanted(found.said, export):
                return login
            if found is not None:  # half made, or made for somebody else
                await self._ask(_TARGET, _DELETE, found.number, force=True)
            number = max((one.number for one in targets.values()), default=0) + 1
            try:
                await self._build(number, export, login)
            except ExportFailed:
                with contextlib.suppress(ExportFailed):
                    await self._ask(_TARGET, _DELETE, number, force=True)
                with contextlib.suppress(ExportFailed):
                    await self._ask(_ACCOUNT, _DELETE, values={"user": login.username})
                await asyncio.to_thread(self._secret(export.export_id).unlink, missing_ok=True)
                raise
            return login

    async def _build(self, number: int, export: IscsiExport, login: Login) -> None:
        await self._ask(_TARGET, _NEW, number, {"targetname": login.target})
        store = {"path": str(export.place.path), "bstype": "rdwr"}
        await self._ask(_DEVICE, _NEW, number, store, lun=LUN)
        if export.read_only:
            await self._ask(_DEVICE, _UPDATE, number, {"readonly": "1"}, lun=LUN)
        account = {"user": login.username, "password": login.password}
        with contextlib.suppress(ExportFailed):  # it may be known from before, with another password
            await self._ask(_ACCOUNT, _DELETE, values={"user": login.username})
        await self._ask(_ACCOUNT, _NEW, values=account)
        await self._ask(_ACCOUNT, _BIND, number, {"user": login.username})
        who = {"initiator-name": export.initiator} if export.initiator else {"initiator-address": "ALL"}
        await self._ask(_TARGET, _BIND, number, who)

    async def close(self, export_id: str) -> None:
        """See IscsiServers."""
        path_part(export_id)
        async with self._lock:
            with contextlib.suppress(_Nobody):
                found = (await self._targets()).get(IQN + export_id)
                if found is not None:
                    await self._ask(_TARGET, _DELETE, found.number, force=True)
                with contextlib.suppress(ExportFailed):
                    await self._ask(_ACCOUNT, _DELETE, values={"user": _user(export_id)})
            await asyncio.to_thread(self._secret(export_id).unlink, missing_ok=True)

    async def found(self) -> Collection[str]:
        """See IscsiServers."""
        try:
            return [name.removeprefix(IQN) for name in await self._targets()]
        except _Nobody:
            return ()

    async def stop(self) -> None:
        """End tgtd, with all that it serves."""
        for export_id in await self.found():
            await self.close(export_id)
        with contextlib.suppress(_Nobody):
            await self._ask(_SYSTEM, _DELETE)

    async def _start(self) -> None:
        """Have a tgtd that listens at our address and nowhere else.

        One that can't listen there listens at every address of the host instead, at port 3260. A tgtd that
        was killed may hold the address for a moment more, so this is tried again.
        """
        deadline = time.monotonic() + _STARTS_WITHIN_S
        while await self._portals() != [self._portal]:
            with contextlib.suppress(_Nobody):
                await self._ask(_SYSTEM, _DELETE)
                await asyncio.sleep(_PAUSE_S)
            if time.monotonic() > deadline:
                raise ExportFailed(
                    f"tgtd can't listen at {self._portal}: the address is in use, perhaps by tgt.service"
                )
            await self._launch()

    async def _portals(self) -> Collection[str] | None:
        """Where tgtd listens, as ADDRESS:PORT; None: there is none."""
        try:
            return _PORTAL_LINE.findall(await self._ask(_PORTAL, _SHOW))
        except _Nobody:
            return None

    async def _launch(self) -> None:
        environment = {
            **os.environ,
            "PATH": os.environ.get("PATH", "") + os.pathsep + "/usr/sbin",
            "TGT_IPC_SOCKET": str(self._root / "tgtd"),
        }
        for name in (self._socket, f"{self._socket}.lock"):
            await asyncio.to_thread(Path(name).unlink, missing_ok=True)
        try:
            await run_daemon(
                (_PROGRAM, "--iscsi", f"portal={self._portal}"),
                environment=environment,
                timeout_s=_STARTS_WITHIN_S,
            )
            async with asyncio.timeout(_STARTS_WITHIN_S):
                while await self._portals() is None:  # noqa: ASYNC110 - not our child, no event tells
                    await asyncio.sleep(0.02)
        except ProgramFailed as error:
            raise ExportFailed(f"tgtd can't be started: {error.stderr.strip()[-300:]}") from error
        except TimeoutError as error:
            raise ExportFailed("tgtd does not answer") from error

    async def _targets(self) -> Mapping[str, _Target]:
        """Our targets by their names."""
        parts = iter(_TARGET_LINE.split(await self._ask(_TARGET, _SHOW))[1:])
        each = zip(parts, parts, parts, strict=True)
        return {name: _Target(int(number), said) for number, name, said in each if name.startswith(IQN)}

    async def _ask(
        self,
        mode: int,
        verb: int,
        number: int = _NONE,
        values: Mapping[str, str] = {},
        *,
        lun: int = 0,
        force: bool = False,
    ) -> str:
        given = ",".join(f"{name}={value}" for name, value in values.items()).encode()
        given = given + b"\0" if given else b""
        request = _REQUEST.pack(
            *(mode, verb, b"iscsi", _REQUEST.size + len(given), number, 0, lun, 0, 0, 0, 0, 0, int(force))
        )
        try:
            async with asyncio.timeout(_ANSWERS_WITHIN_S):
                reader, writer = await asyncio.open_unix_connection(self._socket)
                try:
                    writer.write(request + given)
                    await writer.drain()
                    error, length = _ANSWER.unpack(await reader.readexactly(_ANSWER.size))
                    said = await reader.readexactly(max(0, length - _ANSWER.size))
                finally:
                    writer.close()
        except (FileNotFoundError, ConnectionError, asyncio.IncompleteReadError) as failure:
            raise _Nobody("tgtd does not answer") from failure
        except (OSError, TimeoutError) as failure:
            raise ExportFailed("tgtd does not answer") from failure
        if error:
            raise ExportFailed(f"tgtd refuses it with the error {error}")
        return said.decode(errors="replace").replace("\0", "")

    def _secret(self, export_id: str) -> Path:
        return self._root / f"{path_part(export_id)}.json"

    def _login(self, export_id: str) -> Login:
        """The name and password of an export, made where there are none."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._secret(export_id)
        with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
            return msgspec.json.decode(path.read_bytes(), type=Login)
        login = new_login(export_id, self._port)
        write_atomically(path, msgspec.json.encode(login), 0o600)
        return login


def _user(export_id: str) -> str:
    return f"pileus-{export_id}"


def new_login(export_id: str, port: int) -> Login:
    """A name and a password that nobody has. RFC 7143 wants a password of 12 to 16 bytes without IPsec."""
    return Login(
        port=port, target=IQN + export_id, username=_user(export_id), password=secrets.token_urlsafe(12)
    )


class SimulatedTgt:
    """``IscsiServers`` without a daemon; ``logins`` are of the exports that are open."""

    def __init__(self, port: int = PORT) -> None:
        self._port = port
        self.logins: dict[str, Login] = {}
        self._known: dict[str, Login] = {}

    async def open(self, export: IscsiExport) -> Login:
        """See IscsiServers."""
        must_be_exportable(export)
        if not await asyncio.to_thread(export.place.path.exists):
            raise ExportFailed("tgtd refuses it with the error 22")
        key = export.export_id
        login = self._known.setdefault(key, new_login(key, self._port))
        return self.logins.setdefault(key, login)

    async def close(self, export_id: str) -> None:
        """See IscsiServers."""
        self.logins.pop(path_part(export_id), None)
        self._known.pop(export_id, None)

    async def found(self) -> Collection[str]:
        """See IscsiServers."""
        return list(self.logins)
