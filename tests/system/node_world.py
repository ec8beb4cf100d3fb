"""A node with all its network agents on real parts, and a server of this process that wants things of it.

Networks: ``net`` and ``other`` by VXLAN with a router, ``public`` flat on the physical network, where the
lab's wire stands for the world outside.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.system.bridge_lab import BridgeHost, BridgeLab
from tests.system.first import FIRST, prefer_switch
from tests.unit.l2.switch_server import SwitchServer
from tests.unit.namespace_server import NamespaceServer

from pileus.app.lab.lab import Guest, Lab, LabHost, Plug
from pileus.core.clock import SystemClock
from pileus.drivers.advertising.linux import LinuxAdvertisers
from pileus.drivers.bfd import driver as bird
from pileus.drivers.dnsmasq import driver as dnsmasq
from pileus.drivers.listening.linux import LinuxListeners
from pileus.drivers.netlink.links import Address, Route, Veth
from pileus.drivers.netlink.linux import LinuxLinks
from pileus.drivers.nft import driver as nft
from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.drivers.ovsdb.daemons import missing_programs
from pileus.drivers.process import ProgramFailed, run
from pileus.host.agent import Agent, AgentSettings
from pileus.host.dhcp.agent import DhcpAgent
from pileus.host.l2.agent import SwitchAgent
from pileus.host.l2.silence import Silence
from pileus.host.l3.agent import L3Agent
from pileus.host.metadata.agent import MetadataAgent
from pileus.host.namespaces.agent import NamespaceSettings
from pileus.wire.dhcp import DhcpHost, DhcpNetwork, DhcpSubnet, PortAddress, ServicePort
from pileus.wire.l3 import FloatingIP, RouterDetails, RouterPort, RouterSubnet
from pileus.wire.switch import (
    DeviceDetails,
    FixedIP,
    NetworkDetails,
    SecurityGroupDetails,
    SecurityRule,
    Segment,
    TunnelEndpoint,
)

HERE = Path(__file__).parent
CLIENT = HERE.parent / "dhcp_client.py"
TRAFFIC = HERE / "traffic.py"
NET, OTHER, PUBLIC = "net-0001", "net-0002", "net-pub"
ROUTER = "router-0001"
MTU = 1450
OUTSIDE = "172.24.4.1"
BEYOND = "198.51.100.7"
"""An address outside that is reached by the gateway only."""
_ids = itertools.count(os.getpid() % 1000 * 10)


def why_not_real() -> str | None:
    """Why this can't run here, in words for a skipped test."""
    if os.geteuid() != 0:
        return "needs root: namespaces and ovs-vswitchd"
    missing = [
        *(*missing_programs(), *dnsmasq.missing_programs(), *nft.missing_programs()),
        *bird.missing_programs(),
    ]
    if missing:
        return f"not installed: {', '.join(missing)}"
    return None if Path("/dev/net/tun").exists() else "the machine has no /dev/net/tun"


MECHANISMS = pytest.mark.parametrize("make_lab", [Lab, BridgeLab], ids=["openvswitch", "linuxbridge"])
"""What carries the ports of the node."""

REAL = [
    pytest.mark.real,
    pytest.mark.skipif(why_not_real() is not None, reason=why_not_real() or ""),
]


def subnet(network: int, **changes: Any) -> DhcpSubnet:
    return replace(
        DhcpSubnet(
            f"sub-{network}",
            f"10.{network}.0.0/24",
            4,
            True,
            gateway_ip=f"10.{network}.0.1",
            dns_nameservers=("9.9.9.9",),
            gateway_is_router=True,
        ),
        **changes,
    )


