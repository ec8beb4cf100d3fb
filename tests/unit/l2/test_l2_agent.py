"""The switch agent against a simulated switch and a server in this process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.waiting import PATIENCE_S, until

from pileus.core.clock import SystemClock
from pileus.drivers.interfaces.spec import Bond, Bridge, HostNetwork
from pileus.drivers.netlink.simulated import SimulatedLinks
from pileus.drivers.openflow.flow import Flow
from pileus.drivers.openflow.simulated import SimulatedFlows
from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.drivers.ovsdb.edit import Edit
from pileus.drivers.ovsdb.simulated import SimulatedSwitch
from pileus.host.agent import AgentSettings
from pileus.host.l2 import tables as t
from pileus.host.l2.agent import SwitchAgent
from pileus.host.l2.apply import SwitchApplier
from pileus.host.l2.plan import keyed
from pileus.host.l2.restart import HELD_KEY, WAIT_KEY, RestartHold
from pileus.host.l2.settings import OWNER
from pileus.host.uplinks.apply import Uplinks
from pileus.wire.switch import RateLimit, SecurityRule, TunnelEndpoint

from .scene import SETTINGS, SSH, device, group, mac, network
from .switch_server import SwitchServer

replace = msgspec.structs.replace


class Bench:
    """One simulated node with an agent that can be dropped and started again."""

    def __init__(self, server: SwitchServer, enforcement: str = "policing") -> None:
        self.server = server
        self.switch = SimulatedSwitch()
        self.flows = SimulatedFlows(self.switch)
        self.client: OvsdbClient
        self.agent: SwitchAgent
        self.settings = replace(SETTINGS, enforcement=enforcement)  # type: ignore[arg-type]
        self.network = HostNetwork()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.client = self.switch.client(retry_s=0.01)
        self.agent = SwitchAgent(
            AgentSettings(host="n1"),
            self.settings,
            self.server,
            SystemClock(),
            self.client,
            self.flows,
            polices=True,
            uplinks=self.uplinks(),
        )
        self._task = asyncio.create_task(self.agent.run())

    def uplinks(self) -> Uplinks:
        mapped = [bridge for _, bridge in self.settings.bridge_mappings]
        more: dict[str, Any] = {"datapath_type": "netdev", "mapped": mapped, "lower_owner": OWNER}
        return Uplinks(self.network, self.client, SimulatedLinks(self.switch), **more)

    async def kill(self) -> None:
        """The object is dropped wherever it is; nothing is told goodbye."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def plug(self, *numbers: int) -> None:
        client = self.switch.client()
        await client.connect()
        edit = Edit(client)
        for number in numbers:
            ids = {"iface-id": f"port-{number}", "attached-mac": mac(number)}
            edit.ensure_bridge("br-int", datapath_type="netdev")
            edit.ensure_port("br-int", f"tap{number}", interface={"external_ids": ids})
        await edit.commit(wait_s=5)
        await client.close()

    async def unplug(self, *numbers: int) -> None:
        client = self.switch.client()
        await client.connect()
        edit = Edit(client)
        for number in numbers:
            edit.delete_port(f"tap{number}")
        await edit.commit(wait_s=5)
        await client.close()

    async def full_pass(self) -> int:
        """How many changes a pass that takes nothing for granted plans."""
        await self.agent.reconciler.settled()
        before = self.agent.metrics.full_passes
        self.agent.reconciler.wake(reread=True, inspect=True)
        await until(lambda: self.agent.metrics.full_passes > before)
        return self.agent.metrics.changes_of_last_full_pass

    def ours(self, *bridges: str) -> int:
        """How many flows of ours there are, in these bridges or in all."""
        found = [self.switch.flows.get(bridge, {}) for bridge in bridges or self.switch.flows]
        flows = [flow for bridge in found for flow in bridge.values()]
        return sum(1 for flow in flows if isinstance(flow, Flow) and flow.cookie in t.COOKIES)


def cloud() -> SwitchServer:
    server = SwitchServer()
    server.networks["net"] = network()
    server.groups["default"] = group()
    server.tunnels = [TunnelEndpoint("n1", "192.0.2.1"), TunnelEndpoint("n2", "192.0.2.2")]
    return server


