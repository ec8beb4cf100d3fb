"""A machine at a port of a top-of-rack switch, Debian's emulator of one, is in a network of the cloud."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.system.l2_world import World, until

from pileus.app.lab.lab import Guest, Lab, LabHost
from pileus.core.clock import SystemClock
from pileus.drivers.netlink.links import Address, Veth
from pileus.drivers.netlink.linux import LinuxLinks
from pileus.drivers.physical.vtep import VtepSwitch
from pileus.drivers.process import run
from pileus.host.agent import AgentSettings
from pileus.host.physical.agent import PhysicalSwitchAgent
from pileus.wire import physical as wire
from pileus.wire import scopes
from pileus.wire.switch import Acknowledged, ForwardingEntry, TunnelEndpoint

EMULATOR = Path("/usr/share/openvswitch/scripts/ovs-vtep")
SCHEMA = "/usr/share/openvswitch/vtep.ovsschema"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not EMULATOR.exists(), reason="needs Debian's openvswitch-vtep"),
]
replace = msgspec.structs.replace
NOWHERE = "00:00:00:00:00:00"


class Rack:
    """The lab's last host as a switch with two ports, a machine at each."""

    def __init__(self, host: LabHost, name: str) -> None:
        self.host = host
        self.machines = [f"{name}-m{number}" for number in (1, 2)]
        self._environment = {
            **os.environ,
            "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin",
            **{f"OVS_{kind}DIR": str(host.run_dir) for kind in ("RUN", "LOG", "DB", "SYSCONF")},
        }
        self._emulator: asyncio.subprocess.Process | None = None

    async def run(self, *words: str) -> None:
        await run(("ip", "netns", "exec", self.host.namespace, *words), environment=self._environment)

    async def start(self) -> None:
        folder = self.host.run_dir
        await run(("ovsdb-tool", "create", str(folder / "vtep.db"), SCHEMA), environment=self._environment)
        control = ("-t", str(folder / "ovsdb-server.ctl"))
        await self.run("ovs-appctl", *control, "ovsdb-server/add-db", str(folder / "vtep.db"))
        datapath = f"datapath_type={self.host.datapath_type}"
        await self.run("ovs-vsctl", "add-br", "tor", "--", "set", "Bridge", "tor", datapath)
        database = f"--db={self.host.daemons.address}"
        await self.run("vtep-ctl", database, "add-ps", "tor")
        await self.run(
            "vtep-ctl", database, "set", "Physical_Switch", "tor", f"tunnel_ips={self.host.underlay_ip}"
        )
        links = LinuxLinks()
        await links.ensure_namespaces(self.machines)
        for number, machine in enumerate(self.machines, 1):
            await LinuxLinks(self.host.namespace).ensure_veths(
                [Veth(f"p{number}", "eth0", machine, mtu=1400)]
            )
            await links.set_up(["eth0", "lo"], machine)
            await links.ensure_addresses([Address(machine, "eth0", f"10.0.0.{200 + number}/24")])
            await self.run("ovs-vsctl", "add-port", "tor", f"p{number}")
            await self.run("vtep-ctl", database, "add-port", "tor", f"p{number}")
        self._emulator = await asyncio.create_subprocess_exec(
            *("ip", "netns", "exec", self.host.namespace, "/usr/bin/python3", str(EMULATOR), "tor"),
            env=self._environment,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=(folder / "ovs-vtep.err").open("wb"),
        )

    async def stop(self) -> None:
        if self._emulator is not None:
            self._emulator.terminate()
            await self._emulator.wait()
        await LinuxLinks().delete_namespaces(self.machines)

    def machine(self, number: int) -> Guest:
        return Guest(self.host.name, "", self.machines[number - 1], "eth0")


