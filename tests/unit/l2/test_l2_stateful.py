"""Whatever happens, in whatever order: in the end the switch is as the server wants it.

Wake-ups are lost, doubled and reordered, the agent is dropped in the middle of passes, flows are
tampered with, vswitchd and connections die. Then everybody is left in peace, and checked.
"""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from tests.waiting import until

from pileus.drivers.openflow.flow import Flow
from pileus.host.l2 import apply, plan, rows
from pileus.host.l2 import tables as t
from pileus.host.l2.model import Model
from pileus.host.l2.settings import DEAD_VLAN
from pileus.host.l2.view import switch_view
from pileus.wire.calls import SWITCH_STATE
from pileus.wire.switch import RateLimit, SecurityRule, Segment, SwitchStateRequest, TunnelEndpoint

from .scene import DEFAULT_RULES, SSH, device, group, network
from .switch_bench import Bench, replace
from .switch_server import SwitchServer

NUMBERS = st.integers(1, 6)
NETWORKS = st.sampled_from(["net", "other", "wire"])
GROUPS = st.lists(st.sampled_from(["default", "web", "db"]), max_size=3, unique=True).map(tuple)
RULES = st.lists(
    st.sampled_from(
        [
            *DEFAULT_RULES,
            SSH,
            SecurityRule("w", "ingress", "IPv4", "tcp", 80, 90, None, "web"),
            SecurityRule("d", "egress", "IPv4", "udp", None, None, "10.0.0.0/8"),
            SecurityRule("i", "ingress", "IPv6", "icmp", 128, 0),
        ]
    ),
    max_size=5,
    unique=True,
).map(tuple)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flows in tables that nobody uses go soon."""
    monkeypatch.setattr(apply, "_FORMER_S", 0.05)


class SwitchMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()

    @initialize(seed=st.integers(0, 1 << 16))
    def begin(self, seed: int) -> None:
        self.server = SwitchServer(random.Random(seed))
        self.server.heartbeat_interval_s = 0.03
        self.server.networks = {
            "net": network(),
            "other": network("other", Segment("vxlan", None, 200)),
            "wire": network("wire", Segment("vlan", "physnet1", 77)),
        }
        self.server.groups = {name: group(name) for name in ("default", "web", "db")}
        self.server.tunnels = [TunnelEndpoint("n1", "192.0.2.1"), TunnelEndpoint("n2", "192.0.2.2")]
        self.bench = Bench(self.server, "meter")
        self.plugged: set[int] = set()
        self.running = True
        self.run(self.bench.start())

    def run(self, coroutine: object = None) -> None:
        """Do something, and let the agent run on for a moment that differs."""

        async def both() -> None:
            if coroutine is not None:
                await coroutine  # type: ignore[misc]
            for _ in range(random.randrange(40)):
                await asyncio.sleep(0)

        self.runner.run(both())

    @rule(number=NUMBERS, host=st.sampled_from(["n1", "n1", "n2"]), net=NETWORKS, groups=GROUPS)
    def bind(self, number: int, host: str, net: str, groups: tuple[str, ...]) -> None:
        self.server.put_device(device(number, net, security_group_ids=groups), host)
        self.run()

    @rule(number=NUMBERS, limit=st.sampled_from([None, 1000, 5000]), up=st.booleans(), secured=st.booleans())
    def update(self, number: int, limit: int | None, up: bool, secured: bool) -> None:
        if present := self.server.devices.get(f"port-{number}"):
            changed = replace(
                present,
                rate_limit=RateLimit("q", limit, 100) if limit else None,
                admin_state_up=up,
                port_security_enabled=secured,
            )
            self.server.put_device(changed, self.server.hosts[present.port_id])
            self.run()

    @rule(number=NUMBERS)
    def delete(self, number: int) -> None:
        if f"port-{number}" in self.server.devices:
            self.server.remove_device(f"port-{number}")
            self.run()

    @rule(numbers=st.lists(NUMBERS, min_size=1, max_size=4, unique=True))
    def plug(self, numbers: list[int]) -> None:
        self.plugged |= set(numbers)
        self.run(self.bench.plug(*numbers))

    @rule(number=NUMBERS)
    def unplug(self, number: int) -> None:
        if number in self.plugged:
            self.plugged.discard(number)
            self.run(self.bench.unplug(number))

    @rule(name=st.sampled_from(["default", "web", "db"]), rules=RULES)
    def change_rules(self, name: str, rules: tuple[SecurityRule, ...]) -> None:
        self.server.put_group(group(name, rules))
        self.run()

    @rule(up=st.booleans(), net=NETWORKS)
    def change_network(self, up: bool, net: str) -> None:
        self.server.put_network(replace(self.server.networks[net], admin_state_up=up))
        self.run()

    @rule(hosts=st.sets(st.integers(2, 4)))
    def change_tunnels(self, hosts: set[int]) -> None:
        self.server.tunnels = [TunnelEndpoint(f"n{n}", f"192.0.2.{n}") for n in sorted({1, *hosts})]
        self.server.changed("tunnels:all")
        self.run()

    @precondition(lambda self: self.running)
    @rule()
    def kill_agent(self) -> None:
        self.running = False
        self.run(self.bench.kill())

    @precondition(lambda self: not self.running)
    @rule()
    def start_agent(self) -> None:
        self.running = True
        self.run(self.bench.start())

    @rule()
    def restart_vswitchd(self) -> None:
        self.bench.switch.stop_vswitchd()
        self.run()
        self.bench.switch.start_vswitchd()

    @rule()
    def lose_the_database(self) -> None:
        self.bench.switch.disconnect()
        self.run()

    @rule(away=st.booleans())
    def server_comes_and_goes(self, away: bool) -> None:
        self.server.away = away
        self.run()

    @rule(index=st.integers(0, 500))
    def tamper(self, index: int) -> None:
        flows = [
            flow for flow in self.bench.switch.flows.get("br-int", {}).values() if isinstance(flow, Flow)
        ]
        if flows:
            victim = flows[index % len(flows)]
            stale = Flow(99, index, "ip", "drop", t.GROUP_COOKIE)
            self.run(self.bench.flows.apply("br-int", [stale], [victim]))

    def teardown(self) -> None:
        try:
            if hasattr(self, "bench"):
                self.runner.run(self._peace())
        finally:
            self.runner.close()

    async def _peace(self) -> None:
        self.server.away = False
        if not self.running:
            await self.bench.start()
        await self._settle()
        await self._check()
        # Everything goes: nothing is left of devices, networks and groups.
        for port_id in list(self.server.devices):
            self.server.remove_device(port_id)
        if self.plugged:
            await self.bench.unplug(*self.plugged)
        await self._settle()
        left = [
            flow
            for bridge in self.bench.switch.flows.values()
            for flow in bridge.values()
            if isinstance(flow, Flow) and flow.cookie in t.COOKIES - {t.BRIDGE_COOKIE}
        ]
        assert left == []
        assert await self.bench.flows.meters("br-int") == {}
        assert not {
            r["name"] for r in self.bench.client.by_name("Port").values() if r["name"].startswith("tap")
        }
        await self.bench.kill()

    async def _settle(self) -> None:
        """Two full passes: the first may repair what nobody said a word of, the second plans nothing."""
        agent = self.bench.agent
        # Whoever waits for a reconnection or a pause after a failure gets his time.
        await until(lambda: agent.metrics.full_passes > 0 and self.bench.client.connected, 30)
        agent.reconciler.hurry()
        for _ in range(20):
            if await asyncio.wait_for(self.bench.full_pass(), 30) == 0:
                break
        await until(lambda: not agent._applier._former, 30)
        await agent.reconciler.settled()
        assert await asyncio.wait_for(self.bench.full_pass(), 30) == 0

    async def _check(self) -> None:
        request = SwitchStateRequest("n1")
        server, settings = self.server, self.bench.settings
        model = Model().absorb(request, await server.call(SWITCH_STATE, request)).pruned()
        view = switch_view(self.bench.client)
        row_plan = rows.plan_rows(model, view, settings)
        assert (row_plan.edits, row_plan.removals) == ((), ())
        wiring = plan.wire(model, view, row_plan, settings, lambda _: True)
        for bridge, wanted in plan.plan_flows(model, wiring, settings, plan.FlowBook()).items():
            there = plan.keyed(f for f in await self.bench.flows.dump(bridge) if f.cookie in t.COOKIES)
            assert there == wanted, bridge
        for port_id, details in server.devices.items():
            here = server.hosts[port_id] == "n1" and int(port_id.removeprefix("port-")) in self.plugged
            up = details.admin_state_up and server.networks[details.network_id].admin_state_up
            if server.hosts[port_id] == "n1":
                assert (details.status == "ACTIVE") == (here and up), details
        for number in self.plugged:
            tag = self.bench.client.by_name("Port")[f"tap{number}"]["tag"]
            assert (tag == DEAD_VLAN) == (f"port-{number}" not in wiring.devices)


TestSwitch = SwitchMachine.TestCase
TestSwitch.settings = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
