"""A router moves from one L3 agent to another while packets flow: counted, also where somebody dies."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import pytest
from msgspec.structs import replace
from tests.patience import PATIENCE
from tests.system.cloud_world import BEYOND, CLOUD_CONFIG, CloudWorld, story_in_a_cloud, until
from tests.system.node_world import REAL

pytestmark = [*REAL, pytest.mark.alone]
RATE = 1000
GAP_S = 0.2


async def agent_on(world: CloudWorld, host: str) -> str:
    answer = await world.admin("GET", f"/v2.0/agents?agent_type=L3 agent&host={host}")
    return str(answer.json["agents"][0]["id"])


async def move(world: CloudWorld, router: str, source: str, target: str) -> None:
    """As clients do it: taken from one agent, given to another."""
    there, here = await agent_on(world, target), await agent_on(world, source)
    taken = await world.admin("DELETE", f"/v2.0/agents/{here}/l3-routers/{router}")
    assert taken.status == 204, taken
    given = await world.admin("POST", f"/v2.0/agents/{there}/l3-routers", {"router_id": router})
    assert given.status == 201, given


async def hosts_of_ports(world: CloudWorld, router: str) -> set[str]:
    ports = (await world.admin("GET", f"/v2.0/ports?device_id={router}")).json["ports"]
    return {port["binding:host_id"] for port in ports}


async def places(world: CloudWorld, router: str) -> set[str]:
    """The hosts that have a namespace of the router."""
    return {
        host
        for host in world.routing
        if f"{world.prefix(host)}{router}" in await world.links.namespaces(world.prefix(host))
    }


async def served_by(world: CloudWorld, router: str, host: str) -> None:
    """Wait until that host serves the router, and no other has anything of it."""
    async with asyncio.timeout(30 * PATIENCE):
        while (await hosts_of_ports(world, router), await places(world, router)) != ({host}, {host}):
            await asyncio.sleep(0.02)


def test_packets_flow_while_a_router_moves() -> None:
    async def story(world: CloudWorld) -> None:
        network, subnet = await world.network(1)
        other, other_subnet = await world.network(2)
        router = await world.router(subnet, other_subnet)
        guest, port, _ = await world.guest("n3", network)
        peer, _, peer_at = await world.guest("n3", other, 2)
        floating = await world.floating(port)
        await world.pings_soon(guest.namespace, BEYOND)
        await world.pings_soon(guest.namespace, peer_at)
        await world.pings_soon(world.outside, floating)
        await world.settled()
        world.prefer_the_switches()
        (here,) = await hosts_of_ports(world, router)
        for what, sender, receiver, address in (
            ("source NAT", guest.namespace, world.outside, BEYOND),
            ("floating IP", world.outside, guest.namespace, floating),
            ("routed", guest.namespace, peer.namespace, peer_at),
        ):
            (there,) = {"n1", "n2"} - {here}

            async def meanwhile(source: str = here, target: str = there) -> None:
                await move(world, router, source, target)
                await served_by(world, router, target)

            sent, came = await world.stream(sender, receiver, address, meanwhile, rate=RATE)
            print(f"{what}: gap {(sent - came) / RATE * 1000:.0f} ms, {came} of {sent}")
            assert sent > RATE
            assert (sent - came) / RATE < GAP_S, f"{what}: {sent - came} of {sent}"
            here = there
        for host in ("n1", "n2"):
            agent = world.agents[host, "l3"]
            before = agent.metrics.full_passes
            agent.reconciler.wake(reread=True, inspect=True)
            await until(lambda agent=agent, before=before: agent.metrics.full_passes > before)
            assert agent.metrics.changes_of_last_full_pass == 0

    # Nothing waits for a heartbeat.
    story_in_a_cloud(
        story, config=replace(CLOUD_CONFIG, heartbeat_interval_s=3600.0, agent_down_time_s=7200.0)
    )


@pytest.mark.nightly
def test_whoever_dies_meanwhile_one_agent_serves() -> None:
    async def story(world: CloudWorld) -> None:
        network, subnet = await world.network(1)
        router = await world.router(subnet)
        guest, port, _ = await world.guest("n3", network)
        floating = await world.floating(port)
        await world.pings_soon(world.outside, floating)
        await world.settled()
        world.prefer_the_switches()

        async def target_dies(source: str, target: str) -> None:
            await world.drop(target, "l3")
            await asyncio.sleep(0.5)
            assert await hosts_of_ports(world, router) <= {source, target}
            await world.start(target, "l3")

        async def source_dies(source: str, target: str) -> None:
            await world.drop(source, "l3")
            async with asyncio.timeout(30 * PATIENCE):
                while await hosts_of_ports(world, router) != {target}:
                    await asyncio.sleep(0.02)
            await world.start(source, "l3")

        async def server_dies(source: str, target: str) -> None:
            for line in world.lines.values():
                line.away = True
            await asyncio.sleep(1.0)
            for line in world.lines.values():
                line.away = False
            for kind in ("l3", "switch"):  # which else say so with their next heartbeats
                for host in world.lines:
                    if agent := world.agents.get((host, kind)):
                        agent.reconciler.wake(reread=True)

        for number, (pause, dies) in enumerate(
            itertools.product((0.0, 0.2), (target_dies, source_dies, server_dies))
        ):
            (source,) = await hosts_of_ports(world, router)
            (target,) = {"n1", "n2"} - {source}

            async def meanwhile(
                source: str = source,
                target: str = target,
                pause: float = pause,
                dies: Callable[[str, str], Awaitable[None]] = dies,
            ) -> None:
                await move(world, router, source, target)
                await asyncio.sleep(pause)
                await dies(source, target)
                await served_by(world, router, target)

            sent, came = await world.stream(world.outside, guest.namespace, floating, meanwhile, rate=200)
            print(f"{number}: {dies.__name__} after {pause} s: {sent - came} of {sent} lost")
            assert (sent - came) / 200 < GAP_S

    story_in_a_cloud(story)


@pytest.mark.nightly
def test_agents_that_are_disabled_and_moves_that_are_none() -> None:
    async def story(world: CloudWorld) -> None:
        network, subnet = await world.network(1)
        router = await world.router(subnet)
        guest, port, _ = await world.guest("n3", network)
        floating = await world.floating(port)
        await world.pings_soon(world.outside, floating)
        await world.settled()
        world.prefer_the_switches()
        (source,) = await hosts_of_ports(world, router)
        (target,) = {"n1", "n2"} - {source}

        async def back_and_away() -> None:
            # Given back to the agent that it was taken from: nothing happens at all.
            await move(world, router, source, source)
            await world.settled()
            assert await places(world, router) == {source}
            here = await agent_on(world, source)
            await world.admin("PUT", f"/v2.0/agents/{here}", {"agent": {"admin_state_up": False}})
            await served_by(world, router, target)

        sent, came = await world.stream(world.outside, guest.namespace, floating, back_and_away, rate=200)
        assert (sent - came) / 200 < GAP_S, f"{sent - came} of {sent}"
        # Taken away and given to nobody, it goes on for a moment only.
        there = await agent_on(world, target)
        taken = await world.admin("DELETE", f"/v2.0/agents/{there}/l3-routers/{router}")
        assert taken.status == 204 and await world.pings(world.outside, floating)
        async with asyncio.timeout(30 * PATIENCE):
            while await places(world, router):
                await asyncio.sleep(0.05)
        assert await hosts_of_ports(world, router) == {""}

    story_in_a_cloud(story, config=replace(CLOUD_CONFIG, router_handover_s=2.0))
