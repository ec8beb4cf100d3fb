"""The parts of a node that runs machines, real and simulated."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
from pathlib import Path

import msgspec

from pileus.app.nodes.parts import MachineParts
from pileus.app.settings import Settings
from pileus.app.state import StateFolder
from pileus.core import log
from pileus.drivers.guestimage.simulated import gateway_guest
from pileus.drivers.libvirt import daemon
from pileus.drivers.libvirt.kvm import probe_kvm
from pileus.drivers.libvirt.simulated import SimulatedHypervisor
from pileus.drivers.process import ProgramFailed
from pileus.drivers.qemu_img.driver import QemuImg
from pileus.drivers.qemu_img.simulated import SimulatedImages
from pileus.host.hypervisor.images import ImageCache
from pileus.host.hypervisor.settings import NodeSettings

logger = log.get("agent")

LOOK_EVERY_S = 2.0
SIMULATED_DISK_GIB = 2048
LOOPBACK = "127.0.0.1"
"""Simulated hosts reach each other here, whatever addresses they say they have."""


async def real_machines(
    folder: StateFolder, settings: Settings, *, offloads: bool, address: str
) -> MachineParts | None:
    """libvirt, which is started where none runs, with QEMU's tools. None where this node has no machines, by
    its settings or for want of programs (the log says which). ``address``: of the node, where its settings
    say none for machines that come."""
    wanted = settings.hypervisor
    if wanted.driver == "none":
        return None
    missing = daemon.missing_programs()
    if importlib.util.find_spec("libvirt") is None:
        missing.append("Python's libvirt module (pip install pileus[libvirt])")
    if missing:
        logger.warning("this node can't run machines", missing=missing)
        return None
    kvm = wanted.kvm == "on"
    if wanted.kvm in ("auto", "try"):
        verdict = await probe_kvm(folder.kvm, nested=wanted.kvm == "try")
        kvm = verdict.works
        logger.info("machines run under KVM" if kvm else "machines are emulated", reason=verdict.reason)
    from pileus.drivers.libvirt.driver import LibvirtHypervisor

    uri = wanted.uri or await daemon.system_uri()
    if uri is None:
        own = daemon.LibvirtDaemon(folder.libvirt, kvm=kvm)
        await own.start()
        uri = own.uri
    images = QemuImg()
    return MachineParts(
        settings=_node_settings(settings, folder.instances, kvm=kvm, offloads=offloads, address=address),
        hypervisor=LibvirtHypervisor(uri),
        images=images,
        cache=ImageCache(folder.image_cache, images),
    )


async def keep_running(folder: StateFolder, kvm: bool) -> None:
    """Start our own libvirtd again when it dies, from now on; returns at once where there is none (the
    system's is its service manager's affair)."""
    own = daemon.LibvirtDaemon(folder.libvirt, kvm=kvm)
    running = own.pid() is not None
    while running:
        await asyncio.sleep(LOOK_EVERY_S)
        if own.pid() is not None:
            continue
        logger.warning("libvirtd has died: starting it again", folder=str(own.root))
        try:
            await own.start()
        except ProgramFailed as error:
            logger.error("libvirtd can't be started", error=str(error))


async def remove_own_libvirt(folder: StateFolder) -> None:
    """End the libvirtd that we started, if there is one; nothing of it is left, nor base images."""
    await daemon.LibvirtDaemon(folder.libvirt).stop()
    for path in (folder.libvirt, folder.image_cache):
        await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)


def simulated_cache(folder: StateFolder) -> ImageCache:
    """The base images of all simulated hosts: what many of them need is fetched once."""
    return ImageCache(folder.hosts / "image-cache", SimulatedImages())


def simulated_machines(home: Path, settings: Settings, cache: ImageCache) -> MachineParts:
    """The twins for a simulated host, whose state is kept in files of its folder ``home``."""
    simulated = msgspec.structs.replace(
        _node_settings(settings, home / "instances", kvm=True, offloads=True, address=LOOPBACK),
        durable=False,
        migration_address=LOOPBACK,
        migration_ports=range(0),
    )
    images = SimulatedImages()

    async def copy(source: Path, target: Path) -> None:
        await images.convert(source, "qcow2", target, "qcow2")

    return MachineParts(
        settings=msgspec.structs.replace(simulated, disk_gib=SIMULATED_DISK_GIB),
        hypervisor=SimulatedHypervisor(home / "domains.json", guest=gateway_guest, copy=copy),
        images=images,
        cache=cache,
        memory_used=lambda: 0,
    )


def boot_id() -> str:
    """The id of this run of the machine (proc_sys_kernel(5)); empty where the kernel does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _node_settings(
    settings: Settings, instances: Path, *, kvm: bool, offloads: bool, address: str
) -> NodeSettings:
    first, _, last = settings.hypervisor.migration_ports.partition("-")
    return NodeSettings(
        instances=instances,
        integration_bridge=settings.switch.integration_bridge,
        kvm=kvm,
        offloads=offloads,
        display=settings.hypervisor.display,
        shutdown_timeout_s=settings.hypervisor.shutdown_timeout_s,
        reserved_memory_mib=settings.hypervisor.reserved_memory_mib,
        reserved_disk_gib=settings.hypervisor.reserved_disk_gib,
        heartbeat_interval_s=settings.network.heartbeat_interval_s,
        availability_zone=settings.agent.availability_zone,
        migration_address=settings.hypervisor.migration_address or address,
        migration_ports=range(int(first), int(last) + 1) if last else range(0),
        boot_id=boot_id(),
        resume=settings.hypervisor.resume_guests_state_on_host_boot,
    )
