"""nftables for real: ``nft -j``, inside namespaces. One read and at most one load per namespace."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from pileus.drivers.nft.connections import Listening, forget
from pileus.drivers.nft.difference import difference
from pileus.drivers.nft.generation import read_generation
from pileus.drivers.nft.table import Command, InstalledTable, Table, TableKey, parse_ruleset
from pileus.drivers.process import ProgramFailed, run
from pileus.drivers.relay.prefix import prefixed

PACKAGES = ("nftables",)
"""Of Debian."""

Namespace = str | None
"""A network namespace as ``ip netns`` knows it; None is the one we are in."""

_AT_ONCE = 4


class FilterFailed(Exception):
    """Namespaces whose tables could not be made as wanted: for each, what nft said. ``done``: what the
    others took."""

    def __init__(
        self, reasons: Mapping[Namespace, str], done: Mapping[Namespace, list[Command]] | None = None
    ) -> None:
        self.reasons = dict(reasons)
        self.done = dict(done or {})
        super().__init__("; ".join(f"{namespace or 'host'}: {text}" for namespace, text in reasons.items()))


class PacketFilter(Protocol):
    """The tables of ours in one host's namespaces. Verbs raise FilterFailed after doing the others."""

    async def read(
        self, namespaces: Collection[Namespace]
    ) -> dict[Namespace, dict[TableKey, InstalledTable]]:
        """The tables of ours that are there, with the counters of their elements."""

    async def generations(self, namespaces: Collection[Namespace]) -> dict[Namespace, int]:
        """A number of each namespace that is another one after any change of its rules; costs little.
        Namespaces that can't tell are left out."""

    async def apply(self, wanted: Mapping[Namespace, Sequence[Table]]) -> dict[Namespace, list[Command]]:
        """Make these tables as described, each namespace in one atomic load; tables that are not named
        stay. Gives back the commands that it took; none where nothing differed."""

    async def remove(self, gone: Mapping[Namespace, Collection[TableKey]]) -> None:
        """Delete tables; those that are not there are gone already."""

    async def forget_connections(self, gone: Mapping[Namespace, Collection[str | Listening]]) -> int:
        """End what is known of connections that have one of these IPv4 addresses at any end, or were made to
        one of the ports: after a floating IP or a forwarding went, since rules are asked at a connection's
        beginning only. Gives back how many."""


class Nft:
    """``PacketFilter`` for real."""

    def __init__(self, prefix: Sequence[str] = ()) -> None:
        """``prefix`` is put before each command: the tables are those of another place."""
        self._prefix = tuple(prefix)
        self._environment = os.environ | {"PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}

    async def read(
        self, namespaces: Collection[Namespace]
    ) -> dict[Namespace, dict[TableKey, InstalledTable]]:
        """See PacketFilter."""
        found: dict[Namespace, dict[TableKey, InstalledTable]] = {}

        async def one(namespace: Namespace) -> None:
            found[namespace] = await self._list(namespace)

        await _each(namespaces, one)
        return found

    async def generations(self, namespaces: Collection[Namespace]) -> dict[Namespace, int]:
        """See PacketFilter."""

        if self._prefix:  # asked by a socket of the kernel's, and that is another one
            return {}

        def ask() -> dict[Namespace, int]:
            found = {}
            for namespace in namespaces:
                with contextlib.suppress(OSError):
                    found[namespace] = read_generation(namespace)
            return found

        return await asyncio.to_thread(ask)

    async def apply(self, wanted: Mapping[Namespace, Sequence[Table]]) -> dict[Namespace, list[Command]]:
        """See PacketFilter."""
        done: dict[Namespace, list[Command]] = {}

        async def one(namespace: Namespace) -> None:
            present = await self._list(namespace)
            commands = [
                command
                for table in wanted[namespace]
                for command in difference(table, present.get((table.family, table.name)))
            ]
            if commands:
                await self._load(namespace, commands)
            done[namespace] = commands

        try:
            await _each(wanted, one)
        except FilterFailed as failure:
            raise FilterFailed(failure.reasons, done) from failure
        return done

    async def remove(self, gone: Mapping[Namespace, Collection[TableKey]]) -> None:
        """See PacketFilter."""

        async def one(namespace: Namespace) -> None:
            present = await self._list(namespace)
            commands: list[Command] = [
                {"delete": {"table": {"family": family, "name": name}}}
                for family, name in gone[namespace]
                if (family, name) in present
            ]
            if commands:
                await self._load(namespace, commands)

        await _each(gone, one)

    async def forget_connections(self, gone: Mapping[Namespace, Collection[str | Listening]]) -> int:
        """See PacketFilter."""
        counts: list[int] = []

        async def one(namespace: Namespace) -> None:
            counts.append(await asyncio.to_thread(forget, namespace, gone[namespace]))

        await _each(gone, one)
        return sum(counts)

    async def _list(self, namespace: Namespace) -> dict[TableKey, InstalledTable]:
        printed = await self._nft(namespace, "list", "ruleset")
        listed: dict[str, Any] = msgspec.json.decode(printed) if printed.strip() else {"nftables": []}
        return parse_ruleset(listed)

    async def _load(self, namespace: Namespace, commands: Sequence[Command]) -> None:
        await self._nft(namespace, "-f", "-", stdin=msgspec.json.encode({"nftables": commands}))

    async def _nft(self, namespace: Namespace, *arguments: str, stdin: bytes = b"") -> bytes:
        inside = ("ip", "netns", "exec", namespace) if namespace else ()
        words = (*inside, "nft", "-j", *arguments)
        command = prefixed(self._prefix, words) if self._prefix else words
        return await run(command, stdin=stdin, environment=self._environment)


def missing_programs() -> list[str]:
    """The programs that are not installed here; empty if all are."""
    path = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin" + os.pathsep + "/sbin"
    return [program for program in ("nft", "ip") if shutil.which(program, path=path) is None]


async def _each(namespaces: Collection[Namespace], work: Any) -> None:
    gate = asyncio.Semaphore(_AT_ONCE)
    reasons: dict[Namespace, str] = {}

    async def one(namespace: Namespace) -> None:
        async with gate:
            try:
                await work(namespace)
            except ProgramFailed as error:
                reasons[namespace] = error.stderr.strip()
            except (
                Exception
            ) as error:  # what one namespace says in a way that nobody expects is its own affair
                reasons[namespace] = f"{type(error).__name__}: {error}"

    await asyncio.gather(*map(one, namespaces))
    if reasons:
        raise FilterFailed(reasons)
