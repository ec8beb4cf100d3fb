"""A hypervisor agent in a process of its own, to be killed: ``python hypervisor_node.py SETTINGS.json``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec

from pileus.bus.client import WireClient
from pileus.core.clock import SystemClock
from pileus.drivers.libvirt.driver import LibvirtHypervisor
from pileus.drivers.netlink.linux import LinuxLinks
from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.drivers.qemu_img.driver import QemuImg
from pileus.host.agent import AgentSettings
from pileus.host.hypervisor.agent import HypervisorAgent
from pileus.host.hypervisor.images import ImageCache
from pileus.host.hypervisor.settings import NodeSettings


class NodePlan(msgspec.Struct):
    """Where everything is."""

    host: str
    server: str
    token: str
    libvirt: str
    switch: str
    namespace: str
    instances: str
    images: str


async def main(plan: NodePlan) -> None:
    images = QemuImg()
    async with WireClient(plan.server, plan.token) as client:
        agent = HypervisorAgent(
            AgentSettings(host=plan.host),
            NodeSettings(instances=Path(plan.instances), offloads=False, shutdown_timeout_s=20),
            client,
            SystemClock(),
            LibvirtHypervisor(plan.libvirt),
            images,
            ImageCache(Path(plan.images), images),
            LinuxLinks(plan.namespace),
            OvsdbClient(plan.switch),
        )
        await agent.run()


if __name__ == "__main__":
    asyncio.run(main(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=NodePlan)))