class RackServer:
    """The server's part about physical switches, beside the switches' own."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.attachments: list[wire.PhysicalAttachment] = []
        self.learned: dict[str, tuple[wire.LearnedAddress, ...]] = {}
        self.switches: dict[str, wire.PhysicalSwitch] = {}
        server: Any = world.server
        server._physical_state = self.state
        server._physical_status = self.status
        self._plain = server._with_forwarding
        server._with_forwarding = self._with_forwarding

    def _with_forwarding(self, network: Any, host: str) -> Any:
        details = self._plain(network, host)
        more = [
            ForwardingEntry(mac, (), one.name, one.tunnel_ip or "")
            for one in self.switches.values()
            for mac in (NOWHERE, *(seen.mac_address for seen in self.learned.get(one.name, ())))
            if any(at.network_id == network.network_id for at in self.attachments)
        ]
        return replace(details, forwarding=(*details.forwarding, *more))

    def state(self, request: wire.PhysicalStateRequest) -> wire.PhysicalState:
        server = self.world.server
        for one in request.switches:
            if self.switches.get(one.name) != one:
                self.switches[one.name] = one
                server.tunnels.append(TunnelEndpoint(one.name, one.tunnel_ip or "", ("vxlan",)))
                server.changed(scopes.tunnels())
        ids = {one.network_id for one in self.attachments}
        return wire.PhysicalState(
            position=server.position,
            attachments=tuple(self.attachments),
            networks=tuple(
                wire.PhysicalNetwork(key, network.segment, self._plain(network, "").forwarding)
                for key, network in server.networks.items()
                if key in ids
            ),
        )

    def status(self, status: wire.PhysicalStatus) -> Acknowledged:
        self.learned = dict(status.learned)
        self.world.server.changed(*(scopes.network(key) for key in self.world.server.networks))
        return Acknowledged()

    def attach(self, *attachments: wire.PhysicalAttachment) -> None:
        self.attachments = list(attachments)
        networks = (scopes.network(key) for key in self.world.server.networks)
        self.world.server.changed(scopes.physical("n1"), scopes.tunnels(), *networks)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def test_a_machine_of_a_rack_is_in_the_network_of_its_port(runner: asyncio.Runner) -> None:
    async def story() -> None:
        await lab.open()
        await rack.start()
        world = World(lab)
        server = RackServer(world)
        for host in (lab.hosts["n1"], lab.hosts["n2"]):
            await world.start(host)
        switch = VtepSwitch("tor", lab.hosts["n3"].daemons.address)
        agent = PhysicalSwitchAgent(AgentSettings(host="n1"), world.server, SystemClock(), (switch,))
        task = asyncio.create_task(agent.run())
        try:
            await follow(world, server)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            for name in list(world.tasks):
                await world.stop(name)

    async def follow(world: World, server: RackServer) -> None:
        (a, at_a), (b, at_b) = await world.guests(("n1", {}), ("n2", {}))
        one, other = rack.machine(1), rack.machine(2)
        near, far = (details.fixed_ips[0].ip_address for details in (at_a, at_b))
        assert not await world.pings(one, near, 1)
        server.attach(wire.PhysicalAttachment("tor", "p1", 0, "net"))
        await reached(world, one, near)
        await reached(world, one, far)
        # Who is at the port has been seen, and the nodes know the way to him alone.
        await until(lambda: bool(server.learned.get("tor")), 15)
        for guest in (a, b):
            assert await world.pings(guest, "10.0.0.201")
        assert not await world.pings(other, near, 1), "the other port has no network"
        server.attach(
            wire.PhysicalAttachment("tor", "p1", 0, "net"), wire.PhysicalAttachment("tor", "p2", 0, "net")
        )
        await reached(world, other, far)
        assert await world.pings(one, "10.0.0.202")
        server.attach()
        await until(lambda: not server.learned.get("tor"), 15)
        assert not await world.pings(one, near, 1)
        assert await world.pings(a, far), "the cloud's own ports are as before"

    async def reached(world: World, guest: Guest, address: str) -> None:
        """The emulator looks once a second."""
        async with asyncio.timeout(30):
            while not await world.pings(guest, address, 1):
                await asyncio.sleep(0.1)

    name = f"tp{os.getpid() % 1000}"
    lab = Lab(3, Path(tempfile.mkdtemp(prefix="plab")), name)
    rack = Rack(lab.hosts["n3"], name)
    try:
        runner.run(story())
    finally:
        runner.run(rack.stop())
        runner.run(lab.close())
        shutil.rmtree(lab._state, ignore_errors=True)
