"""Taps and tap mirrors on real Open vSwitch: who gets copies of what, and that nothing else changes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from tests.system.l2_world import OUT, World, until

from pileus.app.lab.lab import Guest, Lab
from pileus.drivers.process import run
from pileus.wire.switch import DeviceDetails, FixedIP, NetworkDetails, Segment
from pileus.wire.taps import PortTaps, Tap, TapMirror, TapService

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(shutil.which("ovs-vswitchd") is None, reason="needs Open vSwitch"),
]

replace = msgspec.structs.replace

SNIFFER = str(Path(__file__).with_name("sniffer.py"))
COLLECTOR = "192.0.2.100"
NUMBER = 4711

Plugged = tuple[Guest, DeviceDetails]


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def world(runner: asyncio.Runner) -> Iterator[World]:
    async def open_world() -> World:
        await lab.open()
        wire = f"{name}-wire"
        await run(("ip", "-n", wire, "address", "add", f"{COLLECTOR}/24", "dev", "underlay"))
        world = World(lab)
        world.server.networks["blue"] = NetworkDetails("blue", Segment("vxlan", None, 200))
        world.group("outward", *OUT)
        # A network whose segment is the number of the tap: the one is no way into the other.
        world.server.networks["same"] = NetworkDetails("same", Segment("vxlan", None, NUMBER))
        for host in lab.hosts.values():
            await world.start(host)
        await until(lambda: all(agent.metrics.full_passes for agent in world.agents.values()))
        return world

    async def close_world() -> None:
        for host in list(world.tasks):
            await world.stop(host)

    name = f"ta{os.getpid() % 1000}"
    lab = Lab(2, Path(tempfile.mkdtemp(prefix="plab")), name)
    try:
        world = runner.run(open_world())
        yield world
        runner.run(close_world())
    finally:
        runner.run(lab.close())


@contextlib.asynccontextmanager
async def sniffed(arguments: Sequence[str]) -> AsyncIterator[dict[str, int]]:
    """What a device gets meanwhile; filled in at the end."""
    found: dict[str, int] = {}
    child = await asyncio.create_subprocess_exec(
        *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    assert await asyncio.wait_for(child.stdout.readline(), 10) == b"ready\n"
    try:
        yield found
        await asyncio.sleep(0.3)
    finally:
        child.terminate()
        said, _ = await child.communicate()
        found |= json.loads(said)


def named(plugged: Plugged) -> tuple[Guest, str]:
    """A guest, and its address."""
    guest, device = plugged
    return guest, device.fixed_ips[0].ip_address


def at(world: World, guest: Guest) -> list[str]:
    return [*world.lab.inside(guest, [sys.executable, "-u", SNIFFER, "eth0"])]


def outside(world: World) -> list[str]:
    namespace = next(iter(world.lab.hosts.values())).namespace.rpartition("-")[0] + "-wire"
    return ["ip", "netns", "exec", namespace, sys.executable, "-u", SNIFFER, "underlay"]


def of(found: dict[str, int], *kinds: str) -> dict[str, int]:
    return {key: count for key, count in found.items() if key.startswith(kinds)}


async def tapped(
    world: World, source: DeviceDetails, target: DeviceDetails, direction: str, vlans: str = ""
) -> None:
    """Bring a tap into force, and wait until the agents say so."""
    here, there = world.server.hosts[source.port_id], world.server.hosts[target.port_id]
    tap = Tap("tap", NUMBER, direction, target.port_id, there, vlans)
    service = TapService("service", NUMBER, (here,) if here != there else ())
    world.server.taps.pop("tap", None)
    await world.change(target, taps=PortTaps(services=(service,)))
    await world.change(source, taps=PortTaps(taps=(tap,)))
    await until(lambda: world.server.taps == {"tap": "ACTIVE", "service": "ACTIVE"})


async def subport(world: World, trunk: DeviceDetails, vlan: int, network_id: str) -> None:
    """Give a guest on n1 a VLAN that is on a network of its own, and wait until it is."""
    sub = replace(
        trunk,
        port_id=f"{trunk.port_id}-{vlan}",
        network_id=network_id,
        fixed_ips=(FixedIP("10.0.0.201", "s4", "10.0.0.0/24"),),
        device_owner="trunk:subport",
        parent_id=trunk.port_id,
        vlan_id=vlan,
        status="DOWN",
    )
    world.server.put_device(sub, "n1")
    await until(lambda: world.server.devices[sub.port_id].status == "ACTIVE", 15)


async def delivered(world: World, sender: Guest, receiver: Guest, address: str) -> int:
    """Send packets that all arrive; how many."""
    sent, came = await world.count(sender, receiver, address, 200, 0.5)
    assert came["packets"] == sent
    return sent


async def gone(world: World, *devices: DeviceDetails) -> None:
    """Take taps away: nothing of them is left on any switch."""
    for one in devices:
        await world.change(one, taps=None)
    for host in world.lab.hosts.values():
        flows = await host.flows().dump("br-int")
        assert not [flow for flow in flows if flow.table in (11, 92)]
        assert not [name for name in world.agents[host.name].view().ports if name[:4] in ("tap-", "mir-")]


@pytest.mark.parametrize("where", ["n1", "n2"])
def test_a_tap_delivers_copies_and_nothing_else(world: World, runner: asyncio.Runner, where: str) -> None:
    async def copied(
        direction: str, source: Plugged, peer: Plugged, collector: Plugged, far: Plugged
    ) -> None:
        """Packets of three pairs, of which the tap copies those of its source and of its direction."""
        (a, own), (b, other), (c, _), (d, elsewhere) = map(named, (source, peer, collector, far))
        await tapped(world, source[1], collector[1], direction)
        async with sniffed(at(world, c)) as copies, sniffed(at(world, d)) as usual:
            sent, back, between = [
                await delivered(world, *pair) for pair in ((a, b, other), (b, a, own), (b, d, elsewhere))
            ]
        wanted = {}
        if direction != "IN":
            wanted[f"udp 0 {own}>{other}:5001"] = sent
        if direction != "OUT":
            wanted[f"udp 0 {other}>{own}:5001"] = back
        assert of(copies, "udp", "ip ") == wanted, direction
        assert of(usual, "udp") == {f"udp 0 {other}>{elsewhere}:5001": between}

    async def story() -> None:
        guests = await world.guests(
            ("n1", {}), ("n1", {}), (where, {"security_group_ids": ("outward",)}), ("n2", {})
        )
        (a, own), (b, other), (c, collector), (d, far) = map(named, guests)
        for guest, address in ((a, other), (a, far), (b, own), (d, own)):
            assert await world.pings(guest, address)
        for direction in ("OUT", "IN", "BOTH"):
            await copied(direction, *guests)
        # The receiver is a port as ever, whose groups let nothing in; and none of its own frames is copied.
        assert not await world.pings(a, collector, 1)
        assert await world.pings(c, own)
        await gone(world, guests[0][1], guests[2][1])
        async with sniffed(at(world, c)) as copies:
            await world.count(a, b, other, 200, 0.3)
        assert of(copies, "udp") == {}

    try:
        runner.run(story())
    finally:
        runner.run(world.clear())


def test_what_is_dropped_on_the_way_in_is_not_copied_and_what_is_sent_is(
    world: World, runner: asyncio.Runner
) -> None:
    async def story() -> None:
        (a, at_a), (b, at_b), (c, at_c) = await world.guests(
            ("n1", {"security_group_ids": ("closed",)}), ("n1", {}), ("n1", {})
        )
        own, other = (one.fixed_ips[0].ip_address for one in (at_a, at_b))
        await tapped(world, at_a, at_c, "IN")
        async with sniffed(at(world, c)) as copies:
            await world.count(b, a, own, 200, 0.3)
        assert of(copies, "udp") == {}
        await tapped(world, at_b, at_c, "OUT")
        async with sniffed(at(world, c)) as copies:
            sent, came = await world.count(b, a, own, 200, 0.3)
        assert came["packets"] == 0
        assert of(copies, "udp") == {f"udp 0 {other}>{own}:5001": sent}

    try:
        runner.run(story())
    finally:
        runner.run(world.clear())


@pytest.mark.parametrize("where", ["n1", "n2"])
def test_a_tap_of_a_trunk_by_its_vlans(world: World, runner: asyncio.Runner, where: str) -> None:
    async def story() -> None:
        blue = {"network_id": "blue"}
        (a, at_a), (_, at_b), (c, at_c), (_, at_d) = await world.guests(
            ("n1", {}), ("n2", blue), (where, {}), ("n1", {})
        )
        own, there, near = at_a.fixed_ips[0].ip_address, at_b.fixed_ips[0].ip_address, at_d.fixed_ips[0]
        await subport(world, at_a, 101, "blue")
        await subport(world, at_a, 102, "same")

        async def asked(vlans: str) -> dict[str, int]:
            await tapped(world, at_a, at_c, "BOTH", vlans)
            async with sniffed(at(world, c)) as copies:
                assert await world.tagged_ping(a, 101, "10.0.0.201", there) == "101"
                assert await world.tagged_ping(a, 0, own, near.ip_address) == "0"
            return of(copies, "icmp", "udp")

        tagged = {f"icmp 101 10.0.0.201>{there}", f"icmp 101 {there}>10.0.0.201"}
        plain = {f"icmp 0 {own}>{near.ip_address}", f"icmp 0 {near.ip_address}>{own}"}

        assert set(await asked("101")) == tagged
        assert set(await asked("90-101")) == tagged
        assert set(await asked("102,200-300")) == set()
        assert set(await asked("0")) == plain
        assert set(await asked("0,101")) == tagged | plain
        assert set(await asked("")) == plain

    try:
        runner.run(story())
    finally:
        runner.run(world.clear())


@pytest.mark.parametrize("kind", ["gre", "erspanv1"])
def test_a_mirror_goes_to_a_collector_outside(world: World, runner: asyncio.Runner, kind: str) -> None:
    async def story() -> None:
        (a, at_a), (b, at_b) = await world.guests(("n1", {}), ("n2", {}))
        own, other = at_a.fixed_ips[0].ip_address, at_b.fixed_ips[0].ip_address
        assert await world.pings(a, other)
        shown = "gre" if kind == "gre" else "erspan"
        mirror = TapMirror("mirror", kind, COLLECTOR, in_key=101, out_key=102)
        for keys, inward, outward in (
            ({"in_key": 101, "out_key": 102}, 101, 102),
            ({"in_key": None, "out_key": 102}, None, 102),
            ({"in_key": None, "out_key": None, "both_key": 103}, 103, 103),
        ):
            await world.change(at_a, taps=PortTaps(mirrors=(replace(mirror, **keys),)))
            await world.pings(a, other)  # the collector's hardware address is found by the first ones
            async with sniffed(outside(world)) as copies:
                sent, came = await world.count(a, b, other, 200, 0.5)
                back, came_back = await world.count(b, a, own, 200, 0.5)
            assert (came["packets"], came_back["packets"]) == (sent, back)
            wanted = {f"{shown} {outward} udp 0 {own}>{other}:5001": sent}
            if inward is not None:
                wanted[f"{shown} {inward} udp 0 {other}>{own}:5001"] = back
            assert {key: n for key, n in of(copies, shown).items() if " udp " in key} == wanted
        # What the collector sends back comes nowhere, and a node is none.
        await world.change(at_a, taps=PortTaps(mirrors=(replace(mirror, remote_ip="192.0.2.2"),)))
        await gone_mirrors(world)
        await gone(world, at_a)

    async def gone_mirrors(world: World) -> None:
        view = world.agents["n1"].view()
        assert not [name for name in view.ports if name.startswith("mir-")]

    try:
        runner.run(story())
    finally:
        runner.run(world.clear())
