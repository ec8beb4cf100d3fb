"""The switch agent on real Open vSwitch: two hosts, guests that send packets, packets that are counted.

Networks: ``net`` by VXLAN, ``vlan`` on the physical network. The server is one of this process;
everything else is the real thing.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs
from tests.system.bridge_lab import BridgeLab
from tests.system.l2_world import ANYONE, OUT, SSH, TRAFFIC, World, until

from pileus.app.lab.lab import Guest, Lab
from pileus.drivers.netlink.linux import LinuxLinks
from pileus.drivers.nft import driver as nft
from pileus.drivers.process import ProgramFailed, run
from pileus.host.l2 import tables as t
from pileus.host.l2.logged import read_verdict
from pileus.wire.switch import (
    AddressPair,
    DeviceDetails,
    PacketLog,
    RateLimit,
    SecurityRule,
)

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


@pytest.fixture(scope="module", params=["openvswitch", "linuxbridge"])
def shared_world(request: pytest.FixtureRequest, runner: asyncio.Runner) -> Iterator[World]:
    async def open_world() -> World:
        await lab.open()
        world = World(lab)
        for host in lab.hosts.values():
            await world.start(host)
        await until(lambda: all(agent.metrics.full_passes for agent in world.agents.values()))
        return world

    async def close_world() -> None:
        for name in list(world.tasks):
            await world.stop(name)

    state, name = Path(tempfile.mkdtemp(prefix="plab")), f"pt{os.getpid() % 1000}"
    lab = BridgeLab(2, state, name) if request.param == "linuxbridge" else Lab(2, state, name)
    try:
        world = runner.run(open_world())
        yield world
        runner.run(close_world())
    finally:
        runner.run(lab.close())


@pytest.fixture
def world(shared_world: World, runner: asyncio.Runner) -> Iterator[World]:
    shared_world.group("open", *ANYONE)
    yield shared_world
    runner.run(shared_world.clear())


@pytest.fixture
def switch_world(world: World) -> World:
    """A world of Open vSwitch: the question is about a part that Linux bridges do not have."""
    if isinstance(world.lab, BridgeLab):
        pytest.skip("Linux bridges have no ovs-vswitchd, no counters of flows and no rate limits")
    return world


def test_ping_within_a_host_and_through_the_tunnel(world: World, runner: asyncio.Runner) -> None:
    async def story() -> None:
        (a, _), (_, b), (_, c) = await world.guests(("n1", {}), ("n1", {}), ("n2", {}))
        for there in (b, c):
            for ip in there.fixed_ips:
                assert await world.pings(a, ip.ip_address), ip

    runner.run(story())


def test_ping_on_a_flat_network(world: World, runner: asyncio.Runner) -> None:
    async def story() -> None:
        on_flat = {"network_id": "flat"}
        (a, _), (_, b), (_, c), (_, other) = await world.guests(
            ("n1", on_flat), ("n1", on_flat), ("n2", on_flat), ("n2", {})
        )
        for there in (b, c):
            assert await world.pings(a, there.fixed_ips[0].ip_address)
        assert not await world.pings(a, other.fixed_ips[0].ip_address), "another network"

    runner.run(story())


def test_ping_on_a_vlan(world: World, runner: asyncio.Runner) -> None:
    if isinstance(world.lab, BridgeLab) and not Path("/proc/net/vlan").exists():
        pytest.skip("this kernel has no VLANs of network cards (802.1Q)")

    async def story() -> None:
        on_vlan = {"network_id": "vlan"}
        (a, _), (_, b), (_, other) = await world.guests(("n1", on_vlan), ("n2", on_vlan), ("n2", {}))
        assert await world.pings(a, b.fixed_ips[0].ip_address)
        assert not await world.pings(a, other.fixed_ips[0].ip_address), "another network"

    runner.run(story())


def test_nothing_is_let_in_or_out_by_default(world: World, runner: asyncio.Runner) -> None:
    async def story() -> None:
        closed = {"security_group_ids": ("closed",)}
        (a, at_a), (b, at_b), (c, _) = await world.guests(("n1", {}), ("n1", closed), ("n2", {}))
        for sender, receiver in ((a, at_b), (c, at_b), (b, at_a)):
            assert not await world.pings(sender, receiver.fixed_ips[0].ip_address)
        await world.change(at_b, security_group_ids=("open",))
        assert await world.pings(a, at_b.fixed_ips[0].ip_address)

    runner.run(story())


def test_a_rule_opens_what_it_says(world: World, runner: asyncio.Runner) -> None:
    async def story() -> None:
        world.group("ssh", SSH)
        (a, _), (b, at_b), (c, _) = await world.guests(
            ("n1", {}), ("n1", {"security_group_ids": ("ssh",)}), ("n2", {})
        )
        address = at_b.fixed_ips[0].ip_address
        async with world.program(b, "serve", "22"), world.program(b, "serve", "23"):
            for sender in (a, c):
                assert await _say(world, sender, address, "22", "hello") == ["connected", "hello"]
                assert await _say(world, sender, address, "23", "hello") == []
        assert not await world.pings(a, address)

    runner.run(story())


def test_members_of_a_remote_group_are_let_in(world: World, runner: asyncio.Runner) -> None:
    async def story() -> None:
        # Two groups with overlapping members, and a prefix, all at once.
        world.group("friends", *OUT)
        world.group("others", *OUT)
        world.group(
            "host",
            SecurityRule("f", "ingress", "IPv4", "tcp", None, None, None, "friends"),
            SecurityRule("g", "ingress", "IPv4", "tcp", 20, 30, None, "others"),
            SecurityRule("h", "ingress", "IPv4", "tcp", 22, 22, "203.0.113.0/24"),
        )
        (host, at_host), (friend, _), (other, _), (both, _), (stranger, _) = await world.guests(
            ("n1", {"security_group_ids": ("host",)}),
            ("n1", {"security_group_ids": ("friends",)}),
            ("n2", {"security_group_ids": ("others",)}),
            ("n2", {"security_group_ids": ("friends", "others")}),
            ("n1", {}),
        )
        address = at_host.fixed_ips[0].ip_address
        async with world.program(host, "serve", "22"), world.program(host, "serve", "80"):
            for guest, port, answered in (
                (friend, "22", True),
                (friend, "80", True),
                (other, "22", True),
                (other, "80", False),
                (both, "22", True),
                (both, "80", True),
                (stranger, "22", False),
            ):
                said = await _say(world, guest, address, port, "x")
                assert (said == ["connected", "x"]) == answered, (guest.port_id, port)

    runner.run(story())


def test_a_rule_taken_away_cuts_its_connections(world: World, runner: asyncio.Runner) -> None:
    async def story() -> None:
        world.group("ssh", SSH)
        (a, _), (b, at_b) = await world.guests(("n1", {}), ("n2", {"security_group_ids": ("ssh",)}))
        async with (
            world.program(b, "serve", "22"),
            world.program(a, "talk", at_b.fixed_ips[0].ip_address, "22") as talk,
        ):
            assert talk.stdin is not None and talk.stdout is not None
            assert await talk.stdout.readline() == b"connected\n"

            async def said(text: str) -> str:
                talk.stdin.write(f"{text}\n".encode())  # type: ignore[union-attr]
                return (await talk.stdout.readline()).decode().strip()  # type: ignore[union-attr]

            assert await said("one") == "one"
            await world.change_group("ssh")
            assert await said("two") == "silence"
            await world.change_group("ssh", SSH)
            # What was said meanwhile is said again by TCP.
            assert "two" in await said("three")

    runner.run(story())


def test_a_flood_of_logged_packets_does_not_reach_the_agent(
    switch_world: World, runner: asyncio.Runner
) -> None:
    world = switch_world

    async def story() -> None:
        drops = (PacketLog("log", "project", "DROP"),)
        (a, _), (_, at_b) = await world.guests(
            ("n1", {}), ("n1", {"security_group_ids": ("closed",), "logs": drops})
        )
        flows = world.lab.hosts["n1"].flows()
        came = 0

        async def count() -> None:
            nonlocal came
            async for packet in flows.packets_in("br-int"):
                came += read_verdict(packet.userdata) is not None

        counting = asyncio.create_task(count())
        try:
            address = at_b.fixed_ips[0].ip_address
            async with asyncio.timeout(20):
                while not came:
                    await _say(world, a, address, "23", "hello")
            came = 0
            async with world.program(a, "send", address, "5001", "4000", "1.5") as sending:
                sent, _ = await sending.communicate()
            assert int(sent) > 2000
            # A second's worth and a burst, and as much again for a machine that counts late.
            assert 20 <= came <= 2 * (125 + 2 * 100), came
        finally:
            counting.cancel()
            await asyncio.gather(counting, return_exceptions=True)
            await flows.close()

    runner.run(story())


def test_packets_of_logged_ports_are_written_down(switch_world: World, runner: asyncio.Runner) -> None:
    world = switch_world

    async def story() -> None:
        world.group("ssh", SSH)
        world.group("free", SSH)
        world.server.groups["free"] = replace(world.server.groups["free"], stateful=False)
        everything = (PacketLog("log", "project", "ALL"),)
        (a, at_a), (b, at_b), (_, free) = await world.guests(
            ("n1", {}),
            ("n2", {"security_group_ids": ("ssh",), "logs": everything}),
            ("n2", {"security_group_ids": ("free",), "logs": everything}),
        )
        source, address = at_a.fixed_ips[0].ip_address, at_b.fixed_ips[0].ip_address

        def told(port: DeviceDetails, **fields: Any) -> list[Any]:
            wanted = {"event": "packet", "port": port.port_id, "source": source, **fields}.items()
            return [line for line in lines if line.items() >= wanted]

        with capture_logs() as lines:
            async with world.program(b, "serve", "22"):
                # The agent listens a moment after it has written the flows.
                async with asyncio.timeout(20):
                    while not told(at_b, action="ACCEPT"):
                        assert await _say(world, a, address, "22", "hello") == ["connected", "hello"]
                lines.clear()
                assert await _say(world, a, address, "22", "hello") == ["connected", "hello"]
            await _say(world, a, address, "23", "hello")
            await _say(world, a, free.fixed_ips[0].ip_address, "22", "hello")
            await _say(world, a, free.fixed_ips[0].ip_address, "23", "hello")
            await until(lambda: bool(told(free, action="DROP", destination_port=23)))
            await until(lambda: bool(told(at_b, action="DROP", destination_port=23)))
            (accepted,) = told(at_b, action="ACCEPT")
            assert accepted["destination_port"] == 22 and accepted["protocol"] == "tcp"
            assert accepted["security_groups"] == ["ssh"] and accepted["log_ids"] == ["log"]
            assert accepted["destination"] == address and accepted["direction"] == "ingress"
            assert told(free, action="ACCEPT", destination_port=22)
            # Without the log nothing is told, and packets go their way as before.
            await world.change(at_b, logs=())
            lines.clear()
            await _say(world, a, address, "23", "hello")
            assert not told(at_b)

    runner.run(story())


def test_nobody_speaks_with_anothers_address(world: World, runner: asyncio.Runner) -> None:
    async def story() -> None:
        pair = {"allowed_address_pairs": (AddressPair("10.0.0.250", "fa:16:3e:00:00:fa"),)}
        (a, _), (_, b), (c, at_c) = await world.guests(("n1", {}), ("n1", {}), ("n1", {}))
        target = b.fixed_ips[0].ip_address
        assert await world.pings(a, target)
        await world.lab.run(a, ["ip", "address", "add", "10.0.0.251/24", "dev", "eth0"])
        with pytest.raises(ProgramFailed):
            await world.lab.run(a, ["ping", "-c", "1", "-W", "1", "-I", "10.0.0.251", target])
        await world.lab.run(a, ["ip", "address", "add", "fd00::251/64", "dev", "eth0", "nodad"])
        with pytest.raises(ProgramFailed):
            await world.lab.run(
                a, ["ping", "-c", "1", "-W", "1", "-I", "fd00::251", b.fixed_ips[1].ip_address]
            )
        await world.lab.run(a, ["ip", "link", "set", "eth0", "address", "fa:16:3e:00:00:ee"])
        assert not await world.pings(a, target)
        # An address pair may.
        await world.change(at_c, **pair)
        await world.lab.run(c, ["ip", "link", "set", "eth0", "address", "fa:16:3e:00:00:fa"])
        await world.lab.run(c, ["ip", "address", "add", "10.0.0.250/24", "dev", "eth0"])
        await world.lab.run(c, ["ping", "-c", "1", "-W", "1", "-I", "10.0.0.250", target])

    runner.run(story())


def test_quarantine_holds_whatever_the_port_says(world: World, runner: asyncio.Runner) -> None:
    async def story() -> None:
        (a, at_a), (b, at_b), (c, at_c) = await world.guests(("n1", {}), ("n1", {}), ("n2", {}))
        address, own = at_b.fixed_ips[0].ip_address, at_a.fixed_ips[0].ip_address
        port_id = at_a.port_id
        assert await world.pings(a, address)
        await world.change(at_a, quarantined=True)
        await until(lambda: world.server.devices[port_id].status == "DOWN")

        async def is_cut_off() -> None:
            assert not await world.pings(a, address)
            assert not await world.pings(b, own), "and nothing reaches it"
            assert not await world.pings(c, own)

        await is_cut_off()
        await world.change(
            at_a,
            admin_state_up=True,
            port_security_enabled=False,
            security_group_ids=(),
        )
        await is_cut_off()
        await world.stop("n1")
        await world.start(world.lab.hosts["n1"])
        await until(lambda: world.agents["n1"].metrics.full_passes > 0)
        await is_cut_off()
        assert await world.pings(b, at_c.fixed_ips[0].ip_address)
        await world.change(at_a, quarantined=False)
        await until(lambda: world.server.devices[port_id].status == "ACTIVE")
        # what the datapath remembers of the drops is gone a moment after the flows
        async with asyncio.timeout(10):
            while not await world.pings(a, address):
                pass

    runner.run(story())


def test_broadcasts_pass_the_receivers_rules(world: World, runner: asyncio.Runner) -> None:
    async def story() -> None:
        (a, _), (b, at_b), (c, at_c) = await world.guests(("n1", {}), ("n1", {}), ("n2", {}))
        for receiver, details in ((b, at_b), (c, at_c)):
            _, came = await world.count(a, receiver, "10.0.0.255", 50, 0.4)
            assert came["packets"] > 0
            await world.change(details, security_group_ids=("closed",))
            _, came = await world.count(a, receiver, "10.0.0.255", 50, 0.4)
            assert came["packets"] == 0

    runner.run(story())


def test_a_restart_loses_no_packet_and_no_counter(world: World, runner: asyncio.Runner) -> None:
    async def story() -> None:
        (a, _), (b, at_b), (c, at_c) = await world.guests(("n1", {}), ("n1", {}), ("n2", {}))
        counted = not isinstance(world.lab, BridgeLab)
        flows = world.lab.hosts["n1"].flows()

        async def restarts() -> None:
            await asyncio.sleep(1.0)
            for host in world.lab.hosts.values():
                await world.stop(host.name)
            await asyncio.sleep(0.3)
            for host in world.lab.hosts.values():
                await world.start(host)
            await until(lambda: all(agent.metrics.full_passes for agent in world.agents.values()))
            assert [agent.metrics.changes for agent in world.agents.values()] == [0, 0]

        for receiver, details in ((b, at_b), (c, at_c)):
            address = details.fixed_ips[0].ip_address
            assert await world.pings(a, address)
            before = await flows.packets("br-int") if counted else {}
            counting = asyncio.create_task(world.count(a, receiver, address, 1000, 4.0))
            await restarts()
            sent, came = await counting
            assert sent >= 3500
            assert came["packets"] == sent, came
            if not counted:
                continue
            # vswitchd brings the datapath's counters into its flows about once a second.
            async with asyncio.timeout(10):
                while True:
                    after = await flows.packets("br-int")
                    assert before.keys() == after.keys()
                    assert all(after[key] >= count for key, count in before.items())
                    if any(key[0] == t.CLASSIFY and after[key] - before[key] >= sent for key in after):
                        break
                    await asyncio.sleep(0.2)

    runner.run(story())


def test_a_rate_limit_holds(switch_world: World, runner: asyncio.Runner) -> None:
    world = switch_world

    async def story() -> None:
        limit = {"rate_limit": RateLimit("q", 2000, 200)}
        (a, at_a), (b, at_b) = await world.guests(("n1", limit), ("n1", {}))
        address = at_b.fixed_ips[0].ip_address

        async def rate_kbps() -> float:
            _, came = await world.count(a, b, address, 800, 3.0, 1000)
            return float(came["octets"] * 8 / 1000 / came["seconds"])

        limited = await rate_kbps()
        enforcement = [s.enforcement for s in world.server.statuses if at_a.port_id in s.enforcement]
        assert enforcement[-1] == {at_a.port_id: "meter"}
        assert 1500 < limited < 2500, limited
        await world.change(at_a, rate_limit=None)
        assert await rate_kbps() > 5000

    runner.run(story())


def test_vswitchd_killed(switch_world: World, runner: asyncio.Runner) -> None:
    world = switch_world

    async def story() -> None:
        (a, _), (_, b), (_, c) = await world.guests(("n1", {}), ("n1", {}), ("n2", {}))
        daemons = world.lab.hosts["n1"].daemons
        await daemons.stop_vswitchd(kill=True)
        agent = world.agents["n1"]

        def held() -> bool:
            (row,) = agent._client.tables["Open_vSwitch"].values()
            return row["other_config"].get("flow-restore-wait") == "true"

        await until(held)
        before = agent.metrics.changes
        await daemons.start_vswitchd()
        await until(lambda: agent.metrics.changes > before + 20 and not held())
        await agent.reconciler.settled()
        for there in (b, c):
            assert await world.pings(a, there.fixed_ips[0].ip_address, 3)

    runner.run(story())


def test_ovsdb_restarted(switch_world: World, runner: asyncio.Runner) -> None:
    world = switch_world

    async def story() -> None:
        await world.guests(("n1", {}))
        daemons = world.lab.hosts["n1"].daemons
        await daemons.stop_database(kill=True)
        await daemons.start_database()
        (a, _), (_, b) = await world.guests(("n1", {}), ("n2", {}))
        assert await world.pings(a, b.fixed_ips[0].ip_address, 3)
        agent = world.agents["n1"]
        full = agent.metrics.full_passes
        agent.reconciler.wake(reread=True, inspect=True)
        await until(lambda: agent.metrics.full_passes > full)
        assert agent.metrics.changes_of_last_full_pass == 0

    runner.run(story())


async def _say(world: World, guest: Guest, address: str, port: str, text: str) -> list[str]:
    async with world.program(guest, "talk", address, port) as talk:
        said, _ = await talk.communicate(f"{text}\n".encode())
    return said.decode().split()


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
