"""Metering labels of a distributed router: hosts count what they translate, its agent the rest, once each."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest
from tests.system.cloud_world import BEYOND, CLOUD_CONFIG, CloudWorld, story_in_a_cloud
from tests.system.node_world import REAL
from tests.system.test_dvr_floating_real import translated

from pileus.core.clock import SystemClock
from pileus.drivers.process import run
from pileus.host.agent import AgentSettings
from pileus.host.l2.metered import counted
from pileus.host.metering.agent import MeteringAgent

pytestmark = [*REAL, pytest.mark.alone]
LABELS, RULES = "/v2.0/metering/metering-labels", "/v2.0/metering/metering-label-rules"
_PINGS, _SIZE = 20, 56 + 8 + 20
"""Octets of an echo request with its ICMP and IP headers, as ping makes it."""


async def pinged(namespace: str, address: str) -> None:
    inside = ("ip", "netns", "exec", namespace)
    await run((*inside, "ping", "-q", "-c", str(_PINGS), "-i", "0.02", "-W", "2", address))


def test_each_packet_is_counted_once_wherever_it_goes() -> None:
    async def story(world: CloudWorld) -> None:
        network, subnet = await world.network(1)
        router = await world.router(subnet, distributed=True)
        a, a_port, at_a = await world.guest("n2", network)
        b, _, at_b = await world.guest("n2", network)
        outer = await world.floating(a_port)
        await translated(world, "n2", outer)
        await world.pings_soon(world.outside, outer)
        await world.pings_soon(b.namespace, BEYOND)  # by the router's agent on n1
        await _told(world, "n2")

        labels = {}
        for direction, more in (("egress", {}), ("ingress", {}), ("egress", {"excluded": True})):
            body: dict[str, Any] = {"direction": direction, "remote_ip_prefix": "10.1.0.0/24"}
            if more:
                body |= more | {"remote_ip_prefix": f"{at_b}/32", "metering_label_id": labels["egress"]}
            else:
                made = await world.admin(
                    "POST", LABELS, {"metering_label": {"name": direction, "shared": True}}
                )
                body["metering_label_id"] = labels[direction] = made.json["metering_label"]["id"]
            answer = await world.admin("POST", RULES, {"metering_label_rule": body})
            assert answer.status == 201, answer

        meters = []
        for host in ("n1", "n2"):
            switch, there = world.agents[host, "switch"], world.lab.hosts[host]
            reads = [functools.partial(_of_switch, there.flows(), switch)]
            if host == "n1":
                reads.append(world.agents[host, "l3"].counted)
            meters.append(
                MeteringAgent(
                    AgentSettings(host=host), world.lines[host], SystemClock(), *reads, interval_s=0.2
                )
            )
        tasks = [asyncio.create_task(meter.run()) for meter in meters]

        async def counters(direction: str) -> tuple[int, int]:
            answer = await world.admin("GET", f"{LABELS}/{labels[direction]}/counters")
            (one,) = answer.json["counters"] or [{"router_id": router, "packets": 0, "bytes": 0}]
            return one["packets"], one["bytes"]

        async def until(wanted: dict[str, tuple[int, int]]) -> None:
            seen: dict[str, tuple[int, int]] = {}
            try:
                async with asyncio.timeout(15):
                    while (seen := {key: await counters(key) for key in wanted}) != wanted:
                        await asyncio.sleep(0.1)
            except TimeoutError:
                raise AssertionError(f"{seen}, not {wanted}") from None

        # Nothing of what is wanted is anywhere yet, so wait until the flows and chains are.
        await _led(world, "n2")
        await world.settled()
        await pinged(world.outside, outer)  # twenty in, twenty answers out
        await until(dict.fromkeys(("egress", "ingress"), (_PINGS, _PINGS * _SIZE)))
        await pinged(a.namespace, BEYOND)
        await until(dict.fromkeys(("egress", "ingress"), (2 * _PINGS, 2 * _PINGS * _SIZE)))
        await pinged(b.namespace, BEYOND)  # excluded as it goes out, and counted by the agent as it comes in
        many = {"egress": 2 * _PINGS, "ingress": 3 * _PINGS}
        await until({key: (number, number * _SIZE) for key, number in many.items()})
        await pinged(a.namespace, at_b)  # inside, and nothing to count
        await world.pings(b.namespace, at_a)
        await asyncio.sleep(1.0)
        await until({key: (number, number * _SIZE) for key, number in many.items()})
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    story_in_a_cloud(story, 2, routing=("n1",), config=CLOUD_CONFIG)


async def _of_switch(flows: Any, switch: Any) -> Any:
    return await counted(flows, "br-int", switch.model)


async def _told(world: CloudWorld, host: str) -> None:
    """Wait until the datapath of a host has told its flows of all packets so far. Those that it tells of
    later are counted by the flows that are there by then: by those of a label that is made meanwhile."""
    control = world.lab.hosts[host].run_dir / "ovs-vswitchd.ctl"
    await run(("ovs-appctl", "-t", str(control), "revalidator/wait"))


async def _led(world: CloudWorld, host: str) -> None:
    """Wait until a host's switch leads packets through both labels."""
    there = world.lab.hosts[host]
    async with asyncio.timeout(15):
        while sum(flow.table == 95 for flow in await there.flows().dump("br-int")) < 2:
            await asyncio.sleep(0.05)
