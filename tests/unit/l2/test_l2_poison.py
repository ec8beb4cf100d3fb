"""Any single record that can't be carried out leaves all others served, and is told with its reason."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.unit.poison import PHASES, poisoned
from tests.waiting import until

from pileus.drivers.openflow.flow import Flow
from pileus.drivers.openflow.table import FlowRejected
from pileus.drivers.ovsdb.client import TransactionFailed
from pileus.drivers.ovsdb.edit import Edit
from pileus.host.l2 import plan
from pileus.host.l2 import tables as t
from pileus.host.l2.devices import device_flows
from pileus.host.l2.rules import profile_flows
from pileus.wire.switch import (
    AddressPair,
    FixedIP,
    RateLimit,
    SecurityRule,
    Segment,
    TunnelEndpoint,
)

from .scene import DEFAULT_RULES, SSH, device, group, network
from .switch_bench import Bench, running, scenario
from .switch_server import SwitchServer

replace = msgspec.structs.replace
GOOD = (1, 2, 3)
VICTIM = 9
FULL = device(
    VICTIM,
    "other",
    fixed_ips=(FixedIP("10.9.0.9", "s", "10.9.0.0/16", "10.9.0.1"), FixedIP("fd00::9", "s6", "fd00::/64")),
    allowed_address_pairs=(AddressPair("10.9.0.0/24", "fa:16:3e:00:77:09"),),
    security_group_ids=("web",),
    rate_limit=RateLimit("q", 1000, 100),
)
RULE = SecurityRule("w", "ingress", "IPv4", "tcp", 80, 90, "10.0.0.0/8")
NUMBERED = {"segmentation_id": 77}


def cloud() -> SwitchServer:
    server = SwitchServer()
    server.networks = {
        "net": network(),
        "wire": network("wire", Segment("vlan", "physnet1", 77)),
        "other": network("other", Segment("vlan", "physnet1", 78)),
    }
    server.groups = {"default": group(), "web": group("web", (*DEFAULT_RULES, SSH, RULE))}
    server.tunnels = [TunnelEndpoint("n1", "192.0.2.1"), TunnelEndpoint("n2", "192.0.2.2")]
    for number in GOOD:
        server.put_device(device(number, "wire" if number == 3 else "net"), "n1")
    return server


def served(bench: Bench) -> bool:
    """Whether the good devices are, with all flows that are theirs alone and those of their groups."""
    server, agent = bench.server, bench.agent
    wired = agent._wired.devices if agent._wired else {}
    if any(server.devices[f"port-{n}"].status != "ACTIVE" or f"port-{n}" not in wired for n in GOOD):
        return False
    flows = plan.keyed(flow for flow in bench.switch.flows["br-int"].values() if isinstance(flow, Flow))
    wanted = [flow for n in GOOD for flow in device_flows(wired[f"port-{n}"])]
    default = wired["port-1"].profile
    wanted += profile_flows(default, (*DEFAULT_RULES[:2], SSH), {})
    return all(flows.get(flow.key) == flow for flow in wanted)


VICTIMS: dict[str, Any] = {
    "local device": poisoned(FULL),
    "remote device": poisoned(replace(FULL, network_id="net", security_group_ids=("default",))),
    "network": poisoned(network("other", Segment("vlan", "physnet1", 78))),
    "tunnelled network": poisoned(network("other", Segment("vxlan", None, 200))),
    "rule": poisoned(RULE),
    "endpoint": poisoned(TunnelEndpoint("n3", "192.0.2.3")),
}


@pytest.mark.parametrize("kind", VICTIMS)
@settings(max_examples=15, phases=PHASES, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_one_bad_record_leaves_all_others_served(kind: str, data: st.DataObject) -> None:
    poison = data.draw(VICTIMS[kind])

    async def story() -> None:
        server = cloud()
        async with running(server, "meter") as bench:
            await until(lambda: bench.agent.metrics.passes > 0)
            put(server, kind, poison)
            await bench.plug(*GOOD, VICTIM)
            await until(lambda: served(bench))
            await bench.agent.reconciler.settled()
            assert bench.agent.reconciler.status.last_error is None
            # A pass that takes nothing for granted goes through as well, and so does a restart.
            await bench.full_pass()
            assert served(bench)
            await bench.kill()
            await bench.start()
            await until(lambda: bench.agent.metrics.full_passes > 0)
            await bench.agent.reconciler.settled()
            assert served(bench)
            status = bench.agent.reconciler.status
            assert (status.failures, status.last_error) == (0, None)
            # What became good is served at the next pass.
            mend(server, kind, poison)
            await until(lambda: server.devices[FULL.port_id].status == "ACTIVE")
            assert served(bench)

    scenario(story)


def put(server: SwitchServer, kind: str, poison: Any) -> None:
    match kind:
        case "local device" | "remote device":
            assume(poison.port_id not in server.devices)
            server.put_device(poison, "n1" if kind == "local device" else "n2")
            return
        case "network" | "tunnelled network":
            assume(poison.network_id not in ("net", "wire"))
            server.networks["other"] = poison
        case "rule":
            server.groups["web"] = group("web", (*DEFAULT_RULES, SSH, poison))
        case "endpoint":
            assume(poison.tunneling_ip not in ("192.0.2.1", "192.0.2.2"))
            server.tunnels.append(poison)
            server.changed("tunnels:all")
    server.put_device(FULL, "n1")


def mend(server: SwitchServer, kind: str, poison: Any) -> None:
    if "device" in kind:
        server.remove_device(poison.port_id)
    elif "network" in kind:
        server.put_network(network("other", Segment("vlan", "physnet1", 78)))
    elif kind == "rule":
        server.put_group(group("web", (*DEFAULT_RULES, SSH, RULE)))
    else:
        server.tunnels.pop()
        server.changed("tunnels:all")
    server.put_device(replace(FULL, network_id="other"), "n1")


def test_the_reason_is_told_and_the_count_is_in_the_agents_state() -> None:
    async def story() -> None:
        server = cloud()
        bad = replace(FULL, fixed_ips=(FixedIP("fe80::1%a b\n", "s"),), status="ACTIVE")
        server.put_device(bad, "n1")
        async with running(server) as bench:
            await bench.plug(*GOOD, VICTIM)
            await until(lambda: served(bench))
            await until(lambda: any(one.failed for one in server.statuses))
            (failure,) = next(one.failed for one in server.statuses if one.failed)
            assert failure.port_id == FULL.port_id
            assert failure.reason == "'fe80::1%a b\\n' is no IP address"
            assert bench.agent.configurations()["failed"] == 1
            # It is told once, and says nothing: nobody vouches for it.
            await bench.full_pass()
            assert bench.client.by_name("Port")["tap9"]["tag"] == 4095

    scenario(story)


def test_what_the_planner_or_the_database_refuses_is_found_by_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the reason: here faults that no record shows."""
    tried: list[str] = []
    real_flows, real_commit = plan.device_flows, Edit.commit

    def breaks(wired: Any) -> list[Flow]:
        if wired.details.port_id == FULL.port_id:
            tried.append("plan")
            raise RuntimeError("nobody thought of this")
        return real_flows(wired)

    async def refuses(self: Edit, **values: Any) -> bool:
        if FULL.network_id in str(self.operations()) and "pileus-network" in str(self.operations()):
            tried.append("commit")
            raise TransactionFailed(-1, None, "constraint violation", "nobody thought of that")
        return await real_commit(self, **values)

    async def story(patch: str) -> None:
        server = cloud()
        server.put_device(FULL, "n1")
        async with running(server) as bench:
            for patience in (bench.agent._patience, bench.agent._applier._refused_edits):
                patience._first_s = 2.0
            with monkeypatch.context() as patched:
                patched.setattr(plan, "device_flows", breaks) if patch == "plan" else patched.setattr(
                    Edit, "commit", refuses
                )
                await bench.plug(*GOOD, VICTIM)
                await until(lambda: served(bench))
                await until(lambda: any(one.failed for one in server.statuses))
                (failure,) = next(one.failed for one in server.statuses if one.failed)
                assert "nobody thought of" in failure.reason
                await bench.agent.reconciler.settled()
                count = len(tried)
                # Passes go on without it: it waits for its next try.
                for number in range(5):
                    server.put_device(device(20 + number), "n1")
                    await bench.plug(20 + number)
                    await until(
                        lambda number=number: server.devices[f"port-{20 + number}"].status == "ACTIVE"
                    )
                assert len(tried) == count
                assert bench.agent.reconciler.status.failures == 0
            await until(lambda: server.devices[FULL.port_id].status == "ACTIVE")

    for patch in ("plan", "commit"):
        asyncio.run(story(patch))


