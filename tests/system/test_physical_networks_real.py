"""Two physical networks: what is on one never comes out of the other, and a routed network joins them."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.system.l2_world import ANYONE, World, until
from tests.unit.l2.switch_server import SwitchServer

from pileus.app.lab.lab import PHYSICAL_BRIDGE, Guest, Lab, LabHost, Plug
from pileus.drivers.netlink.links import Address, Veth
from pileus.drivers.netlink.linux import LinuxLinks
from pileus.drivers.ovsdb.edit import Edit
from pileus.drivers.process import run
from pileus.host.l2.settings import BridgeSettings
from pileus.wire.switch import DeviceDetails, FixedIP, NetworkDetails, Segment

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(shutil.which("ovs-vswitchd") is None, reason="needs Open vSwitch"),
]

replace = msgspec.structs.replace
SECOND = "br-ex2"


class RackHost(LabHost, frozen=True):
    """A host with a bridge for each of two physical networks."""

    def bridge_settings(self) -> BridgeSettings:
        mappings = (("physnet1", PHYSICAL_BRIDGE), ("physnet2", SECOND))
        return replace(super().bridge_settings(), bridge_mappings=mappings)


class RackServer(SwitchServer):
    """Knows the segment by which each host carries a network, as the server tells it."""

    segments: dict[tuple[str, str], Segment] = {}  # noqa: RUF012

    def _with_forwarding(self, network: NetworkDetails, host: str) -> NetworkDetails:
        own = self.segments.get((network.network_id, host))
        return super()._with_forwarding(network if own is None else replace(network, segment=own), host)


class Racks:
    """The lab with a second wire, a world of agents in it, and a router between the wires."""

    def __init__(self) -> None:
        self.name = f"pp{os.getpid() % 1000}"
        self.lab = Lab(2, Path(tempfile.mkdtemp(prefix="plab")), self.name)
        self.lab.hosts = {
            name: RackHost(**msgspec.structs.asdict(host)) for name, host in self.lab.hosts.items()
        }
        self.world = World(self.lab)
        tunnels = self.world.server.tunnels
        self.world.server = self.server = RackServer()
        self.server.tunnels = tunnels
        self.world.group("open", *ANYONE)
        self.server.networks = {
            "red": NetworkDetails("red", Segment("vlan", "physnet1", 1234)),
            "blue": NetworkDetails("blue", Segment("vlan", "physnet2", 1234)),
            "flat": NetworkDetails("flat", Segment("flat", "physnet2")),
            "routed": NetworkDetails("routed", Segment("flat", "physnet1")),
        }
        self.server.segments = {
            ("routed", "n1"): Segment("flat", "physnet1"),
            ("routed", "n2"): Segment("flat", "physnet2"),
        }

    @property
    def router(self) -> str:
        return f"{self.name}-router"

    async def open(self) -> None:
        await self.lab.open()
        wire, links = f"{self.name}-wire", LinuxLinks(f"{self.name}-wire")
        await run(("ip", "-n", wire, "link", "add", "physical2", "type", "bridge"))
        await links.set_up(["physical2"], wire)
        await LinuxLinks().ensure_namespaces([self.router])
        for host in self.lab.hosts.values():
            await links.ensure_veths([Veth(f"q-{host.name}", "phys1", host.namespace)])
            await run(("ip", "-n", wire, "link", "set", f"q-{host.name}", "master", "physical2"))
            client = host.client()
            await client.connect(15)
            edit = Edit(client)
            edit.ensure_bridge(SECOND, datapath_type=host.datapath_type)
            edit.ensure_port(SECOND, "phys1")
            await edit.commit(wait_s=15)
            await client.close()
        for number, bridge in ((1, "physical"), (2, "physical2")):
            await links.ensure_veths([Veth(f"r-{number}", f"eth{number}", self.router)])
            await run(("ip", "-n", wire, "link", "set", f"r-{number}", "master", bridge))
        await LinuxLinks().ensure_addresses(
            Address(self.router, f"eth{number}", f"10.{number}.0.1/24") for number in (1, 2)
        )
        await run(("ip", "netns", "exec", self.router, "sysctl", "-qw", "net.ipv4.ip_forward=1"))
        for host in self.lab.hosts.values():
            await self.world.start(host)
        await until(lambda: all(agent.metrics.full_passes for agent in self.world.agents.values()), 20)

    async def close(self) -> None:
        for name in list(self.world.tasks):
            await self.world.stop(name)
        await self.lab.close()

    async def routed_guest(self, host: str, number: int) -> Guest:
        """A guest of the routed network, with an address and the gateway of its host's segment."""
        details = DeviceDetails(
            port_id=f"routed-{host}",
            network_id="routed",
            mac_address=f"fa:16:3e:00:01:0{number}",
            fixed_ips=(FixedIP(f"10.{number}.0.10", f"s{number}", f"10.{number}.0.0/24"),),
            security_group_ids=("open",),
            device_owner="compute:nova",
        )
        self.server.put_device(details, host)
        ips = (f"10.{number}.0.10/24",)
        plug = Plug(host, details.port_id, details.mac_address, ips, f"10.{number}.0.1")
        (guest,) = await self.lab.plug_all([plug])
        await until(lambda: self.server.devices[details.port_id].status == "ACTIVE", 15)
        return guest


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def racks(runner: asyncio.Runner) -> Iterator[Racks]:
    racks = Racks()
    try:
        runner.run(racks.open())
        yield racks
    finally:
        runner.run(racks.close())


def test_the_same_tag_on_two_physical_networks_is_two_networks(racks: Racks, runner: asyncio.Runner) -> None:
    async def story() -> None:
        world = racks.world
        red, blue, flat = ({"network_id": one} for one in ("red", "blue", "flat"))
        (a, _), (_, at_b), (c, _), (_, at_d), (_, at_e) = await world.guests(
            ("n1", red), ("n2", red), ("n1", blue), ("n2", blue), ("n2", flat)
        )
        for sender, friend, strangers in ((a, at_b, (at_d, at_e)), (c, at_d, (at_b, at_e))):
            for fixed in friend.fixed_ips:
                assert await world.pings(sender, fixed.ip_address), fixed
            for stranger in strangers:
                assert not await world.pings(sender, stranger.fixed_ips[0].ip_address, 1)

    try:
        runner.run(story())
    finally:
        runner.run(racks.world.clear())


def test_guests_of_a_routed_network_reach_each_other_through_its_router(
    racks: Racks, runner: asyncio.Runner
) -> None:
    async def story() -> None:
        world = racks.world
        one, other = await racks.routed_guest("n1", 1), await racks.routed_guest("n2", 2)
        assert await world.pings(one, "10.1.0.1")
        assert await world.pings(one, "10.2.0.10")
        assert await world.pings(other, "10.1.0.10")
        sent, came = await world.count(one, other, "10.2.0.10", 200, 1.0)
        assert came["packets"] == sent
        # Without the router there is no way: no switch and no tunnel leads from segment to segment.
        for number in (1, 2):
            await run(("ip", "-n", racks.router, "link", "set", f"eth{number}", "down"))
        assert not await world.pings(one, "10.2.0.10", 1)

    try:
        runner.run(story())
    finally:
        runner.run(racks.world.clear())
