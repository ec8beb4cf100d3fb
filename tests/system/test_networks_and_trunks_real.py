"""Networks of all types, and trunks, on real Open vSwitch: who reaches whom, and who never does.

The kernel may lack 802.1Q, so the guest's VLANs are raw sockets.
"""

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
from tests.system.l2_world import ANYONE, TO_ALL, World, until

from pileus.app.lab.lab import Lab
from pileus.wire.switch import DeviceDetails, FixedIP, NetworkDetails, Segment

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(shutil.which("ovs-vswitchd") is None, reason="needs Open vSwitch"),
]

replace = msgspec.structs.replace


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def world(runner: asyncio.Runner) -> Iterator[World]:
    async def open_world() -> World:
        await lab.open()
        world = World(lab, ("vxlan", "gre"))
        world.server.networks["gre"] = NetworkDetails("gre", Segment("gre", None, 70000))
        world.server.networks["flat"] = NetworkDetails("flat", Segment("flat", "physnet1", None))
        world.server.networks["clear"] = NetworkDetails(
            "clear", Segment("vxlan", None, 300), vlan_transparent=True
        )
        world.server.networks["clear-vlan"] = NetworkDetails(
            "clear-vlan", Segment("vlan", "physnet1", 1300), vlan_transparent=True
        )
        world.server.networks["service"] = NetworkDetails(
            "service", Segment("vlan", "physnet1", 1301), qinq=True
        )
        world.server.networks["blue"] = NetworkDetails("blue", Segment("vxlan", None, 200))
        world.group("open", *ANYONE)
        for host in lab.hosts.values():
            await world.start(host)
        await until(lambda: all(agent.metrics.full_passes for agent in world.agents.values()))
        return world

    async def close_world() -> None:
        for name in list(world.tasks):
            await world.stop(name)

    lab = Lab(2, Path(tempfile.mkdtemp(prefix="plab")), f"pt{os.getpid() % 1000}")
    try:
        world = runner.run(open_world())
        yield world
        runner.run(close_world())
    finally:
        runner.run(lab.close())


async def subport(
    world: World, parent: DeviceDetails, vlan: int, address: str, **changes: Any
) -> DeviceDetails:
    """A subport of ``parent`` with that tag, in ``blue``, with its parent's hardware address."""
    host = world.server.hosts[parent.port_id]
    details = replace(
        parent,
        port_id=f"{parent.port_id}-{vlan}",
        network_id="blue",
        fixed_ips=(FixedIP(address, "s4", "10.0.0.0/24"),),
        device_owner="trunk:subport",
        parent_id=parent.port_id,
        vlan_id=vlan,
        status="DOWN",
    )
    details = replace(details, **changes)
    world.server.put_device(details, host)
    await until(lambda: world.server.devices[details.port_id].status == "ACTIVE", 15)
    await asyncio.gather(*(agent.reconciler.settled() for agent in world.agents.values()))
    return details


@pytest.mark.parametrize("kind", ["gre", "net", "vlan", "flat"])
def test_guests_of_one_network_reach_each_other_on_all_hosts_and_no_others(
    world: World, runner: asyncio.Runner, kind: str
) -> None:
    async def story() -> None:
        here = {"network_id": kind}
        others = sorted({"gre", "net", "vlan", "flat"} - {kind})
        (a, at_a), (b, at_b), (c, at_c), *strangers = await world.guests(
            ("n1", here), ("n1", here), ("n2", here), *(("n2", {"network_id": one}) for one in others)
        )
        for one in (at_b, at_c):
            for fixed in one.fixed_ips:
                assert await world.pings(a, fixed.ip_address), fixed
        for fixed in at_a.fixed_ips:
            assert await world.pings(c, fixed.ip_address), fixed
        sent, came = await world.count(a, c, at_c.fixed_ips[0].ip_address, 200, 1.0)
        assert came["packets"] == sent
        for _, stranger in strangers:
            for fixed in stranger.fixed_ips:
                assert not await world.pings(a, fixed.ip_address, 1), fixed
        elsewhere = [guest for guest, _ in strangers]
        for sender, *friends in ((a, b, c), (c, a, b)):
            heard = await world.heard(sender, *friends, *elsewhere)
            assert heard == [TO_ALL] * len(friends) + [set()] * len(elsewhere)

    try:
        runner.run(story())
    finally:
        runner.run(world.clear())


