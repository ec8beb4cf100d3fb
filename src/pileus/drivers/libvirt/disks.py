"""Disks of machines that go on: files that grow or end below them, sources with secrets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

import libvirt

from pileus.drivers.libvirt import domain as xml
from pileus.drivers.libvirt import open_files, sources
from pileus.drivers.libvirt.connection import Connection
from pileus.drivers.libvirt.hypervisor import HypervisorFailed
from pileus.drivers.libvirt.leaving import Leaving
from pileus.drivers.libvirt.sources import Secret

_BYTES = libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES
_MOVE = (
    libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
    | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT
    | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
    | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC
)


class Disks(Leaving):
    """The part of a hypervisor that pools of volumes ask, too. ``prefix``: of our machines' names."""

    def __init__(self, uri: str, connection: Connection, prefix: str) -> None:
        super().__init__(uri, connection)
        self._prefix = prefix

    async def resize_file(self, path: Path, size: int) -> bool:
        """See Hypervisor."""
        return await self._with_file(
            "resize_file", path, lambda domain, target: domain.blockResize(target, size, _BYTES)
        )

    async def move_to_overlays(self, moves: Mapping[Path, Path]) -> set[Path]:
        """See Hypervisor."""

        def work(connection: libvirt.virConnect) -> set[Path]:
            moved = set()
            for domain, definition in self._running(connection):
                targets = {path: open_files.target_of(definition, path) for path in moves}
                mine = {target: moves[path] for path, target in targets.items() if target is not None}
                if mine:
                    others = xml.disk_targets(definition)
                    domain.snapshotCreateXML(open_files.render_moves(mine, others), _MOVE)
                    moved |= {path for path, target in targets.items() if target is not None}
            return moved

        return await self._connection.call("move_to_overlays", work)

    def _running(self, connection: libvirt.virConnect) -> Iterator[tuple[libvirt.virDomain, str]]:
        """Our machines that run, and what they are now."""
        for domain in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
            if domain.name().startswith(self._prefix):
                yield domain, str(domain.XMLDesc())

    async def _with_file(
        self, verb: str, path: Path, work: Callable[[libvirt.virDomain, str], object]
    ) -> bool:
        def look(connection: libvirt.virConnect) -> bool:
            for domain, definition in self._running(connection):
                if (target := open_files.target_of(definition, path)) is not None:
                    work(domain, target)
                    return True
            return False

        return await self._connection.call(verb, look)

    async def resize_disk(self, uuid: str, serial: str, size: int) -> None:
        """See Hypervisor."""
        alias = xml.disk_alias(serial)

        def work(domain: libvirt.virDomain) -> None:
            if domain.isActive():
                target = xml.target_of_alias(domain.XMLDesc(), alias)
                if target is None:
                    raise HypervisorFailed("resize_disk", f"the machine has no disk {serial}")
                domain.blockResize(target, size, _BYTES)

        await self._connection.call(
            "resize_disk", lambda connection: work(connection.lookupByUUIDString(uuid))
        )

    async def ensure_secrets(self, secrets: Sequence[Secret]) -> None:
        """See Hypervisor."""

        def work(connection: libvirt.virConnect) -> None:
            for secret in secrets:
                connection.secretDefineXML(sources.render_secret(secret), 0).setValue(secret.value, 0)

        await self._connection.call("ensure_secrets", work)

    async def drop_secrets(self, uuids: Collection[str]) -> None:
        """See Hypervisor."""

        def work(connection: libvirt.virConnect) -> None:
            for uuid in uuids:
                try:
                    connection.secretLookupByUUIDString(uuid).undefine()
                except libvirt.libvirtError as error:
                    if error.get_error_code() != libvirt.VIR_ERR_NO_SECRET:
                        raise

        await self._connection.call("drop_secrets", work)
