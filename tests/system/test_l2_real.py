"""The switch agent on real Open vSwitch: two hosts, guests that send packets, packets that are counted.

Networks: ``net`` by VXLAN, ``vlan`` on the physical network. The server is one of this process;
everything else is the real thing.
"""

import asyncio
import os
import shutil
import time
from pathlib import Path

import pytest
from tests.patience import PATIENCE
from tests.system.bridge_lab import BridgeLab
from tests.system.l2_fixtures import runner, say, shared_world, switch_world, world
from tests.system.l2_world import OUT, SSH, TO_ALL, World, until

from pileus.drivers.process import ProgramFailed
from pileus.host.l2 import tables as t
from pileus.wire.switch import (
    AddressPair,
    RateLimit,
    SecurityGroupDetails,
    SecurityRule,
)

__all__ = ["runner", "shared_world", "switch_world", "world"]

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(shutil.which("ovs-vswitchd") is None, reason="needs Open vSwitch"),
]


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


@pytest.mark.parametrize("kind", ["net", "flat"])
def test_what_is_said_to_all_is_heard_in_one_network(world: World, runner: asyncio.Runner, kind: str) -> None:
    async def story() -> None:
        here, elsewhere = {"network_id": kind}, {"network_id": "flat" if kind == "net" else "net"}
        (a, _), (b, _), (c, _), (other, _) = await world.guests(
            ("n1", here), ("n1", here), ("n2", here), ("n2", elsewhere)
        )
        for sender, *friends in ((a, b, c), (c, a, b)):
            assert await world.heard(sender, *friends, other) == [TO_ALL, TO_ALL, set()]

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
                assert await say(world, sender, address, "22", "hello") == ["connected", "hello"]
                assert await say(world, sender, address, "23", "hello") == []
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
                said = await say(world, guest, address, port, "x")
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
            began = time.monotonic()
            await world.change_group("ssh")
            assert time.monotonic() - began < 1.0 * PATIENCE, "it is cut within a second"
            assert await said("two") == "silence"
            await world.change_group("ssh", SSH)
            # What was said meanwhile is said again by TCP.
            assert "two" in await said("three")

    runner.run(story())


def test_stateless_groups_ask_of_every_packet_both_ways(world: World, runner: asyncio.Runner) -> None:
    """What is let out brings no answer in, unless a rule lets that in, too."""
    back = SecurityRule("back", "ingress", "IPv4", "tcp", 1024, 65535)

    async def story() -> None:
        world.server.put_group(SecurityGroupDetails("plain", OUT, stateful=False))
        world.group("ssh", SSH, *OUT)
        (a, _), (b, at_b), (c, at_c) = await world.guests(
            ("n1", {"security_group_ids": ("plain",)}),
            *((n, {"security_group_ids": ("ssh",)}) for n in ("n1", "n2")),
        )
        addresses = [one.fixed_ips[0].ip_address for one in (at_b, at_c)]
        async with world.program(b, "serve", "22"), world.program(c, "serve", "22"):
            for address in addresses:
                assert await say(world, a, address, "22", "x") == []
            world.server.put_group(SecurityGroupDetails("plain", (*OUT, back), stateful=False))
            agent = world.agents["n1"]
            await until(lambda: back in agent.model.groups["plain"].rules)
            await agent.reconciler.settled()
            for address in addresses:
                assert await say(world, a, address, "22", "x") == ["connected", "x"]

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
            assert sent >= 3500 / PATIENCE
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


@pytest.mark.alone
def test_an_upgrade_that_moves_tables_loses_no_packet(
    switch_world: World, runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another version's agent has tables elsewhere, so that flows of each device are others."""
    world = switch_world

    async def story() -> None:
        (a, _), (b, at_b), (c, at_c) = await world.guests(("n1", {}), ("n1", {}), ("n2", {}))
        world.prefer_the_switches()

        async def other_version(tables: dict[str, int]) -> None:
            await asyncio.sleep(1.0)
            for host in world.lab.hosts.values():
                await world.stop(host.name)
            for name, number in tables.items():
                monkeypatch.setattr(t, name, number)
            for host in world.lab.hosts.values():
                await world.start(host)
            await until(lambda: all(agent.metrics.full_passes for agent in world.agents.values()))
            assert all(agent.metrics.changes > 10 for agent in world.agents.values())

        names = ("SOURCE", "EGRESS_STATE", "DELIVER", "INGRESS_STATE")
        before = {name: getattr(t, name) for name in names}
        after = dict(zip(names, (100, 101, 102, 103), strict=True))
        for receiver, details, tables in ((b, at_b, after), (c, at_c, before)):
            address = details.fixed_ips[0].ip_address
            assert await world.pings(a, address)
            counting = asyncio.create_task(world.count(a, receiver, address, 1000, 5.0))
            await other_version(tables)
            sent, came = await counting
            assert sent >= 4500
            assert came["packets"] == sent, came

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