def test_tagged_frames_reach_the_network_of_their_subport_only(world: World, runner: asyncio.Runner) -> None:
    async def story() -> None:
        blue = {"network_id": "blue"}
        (a, parent), (b, at_b), (c, at_c), (d, at_d) = await world.guests(
            ("n1", {}), ("n1", blue), ("n2", blue), ("n2", {})
        )
        here, there, other = (one.fixed_ips[0].ip_address for one in (at_b, at_c, at_d))
        own = parent.fixed_ips[0].ip_address
        sub = await subport(world, parent, 101, "10.0.0.201")
        # Within the host and through the tunnel, with the tag on the way back.
        assert await world.tagged_ping(a, 101, "10.0.0.201", here) == "101"
        assert await world.tagged_ping(a, 101, "10.0.0.201", there) == "101"
        # The parent's own network is as before, and neither reaches the other's.
        assert await world.tagged_ping(a, 0, own, other) == "0"
        assert await world.tagged_ping(a, 101, "10.0.0.201", other) == "silence"
        assert await world.tagged_ping(a, 0, own, here) == "silence"
        # No other tag, no other's address, no other hardware address.
        assert await world.tagged_ping(a, 102, "10.0.0.201", here) == "silence"
        assert await world.tagged_ping(a, 101, own, here) == "silence"
        assert await world.tagged_ping(a, 0, "10.0.0.201", other) == "silence"
        assert await world.tagged_ping(a, 101, "10.0.0.201", here, "fa:16:3e:99:99:99") == "silence"
        # Others begin: the subport's own groups let them in, or not.
        async with world.program(a, "tagged-answer", "eth0", "101", "10.0.0.201"):
            assert await world.pings(b, "10.0.0.201")
            assert await world.pings(c, "10.0.0.201")
            assert not await world.pings(d, "10.0.0.201")
            await world.change(sub, security_group_ids=("closed",))
            assert not await world.pings(b, "10.0.0.201")
        assert await world.tagged_ping(a, 0, own, other) == "0"
        # Without port security the tags are the same.
        await world.change(sub, security_group_ids=(), port_security_enabled=False)
        async with world.program(a, "tagged-answer", "eth0", "101", "10.0.0.201"):
            assert await world.pings(b, "10.0.0.201")

    try:
        runner.run(story())
    finally:
        runner.run(world.clear())


def test_a_restart_keeps_subports_as_they_are(world: World, runner: asyncio.Runner) -> None:
    async def story() -> None:
        (a, parent), (_, at_b) = await world.guests(("n1", {}), ("n1", {"network_id": "blue"}))
        await subport(world, parent, 7, "10.0.0.207")
        here = at_b.fixed_ips[0].ip_address
        assert await world.tagged_ping(a, 7, "10.0.0.207", here) == "7"
        await world.stop("n1")
        await world.start(world.lab.hosts["n1"])
        await until(lambda: bool(world.agents["n1"].metrics.full_passes))
        assert world.agents["n1"].metrics.changes == 0
        assert await world.tagged_ping(a, 7, "10.0.0.207", here) == "7"
        world.server.remove_device(f"{parent.port_id}-7")
        await until(lambda: f"{parent.port_id}-7" not in world.agents["n1"].model.devices)
        await world.agents["n1"].reconciler.settled()
        assert await world.tagged_ping(a, 7, "10.0.0.207", here) == "silence"

    try:
        runner.run(story())
    finally:
        runner.run(world.clear())


@pytest.mark.parametrize("kind", ["clear", "clear-vlan", "service"])
def test_tags_of_guests_pass_where_their_network_lets_them(
    world: World, runner: asyncio.Runner, kind: str
) -> None:
    async def story() -> None:
        here = {"network_id": kind}
        closed = {**here, "security_group_ids": ("closed",)}
        (a, at_a), (b, at_b), (c, at_c), (d, at_d), (e, at_e) = await world.guests(
            ("n1", here), ("n1", here), ("n2", here), ("n2", {}), ("n2", closed)
        )
        own, near, far, other, shut = (one.fixed_ips[0].ip_address for one in (at_a, at_b, at_c, at_d, at_e))
        async with (
            world.program(b, "tagged-answer", "eth0", "101", near),
            world.program(c, "tagged-answer", "eth0", "101", far),
            world.program(d, "tagged-answer", "eth0", "101", other),
            world.program(e, "tagged-answer", "eth0", "101", shut),
        ):
            assert await world.tagged_ping(a, 101, own, near) == "101"
            assert await world.tagged_ping(a, 101, own, far) == "101"
            # As without a tag: no other address, no other hardware address, no other network.
            assert await world.tagged_ping(a, 101, "10.0.0.251", near) == "silence"
            assert await world.tagged_ping(a, 101, own, near, "fa:16:3e:99:99:99") == "silence"
            assert await world.tagged_ping(a, 101, own, other) == "silence"
            # And what the receiver's groups do not let in stays out.
            assert await world.tagged_ping(a, 101, own, shut) == "silence"
            # vswitchd's own datapath can't change what it knows of frames with two tags ("failed to
            # put[modify]"), and forgets it when none has come for ten seconds.
            if kind == "clear":
                await world.change(at_c, security_group_ids=("closed",))
                assert await world.tagged_ping(a, 101, own, far) == "silence"
                await world.change(at_c, security_group_ids=("open",))
        assert await world.pings(a, near)
        assert await world.pings(a, far)

    try:
        runner.run(story())
    finally:
        runner.run(world.clear())


def test_tags_of_guests_pass_in_no_other_network(world: World, runner: asyncio.Runner) -> None:
    async def story() -> None:
        (a, at_a), (b, at_b), (c, at_c) = await world.guests(("n1", {}), ("n1", {}), ("n2", {}))
        own, near, far = (one.fixed_ips[0].ip_address for one in (at_a, at_b, at_c))
        async with (
            world.program(b, "tagged-answer", "eth0", "101", near),
            world.program(c, "tagged-answer", "eth0", "101", far),
        ):
            assert await world.tagged_ping(a, 101, own, near) == "silence"
            assert await world.tagged_ping(a, 101, own, far) == "silence"

    try:
        runner.run(story())
    finally:
        runner.run(world.clear())
