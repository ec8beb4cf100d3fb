"""Guests and their host: nothing of theirs reaches its stack, and what somebody takes away comes back."""

import asyncio
import json
import os
import shutil
import sys
import time

import pytest
from msgspec.structs import replace
from tests.system.bridge_lab import BridgeLab
from tests.system.l2_fixtures import runner, shared_world, switch_world, world
from tests.system.l2_world import FORGER, TRAFFIC, World, until

from pileus.app.lab.lab import Guest
from pileus.drivers.netlink.linux import LinuxLinks
from pileus.drivers.nft import driver as nft
from pileus.drivers.openflow.flow import Flow
from pileus.drivers.process import run
from pileus.host.l2.tables import COOKIES

__all__ = ["runner", "shared_world", "switch_world", "world"]

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(shutil.which("ovs-vswitchd") is None, reason="needs Open vSwitch"),
]

FORGED = {"own", "mac", "ip", "arp", "na", "ra", "dhcp", "dhcp6"}


def test_what_a_guest_sends_to_a_bridge_never_reaches_the_host(world: World, runner: asyncio.Runner) -> None:
    """Frames to the bridge's own address and to the broadcast address, with the host's address in them."""
    if not isinstance(world.lab, BridgeLab):
        pytest.skip("Open vSwitch has no bridge of the kernel's")

    async def story() -> None:
        ((a, at_a),) = await world.guests(("n1", {}))
        host = world.lab.hosts["n1"]
        bridge = (await LinuxLinks(host.namespace).links())["brqnet"]
        here = Guest("n1", "", host.namespace, "")

        async def heard() -> int:
            async with world.program(here, "receive", "5353") as listening:
                for mac in (bridge.mac, "ff:ff:ff:ff:ff:ff"):
                    frames = (sys.executable, TRAFFIC, "frames", "eth0", mac, host.underlay_ip, "5353")
                    await world.lab.run(a, frames)
                await asyncio.sleep(0.2)
                listening.terminate()
                came, _ = await listening.communicate()
                return int(json.loads(came)["packets"])

        assert await heard() == 0
        await world.change(at_a, port_security_enabled=False, security_group_ids=())
        assert await heard() == 0, "nor without port security"
        # The test can see them: without the rules they arrive. Then the agent notices, and repairs.
        agent = world.agents["n1"]
        asleep, agent.reconciler.wake = agent.reconciler.wake, lambda *_, **__: None  # type: ignore[method-assign]
        await nft.Nft().remove({host.namespace: [("bridge", "pileus_ports")]})
        assert await heard() > 0
        changes = agent.metrics.changes
        agent.reconciler.wake = asleep  # type: ignore[method-assign]
        await until(lambda: agent.metrics.changes > changes)
        assert await heard() == 0

    runner.run(story())


def test_what_is_forged_reaches_nobody(world: World, runner: asyncio.Runner) -> None:
    """Other hardware and IP addresses, answers for others, a router's and DHCP servers' words."""

    async def story() -> None:
        (a, at_a), (b, _), (c, at_c) = await world.guests(("n1", {}), ("n1", {}), ("n2", {}))
        who = (at_a.fixed_ips[0].ip_address, *(fixed.ip_address for fixed in at_c.fixed_ips))

        async def heard() -> list[set[str]]:
            async with (
                world.program(b, FORGER, "listen", "eth0", *who) as near,
                world.program(c, FORGER, "listen", "eth0", *who) as far,
            ):
                await world.lab.run(a, [sys.executable, FORGER, "say", "eth0", *who])
                await asyncio.sleep(0.3)
                for one in (near, far):
                    one.terminate()
                return [set(json.loads((await one.communicate())[0])) for one in (near, far)]

        assert await heard() == [{"own"}, {"own"}]
        # All of it is well-formed: whoever has no port security may send it.
        await world.change(at_a, port_security_enabled=False, security_group_ids=())
        assert await heard() == [FORGED, FORGED]

    runner.run(story())


def test_what_is_taken_away_by_hand_comes_back(world: World, runner: asyncio.Runner) -> None:
    """A bridge, a tunnel, and an entry of the tunnel's table."""
    if not isinstance(world.lab, BridgeLab):
        pytest.skip("Open vSwitch has no links of the kernel's")

    async def story() -> None:
        (a, _), (_, b) = await world.guests(("n1", {}), ("n2", {}))
        host, address = world.lab.hosts["n1"], b.fixed_ips[0].ip_address
        assert await world.pings(a, address)
        for words in (
            ("ip", "link", "del", "brqnet"),
            ("ip", "link", "del", "vxlan-100"),
            ("bridge", "fdb", "del", "00:00:00:00:00:00", "dev", "vxlan-100", "dst", "192.0.2.2"),
            ("ip", "link", "set", a.interface, "nomaster"),
        ):
            await run(("ip", "netns", "exec", host.namespace, *words))
            async with asyncio.timeout(15):
                while not await world.pings(a, address, 1):
                    pass
        # Nothing of ours is left when the guests are gone.
        await world.clear()
        links = await LinuxLinks(host.namespace).links()
        assert not [name for name in links if name.startswith(("brq", "vxlan-"))]

    runner.run(story())


