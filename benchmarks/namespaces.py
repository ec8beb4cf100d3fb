"""How long a node's DHCP and L3 agents take for many networks and routers, on real parts.

    python -m benchmarks.namespaces [NETWORKS] [ROUTERS]

Needs root, Open vSwitch, dnsmasq and nftables. A floor stands beside: what the kernel and the programs
take without an agent.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from pathlib import Path

from msgspec.structs import replace
from tests.system.node_world import NodeWorld, until

from pileus.app.lab.lab import Lab
from pileus.app.nodes.limits import raise_limits, restore_limits
from pileus.core import log
from pileus.drivers.netlink.linux import LinuxLinks
from pileus.wire.dhcp import DhcpHost, DhcpNetwork, DhcpSubnet, PortAddress, ServicePort
from pileus.wire.l3 import RouterDetails, RouterPort, RouterSubnet

HOSTS = 5


def network(number: int) -> DhcpNetwork:
    key, net = f"{number:08x}", f"10.{number >> 8}.{number & 255}"
    mac = f"fa:16:3e:{number >> 8:02x}:{number & 255:02x}"
    return DhcpNetwork(
        f"{key}-net",
        True,
        1450,
        ServicePort(f"{key}-dhcp", f"{mac}:ff", (PortAddress(f"{net}.2", key),), 1450),
        (DhcpSubnet(key, f"{net}.0/24", 4, True, f"{net}.1", ("9.9.9.9",)),),
        tuple(
            DhcpHost(f"{key}-{n}", f"{mac}:{n:02x}", (PortAddress(f"{net}.{n}", key),), f"h-{n}")
            for n in range(10, 10 + HOSTS)
        ),
    )


def router(number: int) -> RouterDetails:
    key, net = f"{number:08x}", f"10.{number >> 8}.{number & 255}"
    mac = f"fa:16:3e:{number >> 8:02x}:{number & 255:02x}"
    inner = ServicePort(f"{key}-qr", f"{mac}:01", (PortAddress(f"{net}.1", key),), 1450)
    outer = ServicePort(
        f"{number:06x}g-gw", f"{mac}:02", (PortAddress(f"172.24.{number >> 8}.{number & 255}", "e"),)
    )
    return RouterDetails(
        f"{key}-router",
        "r",
        True,
        RouterPort(outer, "public", (RouterSubnet("e", "172.24.0.0/16", "172.24.255.1"),)),
        True,
        (RouterPort(inner, f"{key}-net", (RouterSubnet(key, f"{net}.0/24", f"{net}.1"),)),),
    )


async def main(networks: int, routers: int) -> None:
    log.setup("error", False)
    folder = Path(tempfile.mkdtemp(prefix="pbs"))
    folder.chmod(0o755)
    raise_limits(folder / "limits.json")
    try:
        async with Lab(1, folder / "lab", "pbs") as lab:
            world = NodeWorld(lab, folder, "pbs")
            try:
                await world.open()
                await world.kill("switch")
                await measure(world, networks, routers)
            finally:
                await world.close()
    finally:
        restore_limits(folder / "limits.json")
        shutil.rmtree(folder, ignore_errors=True)


async def measure(world: NodeWorld, networks: int, routers: int) -> None:
    await kill_and_clock(
        world, "dhcp", lambda: world.server.put_network(*(network(n) for n in range(1, networks + 1)))
    )
    server = world.server
    began = time.perf_counter()
    changed = network(7)
    more = DhcpHost("one-more", "fa:16:3e:99:99:99", (PortAddress("10.0.7.99", "00000007"),), "more")
    statuses = world.agents["dhcp"].metrics.passes
    server.put_network(replace(changed, hosts=(*changed.hosts, more)))
    await until(lambda: world.agents["dhcp"].metrics.passes > statuses)
    show("dhcp: one host more", began)
    await kill_and_clock(world, "l3", lambda: server.put_router(*(router(n) for n in range(1, routers + 1))))
    began = time.perf_counter()
    passes = world.agents["l3"].metrics.passes
    server.put_router(replace(router(7), floating_ips=(world.floating(200, "10.0.7.10"),)))
    await until(lambda: world.agents["l3"].metrics.passes > passes)
    show("l3: one floating IP more", began)
    began = time.perf_counter()
    names = await world.links.namespaces("pbs-qdhcp-")
    await LinuxLinks(world.host.namespace).read([None, *names])
    show(f"floor: read {len(names)} namespaces", began)
    began = time.perf_counter()
    server.networks.clear()
    server.routers.clear()
    server.changed("dhcp:n1", "l3:n1")
    await until(lambda: not world.agents["dhcp"]._done and not world.agents["l3"]._done, 120)
    show("all away", began)


async def kill_and_clock(world: NodeWorld, kind: str, change: object) -> None:
    agent = world.agents[kind]
    passes = agent.metrics.passes
    began = time.perf_counter()
    change()  # type: ignore[operator]
    await until(lambda: agent.metrics.passes > passes and len(agent._done) >= len(agent.desired) > 0, 300)
    show(f"{kind}: {len(agent.desired)} new", began)
    began = time.perf_counter()
    assert await world.full_pass(kind) == 0
    show(f"{kind}: a full pass", began)
    await world.kill(kind)
    began = time.perf_counter()
    await world.start(kind)
    await until(lambda: world.agents[kind].metrics.full_passes == 1, 120)
    assert world.agents[kind].metrics.changes == 0
    show(f"{kind}: restart until in sync", began)


def show(what: str, began: float) -> None:
    print(f"{what:<40} {(time.perf_counter() - began) * 1000:9.0f} ms", flush=True)


if __name__ == "__main__":
    arguments = [int(word) for word in sys.argv[1:]]
    asyncio.run(main(*(arguments or [200, 50])))
