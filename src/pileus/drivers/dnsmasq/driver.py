"""DHCP servers for real: one dnsmasq per network, in the network's namespace.

A pass writes the files that differ and sends at most one SIGHUP; a restart happens only when
the arguments differ, the process is gone, or its namespace was made anew; and in the place
of a signal on a network where a port has options of its own: up to 2.90, dnsmasq dies of a
SIGHUP once it has served a host whose line sets a tag (it links the tag into a list on its
stack, and follows that list when it frees the line). Leases survive a restart, which takes
some milliseconds. Processes outlive us: they are found by their pid file and by the path of
it in their arguments, or by that path alone when the file is lost.

An address whose port is gone may belong to another port at once, while dnsmasq would keep it
from that one until the lease runs out; so leases of ports that went are given back in their
name.
"""

from __future__ import annotations

import asyncio
import contextlib
import grp
import os
import pwd
import shutil
import signal
from collections.abc import Collection, Iterable, Mapping, Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path

import msgspec

from pileus.core.files import open_folder, read_own_file, write_atomically
from pileus.core.names import is_path_part, path_part
from pileus.drivers.dnsmasq import files
from pileus.drivers.dnsmasq.leases import Release, parse_leases, send_releases
from pileus.drivers.dnsmasq.render import PROGRAM, TAGGED, Rendered, render
from pileus.drivers.dnsmasq.spec import Applied, DhcpFailed, DhcpNetwork, Lease
from pileus.drivers.outliving import arguments_of, end, is_in, processes
from pileus.drivers.process import ProgramFailed, run_daemon, user_of

PACKAGES = ("dnsmasq-base",)
"""Of Debian."""

_AT_ONCE = 4
_MOST_BYTES = 1 << 25
"""Of a lease file: twice what the most leases that a server gives take."""
_TOLD = msgspec.json.Decoder(list[Lease])


def missing_programs() -> list[str]:
    """The programs that are not installed here; empty if all are."""
    path = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin" + os.pathsep + "/sbin"
    return [program for program in (PROGRAM, "ip") if shutil.which(program, path=path) is None]