def test_flows_that_are_deleted_by_hand_come_back_within_a_second(
    world: World, runner: asyncio.Runner
) -> None:
    if isinstance(world.lab, BridgeLab):
        pytest.skip("Linux bridges have no flows")

    async def story() -> None:
        (a, _), (_, b) = await world.guests(("n1", {}), ("n1", {}))
        host, agent, address = world.lab.hosts["n1"], world.agents["n1"], b.fixed_ips[0].ip_address
        assert await world.pings(a, address)

        async def ours() -> set[Flow]:
            return {flow for flow in await host.flows().dump("br-int") if flow.cookie in COOKIES}

        for command in (
            ("del-flows", "br-int"),
            ("del-flows", "br-int", "table=61"),
            ("mod-flows", "br-int", "table=60,actions=drop"),
        ):
            await agent.reconciler.settled()
            before = await ours()
            name, bridge, *match = command
            target = f"unix:{host.run_dir}/{bridge}.mgmt"
            await run(("ovs-ofctl", "-O", "OpenFlow14", name, target, *match))
            began = time.monotonic()
            # More than a second with the pauses of a busy machine, and less than the two of counting, of
            # which a change of actions is nothing.
            async with asyncio.timeout(1.8):
                while {
                    flow for flow in await host.flows().dump("br-int") if flow.cookie in COOKIES
                } != before:
                    await asyncio.sleep(0.02)
            print(f"{command[0]}: repaired in {time.monotonic() - began:.2f} s")
            assert await world.pings(a, address)
        passes = agent.metrics.passes
        world.server.put_device(replace(b, security_group_ids=("closed",)), "n1")
        await until(lambda: agent.metrics.passes > passes)
        await agent.reconciler.settled()
        passes = agent.metrics.passes
        await asyncio.sleep(1.0)
        assert agent.metrics.passes == passes, "its own changes don't wake it"

    try:
        runner.run(story())
    finally:
        runner.run(world.clear())


def test_what_a_guest_sends_to_its_tap_or_to_everybody_never_reaches_the_host(
    switch_world: World, runner: asyncio.Runner
) -> None:
    """Frames to the device's own address and to the broadcast address, with the host's address in them."""
    world = switch_world

    async def story() -> None:
        (a, _), (b, at_b) = await world.guests(("n1", {}), ("n1", {}))
        host = world.lab.hosts["n1"]
        if host.datapath_type != "netdev":
            pytest.skip("the kernel's datapath takes what guests send before the host's stack can")
        tap = (await LinuxLinks(host.namespace).links())[a.interface]
        nft_here = nft.Nft()
        here = Guest("n1", "", host.namespace, "")

        async def heard() -> int:
            """Datagrams that a program of the host gets while the guest sends."""
            async with world.program(here, "receive", "5353") as listening:
                for mac in (tap.mac, "ff:ff:ff:ff:ff:ff"):
                    frames = (sys.executable, TRAFFIC, "frames", "eth0", mac, host.underlay_ip, "5353")
                    await world.lab.run(a, frames)
                await asyncio.sleep(0.2)
                listening.terminate()
                came, _ = await listening.communicate()
                return int(json.loads(came)["packets"])

        async def silenced() -> set[str]:
            found = (await nft_here.read([host.namespace]))[host.namespace]
            return set(found["netdev", "pileus_silence"].chains) if found else set()

        assert await silenced() >= {a.interface, b.interface}
        assert await heard() == 0
        assert await world.pings(a, at_b.fixed_ips[0].ip_address)
        # The test can see them: without the table they arrive.
        world.agents["n1"].reconciler.wake = lambda *_, **__: None  # type: ignore[method-assign]
        await nft_here.remove({host.namespace: [("netdev", "pileus_silence")]})
        assert await heard() > 0
        # A restart finds what is missing.
        await world.stop("n1")
        await world.start(host)
        await until(lambda: world.agents["n1"].metrics.full_passes > 0)
        assert await heard() == 0
        assert await world.pings(a, at_b.fixed_ips[0].ip_address)
        world.server.remove_device(b.port_id)
        await world.lab.unplug("n1", b.port_id)
        async with asyncio.timeout(10):
            while b.interface in await silenced():
                await asyncio.sleep(0.05)
        assert a.interface in await silenced()

    runner.run(story())