@contextlib.asynccontextmanager
async def running(server: SwitchServer, enforcement: str = "policing") -> AsyncIterator[Bench]:
    bench = Bench(server, enforcement)
    await bench.start()
    try:
        yield bench
    finally:
        await bench.kill()


def scenario(story: Callable[[], object]) -> None:
    asyncio.run(story())  # type: ignore[arg-type]


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


def test_restart_rewrites_nothing() -> None:
    async def story() -> None:
        server = cloud()
        for number in (1, 2, 3):
            server.put_device(device(number), "n1")
        async with running(server) as bench:
            await bench.plug(1, 2, 3)
            await until(lambda: all(d.status == "ACTIVE" for d in server.devices.values()))
            await bench.agent.reconciler.settled()
            await bench.kill()
            told = len(server.statuses)
            await bench.start()
            await until(lambda: bench.agent.metrics.full_passes > 0)
            assert bench.agent.metrics.changes == 0
            assert len(server.statuses) == told, "nothing new to tell"

    scenario(story)


def test_what_went_while_the_agent_was_away_is_told_down() -> None:
    async def story() -> None:
        server = cloud()
        server.put_device(device(1), "n1")
        async with running(server) as bench:
            await bench.plug(1)
            await until(lambda: server.devices["port-1"].status == "ACTIVE")
            await bench.kill()
            await bench.unplug(1)
            await bench.start()
            await until(lambda: server.devices["port-1"].status == "DOWN")

    scenario(story)


def test_flows_come_back_after_vswitchd() -> None:
    async def story() -> None:
        server = cloud()
        server.put_device(device(1), "n1")
        async with running(server) as bench:
            await bench.plug(1)
            await until(lambda: server.devices["port-1"].status == "ACTIVE")
            await bench.agent.reconciler.settled()
            flows = bench.ours()
            bench.switch.stop_vswitchd()
            assert bench.ours() == 0
            await asyncio.sleep(0.05)
            bench.switch.start_vswitchd()
            await until(lambda: bench.ours() == flows)

    scenario(story)


def test_a_switch_that_starts_again_waits_for_its_flows_and_never_for_ever() -> None:
    async def story() -> None:
        server = cloud()
        server.put_device(device(1), "n1")
        async with running(server) as bench:
            await bench.plug(1)
            await until(lambda: server.devices["port-1"].status == "ACTIVE")
            await bench.agent.reconciler.settled()

            def held() -> tuple[bool, bool]:
                (row,) = bench.client.tables["Open_vSwitch"].values()
                return WAIT_KEY in row["other_config"], HELD_KEY in row["external_ids"]

            bench.switch.stop_vswitchd()
            await until(lambda: held() == (True, True))
            bench.switch.start_vswitchd()
            await until(lambda: held() == (False, False))
            assert bench.ours() > 0
            # An agent that dies meanwhile leaves it to the next one.
            bench.switch.stop_vswitchd()
            await until(lambda: held() == (True, True))
            await bench.kill()
            bench.switch.start_vswitchd()
            await bench.start()
            await until(lambda: bench.client.connected and held() == (False, False))
            # Where no pass ends, time does; what somebody else has set stays.
            hold = RestartHold(bench.client, hold_for_s=0.0)
            await hold.begin("br-int", "1")
            await hold.end("1")  # a pass that saw what the ended one left behind
            assert held() == (True, True)
            await asyncio.sleep(0.001)
            await hold.check()
            await until(lambda: held() == (False, False))
            edit = Edit(bench.client)
            edit.set_switch({"other_config": {WAIT_KEY: "true"}})
            await edit.commit()
            await hold.begin("br-int", "1")
            await hold.end("2")
            await until(lambda: held() == (True, False))

    scenario(story)