class Dnsmasq:
    """``DhcpServers`` for real. ``folder`` holds a folder per network; dnsmasq reads it as ``user``, so
    all folders above it must let others pass."""

    def __init__(self, folder: Path, *, user: str = "nobody") -> None:
        self._folder = folder
        self._user = user
        self._memories: dict[str, files.Memory] = {}
        account = pwd.getpwnam(user)
        self._group = grp.getgrgid(account.pw_gid).gr_name
        # dnsmasq begins as we are, and goes on as its user.
        self._users = {os.geteuid(), account.pw_uid}
        self._environment = os.environ | {"PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}

    async def apply(self, networks: Sequence[DhcpNetwork]) -> dict[str, Applied]:
        """See DhcpServers."""
        gate = asyncio.Semaphore(_AT_ONCE)
        done: dict[str, Applied] = {}
        reasons: dict[str, str] = {}
        lost = await asyncio.to_thread(self._lost, [network.network_id for network in networks])

        async def one(network: DhcpNetwork) -> None:
            async with gate:
                try:
                    done[network.network_id] = await self._apply(network, lost)
                except Exception as error:  # one that nobody expects is still that network's alone
                    known = isinstance(error, ProgramFailed | OSError | ValueError)
                    text = str(error) if known else f"{type(error).__name__}: {error}"
                    reasons[network.network_id] = text

        await asyncio.gather(*map(one, networks))
        if reasons:
            raise DhcpFailed(reasons)
        return done

    async def remove(self, network_ids: Collection[str]) -> None:
        """See DhcpServers."""
        lost = await asyncio.to_thread(self._lost, network_ids)
        await asyncio.gather(*(self._end(network_id, lost) for network_id in network_ids))
        for network_id in network_ids:
            self._memories.pop(network_id, None)
            await asyncio.to_thread(shutil.rmtree, self._home(network_id), ignore_errors=True)

    async def running(self) -> set[str]:
        """See DhcpServers."""
        return set(await asyncio.to_thread(self._scan))

    async def known(self) -> set[str]:
        """See DhcpServers."""

        def folders() -> set[str]:
            if not self._folder.is_dir():
                return set()
            folders = {entry.name for entry in os.scandir(self._folder) if entry.is_dir()}
            return set(filter(is_path_part, folders))

        return await asyncio.to_thread(folders) | await self.running()

    async def leases(self, network_id: str) -> list[Lease]:
        """See DhcpServers."""
        return await asyncio.to_thread(self._leases, network_id)

    async def lease_stamps(self, network_ids: Collection[str]) -> dict[str, object]:
        """See DhcpServers."""

        def stamps() -> dict[str, object]:
            found: dict[str, object] = {}
            for network_id in network_ids:
                with contextlib.suppress(OSError):
                    seen = (self._home(network_id) / "leases").lstat()
                    found[network_id] = (seen.st_ino, seen.st_mtime_ns, seen.st_size)
            return found

        return await asyncio.to_thread(stamps)

    async def told_leases(self, network_id: str) -> list[Lease]:
        """See DhcpServers."""

        def read() -> list[Lease]:
            try:
                return _TOLD.decode((self._home(network_id) / "told").read_bytes())
            except (FileNotFoundError, msgspec.DecodeError):
                return []

        return await asyncio.to_thread(read)

    async def keep_told_leases(self, network_id: str, leases: Sequence[Lease]) -> None:
        """See DhcpServers."""
        path = self._home(network_id) / "told"
        await asyncio.to_thread(write_atomically, path, msgspec.json.encode(leases), durable=False)

    async def _apply(self, network: DhcpNetwork, lost: dict[str, int]) -> Applied:
        folder = self._home(network.network_id)
        wanted = render(network, folder, self._user, self._group)
        changes = await asyncio.to_thread(self._bring, folder, wanted)
        applied = Applied(
            written=len(changes.added) + len(changes.replaced),
            deleted=len(changes.deleted),
        )
        number = lost.get(network.network_id) or self._pid(network.network_id)
        if number is None:
            applied.started = True
        elif not self._is_as(number, wanted, network.namespace) or (
            (changes.replaced or changes.deleted) and _has_tags((changes.before, wanted.files))
        ):
            await self._end(network.network_id, lost)
            applied.restarted = True
        if applied.started or applied.restarted:
            await self._start(wanted, network.namespace)
        elif changes.replaced or changes.deleted:
            assert number is not None
            os.kill(number, signal.SIGHUP)
            applied.signalled = True
        releases = self._releases(network, changes, wanted)
        if releases:
            await asyncio.to_thread(send_releases, network.namespace, network.interface, releases)
            applied.released = len(releases)
        return applied

    def _bring(self, folder: Path, wanted: Rendered) -> files.Changes:
        folder.mkdir(parents=True, exist_ok=True)
        for part in (folder, *folder.parents):
            if not part.stat().st_mode & 0o001:
                raise OSError(f"{part} does not let {self._user} pass, as whom {PROGRAM} runs")
        return files.bring(folder, wanted.files, self._memories.setdefault(folder.name, {}))

    def _releases(self, network: DhcpNetwork, changes: files.Changes, wanted: Rendered) -> list[Release]:
        """Leases of IPv4 addresses whose port no longer has them."""
        before = _holders(text for path, text in changes.before.items() if path.startswith("hosts/"))
        if not before:
            return []
        now = _holders(text for path, text in wanted.files.items() if path.startswith("hosts/"))
        gone = before - now
        if not gone:
            return []
        servers = [(ip_network(subnet.cidr), subnet.server) for subnet in network.subnets if subnet.server]
        return [
            Release(server, lease)
            for lease in self._leases(network.network_id)
            if (lease.mac, lease.address) in gone
            for within, server in servers
            if ip_address(lease.address) in within
        ]

    async def _start(self, wanted: Rendered, namespace: str | None) -> None:
        """dnsmasq goes to the background when it is ready to serve."""
        inside = ("ip", "netns", "exec", namespace) if namespace else ()
        await run_daemon((*inside, *wanted.arguments), environment=self._environment)

    async def _end(self, network_id: str, lost: dict[str, int]) -> None:
        number = lost.pop(network_id, None) or self._pid(network_id)
        if number is not None:
            await end(number)

    def _leases(self, network_id: str) -> list[Lease]:
        try:
            return parse_leases(_read_plain(self._home(network_id), "leases"))
        except FileNotFoundError:
            return []

    def _home(self, network_id: str) -> Path:
        """The folder of a network; raises NotAName for an id that would lead elsewhere."""
        return self._folder / path_part(network_id)

    def _label(self, network_id: str) -> str:
        return f"--pid-file={self._home(network_id) / 'pid'}"

    def _pid(self, network_id: str) -> int | None:
        try:
            number = int((self._home(network_id) / "pid").read_text())
        except (OSError, ValueError):
            return None
        arguments = arguments_of(number)
        ours = arguments is not None and self._label(network_id) in arguments
        return number if ours and user_of(number) in self._users else None

    def _is_as(self, number: int, wanted: Rendered, namespace: str | None) -> bool:
        """Whether a process has these arguments and is in the namespace that now has that name."""
        return arguments_of(number) == wanted.arguments and is_in(number, namespace)

    def _lost(self, network_ids: Iterable[str]) -> dict[str, int]:
        """Processes of these networks whose pid file is not there; looks through all processes only when
        a pid file leads to none."""
        missing = {network_id for network_id in network_ids if self._pid(network_id) is None}
        return {k: v for k, v in self._scan().items() if k in missing} if missing else {}

    def _scan(self) -> dict[str, int]:
        found = {}
        start = f"--pid-file={self._folder}/"
        for number, arguments in processes():
            for argument in arguments[1:2] if arguments[:1] == (PROGRAM,) else ():
                network_id, _, file = argument.removeprefix(start).partition("/")
                named = argument.startswith(start) and file == "pid" and is_path_part(network_id)
                if named and user_of(number) in self._users:
                    found[network_id] = number
        return found


def _read_plain(folder: Path, name: str) -> str:
    """The text of a file that a lesser user writes: a regular one of bounded size, and no link to another."""
    number = open_folder(folder)
    try:
        return read_own_file(name, number, limit=_MOST_BYTES).decode(errors="replace")
    finally:
        os.close(number)


def _holders(texts: Iterable[str]) -> set[tuple[str, str]]:
    """MAC and address of each line of hosts' files."""
    found = set()
    for line in "".join(texts).splitlines():
        mac, *rest = line.split(",")
        found |= {(mac, word) for word in rest if word.count(".") == 3 and ":" not in word}
    return found


def _has_tags(versions: Iterable[Mapping[str, str]]) -> bool:
    """Whether a host's line sets a tag, or did before."""
    return any(
        TAGGED in text for files in versions for path, text in files.items() if path.startswith("hosts/")
    )
