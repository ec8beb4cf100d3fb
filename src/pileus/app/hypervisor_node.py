"""The hypervisor agent of a node, real and simulated, put together."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from pileus.app.state import StateFolder
from pileus.bus.client import WireClient
from pileus.core import log
from pileus.core.clock import SystemClock
from pileus.core.settings import Settings
from pileus.drivers.libvirt import daemon
from pileus.drivers.libvirt.kvm import probe_kvm
from pileus.drivers.libvirt.simulated import SimulatedHypervisor
from pileus.drivers.netlink.links import Links
from pileus.drivers.netlink.linux import LinuxLinks
from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.drivers.qemu_img.driver import QemuImg
from pileus.drivers.qemu_img.simulated import SimulatedImages
from pileus.host.agent import AgentSettings
from pileus.host.hypervisor.agent import HypervisorAgent
from pileus.host.hypervisor.images import ImageCache
from pileus.host.hypervisor.settings import NodeSettings

logger = log.get("agent")


async def real_agent(
    folder: StateFolder,
    settings: Settings,
    node: AgentSettings,
    server: WireClient,
    client: OvsdbClient,
    datapath_type: str,
) -> HypervisorAgent | None:
    """The agent over libvirt, which is started where none runs; ``client`` becomes the agent's own. None
    where this node has no machines, by its settings or for want of programs (the log says which)."""
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
    if wanted.kvm == "auto":
        verdict = await probe_kvm(folder.agent / "kvm.json")
        kvm = verdict.works
        logger.info("tried KVM", works=kvm, reason=verdict.reason)
    from pileus.drivers.libvirt.driver import LibvirtHypervisor

    uri = wanted.uri or await daemon.system_uri()
    if uri is None:
        own = daemon.LibvirtDaemon(folder.libvirt, kvm=kvm)
        await own.start()
        uri = own.uri
    images = QemuImg()
    return HypervisorAgent(
        node,
        _node_settings(settings, folder.instances, kvm=kvm, offloads=datapath_type != "netdev"),
        server,
        SystemClock(),
        LibvirtHypervisor(uri),
        images,
        ImageCache(folder.image_cache, images),
        LinuxLinks(),
        client,
    )


async def stop_own_libvirt(folder: StateFolder) -> None:
    """End the libvirtd that we started, if there is one."""
    await daemon.LibvirtDaemon(folder.libvirt).stop()


def simulated_agent(
    home: Path, settings: Settings, node: AgentSettings, server: WireClient, client: OvsdbClient, links: Links
) -> HypervisorAgent:
    """The same agent on a simulated host, whose state is kept in files of its folder ``home``."""
    images = SimulatedImages()
    return HypervisorAgent(
        node,
        _node_settings(settings, home / "instances", kvm=True, offloads=True, durable=False),
        server,
        SystemClock(),
        SimulatedHypervisor(home / "domains.json"),
        images,
        ImageCache(home / "image-cache", images),
        links,
        client,
    )


def _node_settings(
    settings: Settings, instances: Path, *, kvm: bool, offloads: bool, durable: bool = True
) -> NodeSettings:
    return NodeSettings(
        instances=instances,
        integration_bridge=settings.switch.integration_bridge,
        kvm=kvm,
        offloads=offloads,
        shutdown_timeout_s=settings.hypervisor.shutdown_timeout_s,
        reserved_memory_mib=settings.hypervisor.reserved_memory_mib,
        reserved_disk_gib=settings.hypervisor.reserved_disk_gib,
        heartbeat_interval_s=settings.network.heartbeat_interval_s,
        availability_zone=settings.agent.availability_zone,
        durable=durable,
    )
