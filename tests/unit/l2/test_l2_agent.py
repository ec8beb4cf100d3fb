"""The switch agent against a simulated switch and a server in this process."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from tests.waiting import until

from pileus.core.clock import SystemClock
from pileus.drivers.interfaces.spec import Bond, Bridge, HostNetwork
from pileus.drivers.netlink.simulated import SimulatedLinks
from pileus.drivers.openflow.flow import Flow
from pileus.drivers.openflow.simulated import SimulatedFlows
from pileus.drivers.ovsdb.simulated import SimulatedSwitch
from pileus.host.agent import AgentSettings
from pileus.host.l2 import tables as t
from pileus.host.l2.agent import SwitchAgent
from pileus.host.l2.plan import keyed
from pileus.host.l2.settings import OWNER
from pileus.wire import scopes
from pileus.wire.switch import RateLimit, SecurityRule

from .scene import SETTINGS, SSH, device, group
from .switch_bench import Bench, bench_matches, cloud, running, scenario

replace = msgspec.structs.replace


def test_a_port_becomes_active_and_a_full_pass_plans_nothing() -> None:
    async def story() -> None:
        server = cloud()
        server.put_device(device(1), "n1")
        async with running(server) as bench:
            await until(lambda: bench.agent.metrics.passes > 0)
            await bench.plug(1)
            await until(lambda: server.devices["port-1"].status == "ACTIVE")
            assert await bench.full_pass() == 0
            assert server.agent_reports[0].start
            assert server.agent_reports[-1].configurations["tunneling_ip"] == "192.0.2.1"
            assert "qos" in server.agent_reports[-1].configurations["extensions"]
            tap = bench.client.by_name("Port")["tap1"]
            assert tap["tag"] == 1
            await bench.unplug(1)
            await until(lambda: server.devices["port-1"].status == "DOWN")
            assert await bench.full_pass() == 0

    scenario(story)


def test_many_ports_are_asked_for_written_and_told_at_once() -> None:
    async def story() -> None:
        server = cloud()
        count = 50
        for number in range(1, count + 1):
            server.put_device(device(number), "n1")
        async with running(server) as bench:
            await until(lambda: bench.agent.metrics.full_passes > 0)
            await bench.agent.reconciler.settled()
            calls = len(server.calls)
            await bench.plug(*range(1, count + 1))
            await until(lambda: all(d.status == "ACTIVE" for d in server.devices.values()))
            asked = server.calls[calls:]
            assert asked.count("device_status") == 1
            assert asked.count("switch_state") <= 4

    scenario(story)


def test_a_device_that_was_gone_with_its_network_is_wired_at_once_when_it_is_back() -> None:
    async def story() -> None:
        server = cloud()
        server.heartbeat_interval_s = 3600.0
        server.put_device(device(1), "n1")
        async with running(server) as bench:
            await bench.plug(1)
            await until(lambda: server.devices["port-1"].status == "ACTIVE")
            # All that is told is that the network has changed, which is not this host's any more.
            gone = server.networks.pop("net")
            server.changed(scopes.network("net"))
            await until(lambda: "net" not in bench.agent.model.networks)
            await bench.unplug(1)
            await until(lambda: server.devices["port-1"].status == "DOWN")
            server.networks["net"] = gone
            await bench.plug(1)
            await until(lambda: server.devices["port-1"].status == "ACTIVE")

    scenario(story)


def test_a_device_of_nobody_is_dead_and_not_mentioned() -> None:
    async def story() -> None:
        server = cloud()
        server.put_device(device(1), "n2")
        async with running(server) as bench:
            await bench.plug(1, 2)
            await until(lambda: bench.agent.metrics.full_passes > 0)
            await bench.agent.reconciler.settled()
            assert bench.client.by_name("Port")["tap1"]["tag"] == 4095
            assert bench.client.by_name("Port")["tap2"]["tag"] == 4095
            assert server.statuses == []
            # Then it is bound here, and lives.
            server.put_device(device(1), "n1")
            await until(lambda: server.devices["port-1"].status == "ACTIVE")
            assert bench.client.by_name("Port")["tap1"]["tag"] == 1

    scenario(story)


def test_a_change_without_a_wake_up_arrives_by_heartbeat() -> None:
    async def story() -> None:
        server = cloud()
        server.heartbeat_interval_s = 0.05
        async with running(server) as bench:
            await bench.plug(1)
            await until(lambda: bench.agent.metrics.full_passes > 0)
            server.deaf = True
            server.put_device(device(1), "n1")
            await until(lambda: server.devices["port-1"].status == "ACTIVE")

    scenario(story)


def test_rules_and_members_change_by_wake_up() -> None:
    async def story() -> None:
        server = cloud()
        server.put_device(device(1), "n1")
        async with running(server) as bench:
            await bench.plug(1)
            await until(lambda: server.devices["port-1"].status == "ACTIVE")
            server.put_group(group(rules=(SSH, SecurityRule("x", "ingress", "IPv4", "tcp", 8080, 8080))))
            await until(lambda: bool(bench_matches(bench, "tp_dst=8080")))
            assert await bench.full_pass() == 0
            server.put_group(group(rules=()))
            await until(lambda: not bench_matches(bench, "tp_dst=8080"))

    scenario(story)


def test_a_device_that_was_never_plugged_goes_while_another_changes() -> None:
    async def story() -> None:
        server = cloud()
        server.put_device(device(1), "n1")
        server.put_device(device(2), "n1")
        async with running(server) as bench:
            await bench.plug(1)
            await until(lambda: server.devices["port-1"].status == "ACTIVE")
            await bench.agent.reconciler.settled()
            await until(lambda: server.is_heard(bench.agent.scopes()))
            assert "port-2" in bench.agent.model.devices
            server.remove_device("port-2")
            server.put_device(replace(server.devices["port-1"], admin_state_up=False), "n1")
            # By these wake-ups, not by the next heartbeat.
            await until(lambda: "port-2" not in bench.agent.model.devices, server.heartbeat_interval_s / 3)

    scenario(story)


def test_a_subport_comes_while_another_port_changes() -> None:
    async def story() -> None:
        server = cloud()
        server.put_device(device(1), "n1")
        async with running(server) as bench:
            await bench.plug(1)
            await until(lambda: server.devices["port-1"].status == "ACTIVE")
            await bench.agent.reconciler.settled()
            await until(lambda: server.is_heard(bench.agent.scopes()))
            child = device(2, parent_id="port-1", vlan_id=101, device_owner="trunk:subport")
            server.put_device(child, "n1")
            server.put_device(replace(server.devices["port-1"], device_id="other"), "n1")
            # By these wake-ups, not by the next heartbeat.
            await until(lambda: "port-2" in bench.agent.model.devices, server.heartbeat_interval_s / 3)

    scenario(story)


def test_a_hint_reaches_the_interface_and_leaves_it() -> None:
    async def story() -> None:
        server = cloud()
        server.put_device(device(1, tx_steering="hash"), "n1")
        async with running(server) as bench:
            await bench.plug(1)
            await until(
                lambda: bench.client.by_name("Interface")["tap1"]["other_config"] == {"tx-steering": "hash"}
            )
            server.put_device(replace(server.devices["port-1"], tx_steering=None), "n1")
            await until(lambda: bench.client.by_name("Interface")["tap1"]["other_config"] == {})

    scenario(story)


@pytest.mark.parametrize("enforcement", ["policing", "meter"])
def test_the_enforcement_of_a_limit_is_told(enforcement: str) -> None:
    async def story() -> None:
        server = cloud()
        server.put_device(device(1, rate_limit=RateLimit("q", 1000, 100)), "n1")
        async with running(server, enforcement) as bench:
            await bench.plug(1)
            await until(lambda: server.devices["port-1"].status == "ACTIVE")
            assert server.statuses[-1].enforcement == {"port-1": enforcement}
            assert bench.client.by_name("Interface")["tap1"]["ingress_policing_rate"] == 1000
            assert len(await bench.flows.meters("br-int")) == (enforcement == "meter")
            assert await bench.full_pass() == 0
            server.put_device(replace(server.devices["port-1"], rate_limit=None), "n1")
            await until(lambda: bench.client.by_name("Interface")["tap1"]["ingress_policing_rate"] == 0)
            await bench.agent.reconciler.settled()
            assert await bench.flows.meters("br-int") == {}

    scenario(story)


def test_an_interface_that_cannot_be_opened_is_told() -> None:
    async def story() -> None:
        server = cloud()
        server.put_device(device(1), "n1")
        async with running(server) as bench:
            bench.switch.devices = set()
            await bench.plug(1)
            await until(lambda: bool(server.statuses))
            assert server.statuses[0].failed[0].port_id == "port-1"
            bench.switch.add_device("tap1")
            await until(lambda: server.devices["port-1"].status == "ACTIVE")

    scenario(story)


def test_tampered_flows_are_mended_by_a_full_pass_and_others_stay() -> None:
    async def story() -> None:
        server = cloud()
        server.put_device(device(1), "n1")
        async with running(server) as bench:
            await bench.plug(1)
            await until(lambda: server.devices["port-1"].status == "ACTIVE")
            await bench.agent.reconciler.settled()
            good = keyed(await bench.flows.dump("br-int"))
            victim = next(iter(good.values()))
            theirs = Flow(200, 5, "in_port=77", "drop", 0x77)
            ours = Flow(200, 6, "in_port=77", "drop", t.DEVICE_COOKIE)
            await bench.flows.apply("br-int", [theirs, ours], [victim])
            assert await bench.full_pass() == 2
            assert keyed(await bench.flows.dump("br-int")) == good | {theirs.key: theirs}

    scenario(story)


def test_purge_leaves_nothing_of_ours() -> None:
    async def story() -> None:
        server = cloud()
        server.put_device(device(1), "n1")
        async with running(server) as bench:
            await bench.plug(1)
            await until(lambda: server.devices["port-1"].status == "ACTIVE")
            await bench.kill()
            for guests, left in ((False, {"tap1", "br-int"}), (True, set())):
                await bench.start()
                await until(lambda: bench.agent.metrics.full_passes > 0)
                await bench.kill()
                client = bench.switch.client()
                agent = SwitchAgent(
                    AgentSettings(host="n1"), bench.settings, server, SystemClock(), client, bench.flows
                )
                await agent.purge(guests=guests)
                assert {row["name"] for row in client.tables["Port"].values()} == left
                assert bench.ours() == 0
                await client.close()

    scenario(story)


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_bridges_can_be_joined_by_veth_pairs() -> None:
    async def story() -> None:
        switch, links, server = SimulatedSwitch(), SimulatedLinks(), cloud()
        settings = replace(SETTINGS, link="veth", enforcement="policing")

        def agent() -> SwitchAgent:
            return SwitchAgent(
                AgentSettings(host="n1"),
                settings,
                server,
                SystemClock(),
                switch.client(),
                SimulatedFlows(switch),
                links=links,
            )

        first = agent()
        task = asyncio.create_task(first.run())
        await until(lambda: first.metrics.full_passes > 0)
        first.stop()
        await task
        assert {"int-br-ex", "phy-br-ex"} <= (await links.links()).keys()
        types = {row["name"]: row["type"] for row in switch.database.tables["Interface"].values()}
        assert (types["int-br-ex"], types["phy-br-ex"], types["patch-tun"]) == ("", "", "patch")
        second = agent()
        await second.purge(guests=True)
        await second.release()
        assert "int-br-ex" not in await links.links()

    scenario(story)


def test_the_hosts_own_network_comes_before_what_stands_on_it() -> None:
    """A bond of the bridge of a physical network; a restart changes nothing, and the bridge is left to the
    agent when the settings name it no more."""

    async def story() -> None:
        bench = Bench(cloud())
        bridge = SETTINGS.bridge_mappings[0][1]
        bond = Bond(name="bond0", bridge=bridge, members=("eth1", "eth2"))
        bench.network = HostNetwork(bridges=(Bridge(name=bridge),), bonds=(bond,))
        await bench.start()
        await until(lambda: bench.agent.in_sync.is_set())
        rows = bench.client.by_name("Port")
        names = {rows[name].uuid for name in (bridge, "bond0", f"phy-{bridge}")}
        assert bench.client.by_name("Bridge")[bridge]["ports"] == names
        state = bench.agent.configurations()["host_network"]
        assert state["bonds"] == {"bond0": {"mode": "active-backup", "lacp": "off"}}
        assert state["problems"].keys() == {"eth1", "eth2"}  # the simulated host has no cards
        await bench.kill()
        await bench.start()
        assert await bench.full_pass() == 0
        await bench.kill()
        bench.network = HostNetwork()
        await bench.start()
        await until(lambda: bench.agent.in_sync.is_set())
        assert bench.client.by_name("Bridge")[bridge]["external_ids"]["pileus-owner"] == OWNER
        assert "bond0" not in bench.client.by_name("Port")
        assert await bench.full_pass() == 0
        await bench.kill()

    asyncio.run(story())


def test_flows_that_somebody_changes_are_repaired_at_once_and_a_storm_is_not_followed() -> None:
    async def story() -> None:
        server = cloud()
        server.put_device(device(1), "n1")
        async with running(server) as bench:
            await bench.plug(1)
            await until(lambda: server.devices["port-1"].status == "ACTIVE")
            await bench.agent.reconciler.settled()
            repairs: list[str] = []
            repair = bench.agent._flow_watch._repair
            bench.agent._flow_watch._repair = lambda bridge: (repairs.append(bridge), repair(bridge))[1]
            bench.agent._bridges = replace(bench.settings, watch_interval_s=600.0)
            other = SimulatedFlows(bench.switch)
            # Somebody else's flows are nobody's here, and what ours have learnt is the switch's.
            for cookie in (0x77, t.LEARNT_COOKIE):
                await other.apply("br-int", [Flow(58, 1, "ip", "drop", cookie)])
            await asyncio.sleep(0.5)
            assert repairs == []
            before = dict(bench.switch.flows["br-int"])
            ours = [flow for flow in before.values() if flow.cookie in t.COOKIES]
            await other.apply("br-int", [], ours)
            await until(lambda: bench.switch.flows["br-int"] == before, within_s=2.0)
            await other.apply("br-int", [replace(ours[0], actions="output:99")])
            await until(lambda: bench.switch.flows["br-int"] == before, within_s=5.0)
            repairs.clear()
            for _ in range(300):
                await other.apply("br-int", [], ours[:1])
                await asyncio.sleep(0.01)
            assert 0 < len(repairs) < 20, "a storm is not followed change by change"
            await until(lambda: set(bench.switch.flows["br-int"]) >= set(before), within_s=15.0)

    scenario(story)