def test_a_flow_that_the_switch_refuses_is_not_tried_with_every_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        server = cloud()
        server.put_device(FULL, "n1")
        async with running(server) as bench:
            bundles: list[int] = []
            real = bench.flows.apply

            async def apply(bridge: str, add: Any, delete: Any = ()) -> None:
                flows = list(add)
                bundles.append(len(flows))
                if any("10.9.0.9" in str(flow) for flow in flows):
                    raise FlowRejected(bridge, "OFPBMC_BAD_VALUE", "one of them")
                await real(bridge, flows, delete)

            bench.agent._applier._refused._first_s = 2.0
            monkeypatch.setattr(bench.flows, "apply", apply)
            await bench.plug(*GOOD, VICTIM)
            await until(lambda: served(bench))
            await until(lambda: any(one.failed for one in server.statuses))
            failure = next(one.failed for one in server.statuses if one.failed)[0]
            assert failure.port_id == FULL.port_id
            assert "10.9.0.9" in failure.reason
            await bench.agent.reconciler.settled()
            bundles.clear()
            server.put_device(device(20), "n1")
            await bench.plug(20)
            await until(lambda: server.devices["port-20"].status == "ACTIVE")
            assert len(bundles) <= 2
            monkeypatch.setattr(bench.flows, "apply", real)
            await until(lambda: server.devices[FULL.port_id].status == "ACTIVE")

    scenario(story)


def test_of_two_that_claim_the_same_the_one_that_has_it_keeps_it() -> None:
    async def story() -> None:
        server = cloud()
        async with running(server) as bench:
            await bench.plug(*GOOD)
            await until(lambda: served(bench))
            # By name the newcomer would come first.
            twin = device(0, mac_address=device(1).mac_address, fixed_ips=())
            server.put_device(twin, "n1")
            await bench.plug(0)
            await until(lambda: any(one.failed for one in server.statuses))
            assert served(bench)
            assert "is that of port port-1" in server.statuses[-1].failed[0].reason

    scenario(story)


def test_a_pair_with_a_broadcast_address_takes_nobodys_broadcasts() -> None:
    async def story() -> None:
        server = cloud()
        pair = AddressPair("10.0.0.4", "ff:ff:ff:ff:ff:ff")
        server.put_device(device(4, allowed_address_pairs=(pair,)), "n1")
        async with running(server) as bench:
            await bench.plug(*GOOD, 4)
            await until(lambda: server.devices["port-4"].status == "ACTIVE")
            flows = [flow for flow in await bench.flows.dump("br-int") if flow.table == t.SWITCH]
            assert not [flow for flow in flows if "dl_dst=ff:ff" in flow.match and "arp" not in flow.match]

    scenario(story)