class NodeWorld:
    """One lab host with the switch, DHCP, L3 and metadata agents, each of which can be dropped and begun."""

    def __init__(self, lab: Lab, folder: Path, name: str) -> None:
        self.lab = lab
        self.name = name
        self.folder = folder
        self.host: LabHost = lab.hosts["n1"]
        self.switching = SwitchServer()
        self.server = NamespaceServer()
        self.links = LinuxLinks()
        self.dnsmasq = dnsmasq.Dnsmasq(folder / "dhcp")
        self.bird = bird.Bird(folder / "bfd")
        self.agents: dict[str, Any] = {}
        self.client: OvsdbClient
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._numbers = itertools.count(10)
        self.switching.tunnels = [TunnelEndpoint("n1", self.host.underlay_ip)]
        rules = (
            SecurityRule("o4", "egress", "IPv4"),
            SecurityRule("o6", "egress", "IPv6"),
            SecurityRule("i4", "ingress", "IPv4"),
            SecurityRule("i6", "ingress", "IPv6"),
        )
        self.switching.put_group(SecurityGroupDetails("open", rules))
        for network_id, segment in (
            (NET, Segment("vxlan", None, 101)),
            (OTHER, Segment("vxlan", None, 102)),
            (PUBLIC, Segment("flat", "physnet1", None)),
        ):
            mtu = 1500 if network_id == PUBLIC else MTU
            self.switching.put_network(NetworkDetails(network_id, segment, mtu))

    @property
    def outside(self) -> str:
        """The namespace that is the world outside."""
        return f"{self.name}-out"

    async def open(self) -> None:
        wire = f"{self.name}-wire"
        await self.links.ensure_namespaces([self.outside])
        await LinuxLinks(wire).ensure_veths([Veth("out", "eth0", self.outside)])
        await run(("ip", "-n", wire, "link", "set", "out", "master", "physical"))
        await self.links.ensure_addresses(
            [Address(self.outside, "eth0", f"{OUTSIDE}/24"), Address(self.outside, "lo", f"{BEYOND}/32")]
        )
        await self.start("switch")
        for kind in ("metadata", "dhcp", "l3"):
            await self.start(kind)
        await until(lambda: all(agent.metrics.full_passes for agent in self.agents.values()))
        prefer_switch(self.host.run_dir)

    async def close(self) -> None:
        for kind in list(self._tasks):
            await self.kill(kind)
        await self.dnsmasq.remove(await self.dnsmasq.known())
        await self.bird.remove(await self.bird.known())
        if hasattr(self, "client"):
            await self.client.close()

    # -- agents

    async def start(self, kind: str) -> None:
        """A new object of an agent, as a new process would have it."""
        agent = self.agents[kind] = self._make(kind)
        self._tasks[kind] = asyncio.create_task(agent.run())

    async def kill(self, *kinds: str) -> None:
        """Dropped wherever it is; nothing is told goodbye."""
        for kind in kinds:
            task = self._tasks.pop(kind)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _make(self, kind: str) -> Agent:
        settings = AgentSettings(host="n1")
        if kind == "switch" and isinstance(self.host, BridgeHost):
            return self.host.agent(self.switching)
        if kind == "switch":
            return SwitchAgent(
                settings,
                self.host.bridge_settings(),
                self.switching,
                SystemClock(),
                self.host.client(),
                self.host.flows(),
                silence=Silence(nft.Nft(), self.host.namespace),
                leases=self.folder / "leases.jsonl",
            )
        if kind == "metadata":
            return MetadataAgent(settings, self.server, SystemClock(), LinuxListeners())
        self.client = self.host.client()
        links = LinuxLinks(self.host.namespace)
        metadata = self.agents.get("metadata")
        namespaces = NamespaceSettings(namespace_prefix=f"{self.name}-q{kind}-", watch_interval_s=0.5)
        if kind == "dhcp":
            return DhcpAgent(
                settings,
                self.server,
                SystemClock(),
                self.client,
                links,
                self.dnsmasq,
                metadata=metadata,
                namespaces=namespaces,
            )
        parts = (links, nft.Nft(), LinuxAdvertisers())
        return L3Agent(
            settings,
            self.server,
            SystemClock(),
            self.client,
            *parts,
            bfd_routers=self.bird,
            metadata=metadata,
            namespaces=namespaces,
        )

    async def full_pass(self, kind: str) -> int:
        """How many changes a pass that takes nothing for granted makes."""
        agent = self.agents[kind]
        await agent.reconciler.settled()
        before = agent.metrics.full_passes
        agent.reconciler.wake(reread=True, inspect=True)
        await until(lambda: agent.metrics.full_passes > before)
        return int(agent.metrics.changes_of_last_full_pass)

    def namespace(self, kind: str, key: str) -> str:
        return f"{self.name}-q{kind}-{key}"

    # -- what is wanted

    def device(self, port: ServicePort, network_id: str, owner: str) -> None:
        """Tell the switch agent of an agent's own port."""
        details = DeviceDetails(
            port_id=port.port_id,
            network_id=network_id,
            mac_address=port.mac_address,
            port_security_enabled=False,
            fixed_ips=tuple(FixedIP(a.ip_address, a.subnet_id) for a in port.addresses),
            device_owner=owner,
        )
        self.switching.put_device(details, "n1")

    def network(self, number: int = 1, **changes: Any) -> DhcpNetwork:
        """A network with its DHCP, as it is now or with changes."""
        network_id = {1: NET, 2: OTHER}.get(number, f"net-{number:04}")
        present = self.server.networks.get(network_id)
        if present is None:
            port = ServicePort(
                f"{number:08x}-d",
                f"fa:16:3e:{number & 255:02x}:dd:{number >> 8:02x}",
                (PortAddress(f"10.{number}.0.2", f"sub-{number}"),),
                MTU,
            )
            self.device(port, network_id, "network:dhcp")
            present = DhcpNetwork(network_id, True, MTU, port, (subnet(number),))
        changed = replace(present, **changes)
        self.server.put_network(changed)
        return changed

    def router(self, **changes: Any) -> RouterDetails:
        """The router of ``net`` and ``other``, with the gateway 172.24.4.101."""
        present = self.server.routers.get(ROUTER)
        if present is None:
            interfaces = []
            for number, network_id in ((1, NET), (2, OTHER)):
                port = ServicePort(
                    f"{number:08x}-r",
                    f"fa:16:3e:{number:02x}:aa:01",
                    (PortAddress(f"10.{number}.0.1", f"sub-{number}"),),
                    MTU,
                )
                self.device(port, network_id, "network:router_interface")
                inner = RouterSubnet(f"sub-{number}", f"10.{number}.0.0/24", f"10.{number}.0.1")
                interfaces.append(RouterPort(port, network_id, (inner,)))
            port = ServicePort("000000gw-g", "fa:16:3e:00:bb:01", (PortAddress("172.24.4.101", "ext"),))
            self.device(port, PUBLIC, "network:router_gateway")
            gateway = RouterPort(port, PUBLIC, (RouterSubnet("ext", "172.24.4.0/24", OUTSIDE),))
            present = RouterDetails(ROUTER, "r", True, gateway, True, tuple(interfaces))
        changed = replace(present, **changes)
        self.server.put_router(changed)
        return changed

    def floating(self, number: int, address: str) -> FloatingIP:
        return FloatingIP(f"fip-{number}", f"172.24.4.{number}", address, "")

    async def guest(self, network: int = 1, *, address: str | None = None) -> tuple[Guest, DhcpHost]:
        """A guest that is plugged and wired, and has no address yet."""
        number = next(self._numbers)
        network_id = {1: NET, 2: OTHER}[network]
        host = DhcpHost(
            f"{number:08x}-v",
            f"fa:16:3e:{network:02x}:00:{number:02x}",
            (PortAddress(address or f"10.{network}.0.{number}", f"sub-{network}"),),
            f"host-{number}",
        )
        details = DeviceDetails(
            port_id=host.port_id,
            network_id=network_id,
            mac_address=host.mac_address,
            fixed_ips=tuple(FixedIP(a.ip_address, a.subnet_id) for a in host.addresses),
            security_group_ids=("open",),
            device_owner="compute:nova",
        )
        self.switching.put_device(details, "n1")
        guest = (await self.lab.plug_all([Plug("n1", host.port_id, host.mac_address)]))[0]
        await until(lambda: self.switching.devices[host.port_id].status == "ACTIVE", 20)
        return guest, host

    async def leased(self, guest: Guest, host: DhcpHost) -> dict[str, Any]:
        """Ask by DHCP until there is an answer, and take the address and routes that it brings."""
        async with asyncio.timeout(20):
            while (told := await self.ask(guest, host)) is None:
                pass
        await self.links.ensure_addresses([Address(guest.namespace, "eth0", f"{told['address']}/24")])
        pairs = [text.split(",") for text in told["routes"]]
        routes = [Route(guest.namespace, to, via, device="eth0") for to, via in pairs]
        if not routes and told["router"]:
            routes = [Route(guest.namespace, "0.0.0.0/0", via=told["router"])]
        await self.links.ensure_routes(routes)
        return told

    async def ask(self, guest: Guest, host: DhcpHost) -> dict[str, Any] | None:
        """One conversation by DHCP; None: nobody answered."""
        arguments = (sys.executable, str(CLIENT), "eth0", host.mac_address)
        told: dict[str, Any] | None = json.loads(await self.lab.run(guest, arguments))
        return told

    # -- what is to be seen

    async def pings(self, namespace: str, address: str, count: int = 2) -> bool:
        inside = ("ip", "netns", "exec", namespace)
        try:
            await run((*inside, "ping", "-c", str(count), "-i", "0.2", "-W", "1", address))
        except ProgramFailed:
            return False
        return True

    async def pings_soon(self, namespace: str, address: str, within_s: float = 15.0) -> None:
        async with asyncio.timeout(within_s):
            while not await self.pings(namespace, address, 1):
                pass

    async def curl(self, namespace: str, url: str, *more: str) -> str:
        """What a guest's curl gets; raises ProgramFailed."""
        inside = ("ip", "netns", "exec", namespace)
        return (await run((*inside, "curl", "-sS", "-m", "5", *more, url))).decode()

    @contextlib.asynccontextmanager
    async def program(self, namespace: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """traffic.py in a namespace, after it said that it is ready."""
        inside = (*FIRST, "ip", "netns", "exec", namespace)
        child = await asyncio.create_subprocess_exec(
            *inside,
            *(sys.executable, "-u", str(TRAFFIC), *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert child.stdout is not None
        try:
            if arguments[0] in ("receive", "serve"):
                assert await asyncio.wait_for(child.stdout.readline(), 5) == b"ready\n"
            yield child
        finally:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()

    async def ours(self) -> list[str]:
        """What there is of the DHCP and L3 agents: namespaces, interfaces, ports, processes."""
        inside = LinuxLinks(self.host.namespace)
        return [
            *await self.links.namespaces(f"{self.name}-q"),
            *(n for n, link in (await inside.links()).items() if link.label in ("pileus-dhcp", "pileus-l3")),
            *(
                name
                for name, row in self.client.by_name("Port").items()
                if row["external_ids"].get("pileus-owner") in ("dhcp", "l3")
            ),
            *await self.dnsmasq.known(),
            *await self.bird.known(),
        ]


async def until(condition: Callable[[], bool], within_s: float = 15.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


def story_in_a_world(story: Callable[[NodeWorld], Any], make_lab: type[Lab] = Lab) -> None:
    """Run a story in a lab of its own; afterwards nothing of it is left."""

    async def tell() -> None:
        name = f"pn{next(_ids) % 1000}"
        folder = Path(tempfile.mkdtemp(prefix=name))
        folder.chmod(0o755)  # dnsmasq reads its files as nobody
        try:
            async with make_lab(1, folder / "lab", name) as lab:
                world = NodeWorld(lab, folder, name)
                try:
                    await world.open()
                    await story(world)
                finally:
                    await world.close()
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    asyncio.run(tell())