def test_after_a_restart_all_is_written_before_anything_is_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[tuple[str, str]] = []

    def noted(what: str) -> None:
        original = getattr(SwitchApplier, what)

        async def call(applier: SwitchApplier, bridge: str, *rest: Any) -> Any:
            order.append((what, bridge))
            return await original(applier, bridge, *rest)

        monkeypatch.setattr(SwitchApplier, what, call)

    async def story() -> None:
        server = cloud()
        server.put_device(device(1), "n1")
        async with running(server) as bench:
            await bench.plug(1)
            await until(lambda: server.devices["port-1"].status == "ACTIVE")
            await bench.agent.reconciler.settled()
            flows = bench.ours()
            order.clear()
            bench.switch.stop_vswitchd()
            bench.switch.start_vswitchd()
            await until(lambda: bench.ours() == flows)
            await bench.agent.reconciler.settled()

    noted("write")
    noted("read_back")
    scenario(story)
    first = [what for what, _ in order].index("read_back")
    written = [bridge for what, bridge in order[:first] if what == "write"]
    assert written[-1] == "br-int" and len(set(written)) > 1
    assert {bridge for what, bridge in order[first:] if what == "read_back"} >= {"br-int"}


def test_a_switch_that_is_being_restarted_is_waited_for_and_no_fault_of_ours() -> None:
    async def story() -> None:
        server = cloud()
        server.put_device(device(1), "n1")
        async with running(server) as bench:
            await bench.plug(1)
            await until(lambda: server.devices["port-1"].status == "ACTIVE")
            await bench.agent.reconciler.settled()
            bench.switch.stop_vswitchd()
            bench.agent.reconciler.wake(inspect=True)
            status = bench.agent.reconciler.status
            await until(lambda: status.failures_in_a_row > 0)
            # So it is one line in the log, and no traceback: test_reconcile.
            assert "The switch of this node is not there yet: br-int" in str(status.last_error)
            bench.switch.start_vswitchd()
            await until(lambda: status.failures_in_a_row == 0)

    scenario(story)


def test_ovsdb_connection_lost_and_found() -> None:
    async def story() -> None:
        server = cloud()
        server.put_device(device(1), "n1")
        async with running(server) as bench:
            await until(lambda: bench.agent.metrics.full_passes > 0)
            bench.switch.disconnect()
            await bench.plug(1)
            await until(lambda: server.devices["port-1"].status == "ACTIVE")
            assert await bench.full_pass() == 0

    scenario(story)


def test_without_its_server_the_switch_stays_and_is_repaired() -> None:
    async def story() -> None:
        server = cloud()
        server.put_device(device(1), "n1")
        async with running(server) as bench:
            await bench.plug(1)
            await until(lambda: server.devices["port-1"].status == "ACTIVE")
            await bench.agent.reconciler.settled()
            flows = bench.ours()
            server.away = True
            bench.agent.reconciler.wake(reread=True, inspect=True)
            bench.switch.stop_vswitchd()
            bench.switch.start_vswitchd()
            await until(lambda: bench.ours() == flows)
            server.away = False
            await until(lambda: bench.agent.reconciler.status.failures_in_a_row == 0)

    scenario(story)


def test_a_new_agent_without_server_touches_nothing() -> None:
    async def story() -> None:
        server = cloud()
        server.away = True
        async with running(server) as bench:
            await until(lambda: bench.agent.reconciler.status.failures > 1)
            assert bench.switch.flows == {}
            server.away = False
            await until(lambda: bench.agent.metrics.full_passes > 0)
            assert bench.ours() > 0

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


def test_a_switch_that_ends_right_after_its_first_pass_is_held() -> None:
    async def story() -> None:
        server = cloud()
        server.put_device(device(1), "n1")
        async with running(server) as bench:
            await bench.plug(1)
            await until(lambda: bench.ours("br-int") > 0)
            bench.switch.stop_vswitchd()  # before the watch of vswitchd has looked again
            hold = RestartHold(bench.client)
            await until(lambda: hold.is_held)
            bench.switch.start_vswitchd()
            await until(lambda: not hold.is_held and bench.ours("br-int") > 0)

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


def test_sigterm_stop_leaves_the_switch_as_it_is() -> None:
    async def story() -> None:
        server = cloud()
        server.put_device(device(1), "n1")
        bench = Bench(server)
        await bench.start()
        await bench.plug(1)
        await until(lambda: server.devices["port-1"].status == "ACTIVE")
        flows = bench.ours()
        bench.agent.stop()
        assert bench._task is not None
        await asyncio.wait_for(bench._task, PATIENCE_S)
        assert bench.ours() == flows

    scenario(story)


def bench_matches(bench: Bench, part: str) -> list[Flow]:
    return [f for f in bench.switch.flows["br-int"].values() if part in f.match]


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
