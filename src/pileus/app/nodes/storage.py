"""The parts of a node with pools of volumes, real and simulated."""

from __future__ import annotations

import contextlib
from pathlib import Path

from pileus.app.nodes.parts import MachineParts, StorageParts
from pileus.app.settings import Settings
from pileus.app.state import StateFolder
from pileus.core import log
from pileus.drivers.backups.chunks import Backups
from pileus.drivers.backups.objects import FolderObjects
from pileus.drivers.exports import iscsi
from pileus.drivers.exports.errors import ExportFailed
from pileus.drivers.exports.iscsi import Tgt
from pileus.drivers.libvirt.daemon import qemu_owner
from pileus.drivers.libvirt.simulated import SimulatedHypervisor
from pileus.drivers.pools.directory import DirectoryPool
from pileus.drivers.pools.pool import Live
from pileus.drivers.pools.simulated import simulated_pool
from pileus.drivers.qemu_img import driver as qemu_img
from pileus.drivers.qemu_img import locks
from pileus.drivers.qemu_img.driver import QemuImg
from pileus.host.blockdev.agent import StorageSettings
from pileus.host.blockdev.exports import Exporter, IscsiExporter, SimulatedNbd
from pileus.host.blockdev.pools import PoolParts
from pileus.host.blockdev.section import BlockStorageSection, DirectoryDeclaration
from pileus.host.hypervisor.images import ImageCache

logger = log.get("agent")

DEFAULT_POOL, SIMULATED_POOL = "local", "sim"
SIMULATED_BYTES = 2048 << 30


async def real_storage(
    folder: StateFolder, settings: Settings, machines: MachineParts | None
) -> StorageParts | None:
    """The pools that are declared, or one of our own. None where this node has none, or lacks the programs
    (the log says which). ``machines``: of the same node, whose images it shares."""
    declared = _declared(settings.block_storage, folder)
    if not declared:
        return None
    if missing := qemu_img.missing_programs():
        logger.warning("this node can't have volumes", missing=missing)
        return None
    owner = qemu_owner()
    images = QemuImg(user=owner)
    live: Live | None = machines.hypervisor if machines is not None else None
    pools = tuple(
        PoolParts(
            one,
            DirectoryPool(Path(one.path), images, owner=owner, live=live, is_written=_is_written),
            "directory",
        )
        for one in declared
    )
    backups = settings.block_storage.backup_folder
    return StorageParts(
        settings=_storage_settings(settings, folder.block_storage),
        pools=pools,
        cache=machines.cache if machines is not None else ImageCache(folder.image_cache, images),
        exporters=_exporters(settings, folder),
        backups=Backups(FolderObjects(Path(backups) if backups else folder.volume_backups)),
    )


def _is_written(path: Path) -> bool:
    return locks.is_written(path) or iscsi.is_served(path)


def _exporters(settings: Settings, folder: StateFolder) -> tuple[Exporter, ...]:
    section = settings.block_storage
    address = section.export_address or settings.hypervisor.migration_address or settings.switch.tunneling_ip
    if missing := iscsi.missing_programs():
        logger.info("other hosts can't open this node's volumes by iSCSI", missing=missing)
        return ()
    if not address:
        return ()
    return (IscsiExporter(_tgt(settings, folder, address), address),)


def _tgt(settings: Settings, folder: StateFolder, address: str) -> Tgt:
    return Tgt(folder.block_storage / "iscsi", address, settings.block_storage.iscsi_port)


async def end_exports(folder: StateFolder, settings: Settings) -> None:
    """Nothing of this node is open to others any more."""
    with contextlib.suppress(ExportFailed):
        await _tgt(settings, folder, "").stop()


def _declared(section: BlockStorageSection, folder: StateFolder) -> tuple[DirectoryDeclaration, ...]:
    if section.directory or not section.default_pool:
        return section.directory
    return (DirectoryDeclaration(name=DEFAULT_POOL, path=str(folder.volumes)),)


def simulated_storage(home: Path, settings: Settings, machines: MachineParts) -> StorageParts:
    """A pool without content for a simulated host, whose state is in files of its folder ``home``."""
    hypervisor = machines.hypervisor
    assert isinstance(hypervisor, SimulatedHypervisor)
    declared = DirectoryDeclaration(name=SIMULATED_POOL, path=str(home / "volumes"))
    pool = simulated_pool(home / "volumes", SIMULATED_BYTES, is_written=hypervisor.has_open, live=hypervisor)
    return StorageParts(
        settings=_storage_settings(settings, home / "block-storage", durable=False),
        pools=(PoolParts(declared, pool, "simulated", multiattach=True),),
        cache=machines.cache,
        backups=Backups(FolderObjects(home / "volume-backups")),
        exporters=(SimulatedNbd(),),
    )


def _storage_settings(settings: Settings, folder: Path, *, durable: bool = True) -> StorageSettings:
    return StorageSettings(
        folder=folder,
        heartbeat_interval_s=settings.network.heartbeat_interval_s,
        availability_zone=settings.agent.availability_zone,
        backup_place=settings.block_storage.backup_place if settings.block_storage.backup_folder else "",
        durable=durable,
    )
