"""Routers of high availability with keepalived: packets while hosts die and come back, counted."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from tests.system.cloud_world import BEYOND, OUTSIDE, CloudWorld, story_in_a_cloud, until
from tests.system.node_world import REAL

from pileus.drivers.conntrackd import driver as conntrackd
from pileus.drivers.keepalived import driver as keepalived
from pileus.drivers.process import run

pytestmark = [
    *REAL,
    pytest.mark.alone,
    pytest.mark.skipif(bool(keepalived.missing_programs()), reason="keepalived is not installed"),
]
RATE = 500


def test_a_host_dies_and_comes_back() -> None:
    async def story(world: CloudWorld) -> None:
        network, subnet = await world.network()
        router = await world.router(subnet, ha=True)
        guest, port, _ = await world.guest("n3", network)
        floating = await world.floating(port)
        active = await world.active(router)
        (other,) = {"n1", "n2"} - {active}
        await world.pings_soon(guest.namespace, OUTSIDE)
        await world.pings_soon(guest.namespace, BEYOND)
        await world.pings_soon(world.outside, floating)
        async with asyncio.timeout(20):
            # Both may have begun as active, before they could hear each other.
            while sorted((await world.states(router)).values()) != ["active", "standby"]:
                await asyncio.sleep(0.1)
        active = await world.active(router)
        (other,) = {"n1", "n2"} - {active}
        await world.settled()
        for host in ("n1", "n2"):
            agent = world.agents[host, "l3"]
            before = agent.metrics.full_passes
            agent.reconciler.wake(reread=True, inspect=True)
            await until(lambda agent=agent, before=before: agent.metrics.full_passes > before)
            assert agent.metrics.changes_of_last_full_pass == 0
        world.prefer_the_switches()

        # Agents die: nobody notices.
        async def agents_die() -> None:
            for host in ("n1", "n2"):
                for kind in world.kinds(host):
                    await world.drop(host, kind)
            await asyncio.sleep(0.5)
            for host in ("n1", "n2"):
                for kind in world.kinds(host):
                    await world.start(host, kind)
            await until(lambda: all(agent.metrics.full_passes for agent in world.agents.values()))

        sent, came = await world.stream(world.outside, guest.namespace, floating, agents_die, rate=RATE)
        assert came == sent > 500
        assert await world.active(router) == active

        # The host dies: the other one goes on, though no agent and no server has told it to.
        async def host_dies() -> None:
            world.lines[other].away = True
            await world.kill_everything(active)
            await asyncio.sleep(2.0)

        sent, came = await world.stream(world.outside, guest.namespace, floating, host_dies, rate=RATE)
        outage_s = (sent - came) / RATE
        print(f"outage {outage_s:.3f} s")
        assert 0 < outage_s < 1.0, f"{outage_s} s"
        world.lines[other].away = False
        async with asyncio.timeout(20):
            while (await world.states(router))[other] != "active":
                await asyncio.sleep(0.05)
        ports = (await world.admin("GET", f"/v2.0/ports?device_id={router}")).json["ports"]
        hosts = {p["binding:host_id"] for p in ports if "ha_interface" not in p["device_owner"]}
        assert hosts == {other}, "the ports follow"

        # It comes back, and nobody notices that either.
        async def host_returns() -> None:
            await world.bring_back(active)
            await until(lambda: world.agents[active, "l3"].metrics.full_passes > 0, 30)
            await asyncio.sleep(1.5)

        world.prefer_the_switches()
        sent, came = await world.stream(world.outside, guest.namespace, floating, host_returns, rate=RATE)
        print(f"return {(sent - came) / RATE:.3f} s of {sent}")
        assert came == sent
        assert (await world.states(router))[other] == "active"

        await world.api("PUT", f"/v2.0/routers/{router}/remove_router_interface", {"subnet_id": subnet})

    story_in_a_cloud(story)


@pytest.mark.nightly
@pytest.mark.skipif(bool(conntrackd.missing_programs()), reason="conntrackd is not installed")
def test_a_connection_outlives_its_host() -> None:
    """One whose source address is translated: who takes over must know it, or its answers lead nowhere."""

    async def story(world: CloudWorld) -> None:
        network, subnet = await world.network()
        router = await world.router(subnet, ha=True)
        guest, _, _ = await world.guest("n3", network)
        await world.pings_soon(guest.namespace, BEYOND)
        async with asyncio.timeout(20):
            while sorted((await world.states(router)).values()) != ["active", "standby"]:
                await asyncio.sleep(0.1)
        active = await world.active(router)
        (other,) = {"n1", "n2"} - {active}
        await world.settled()
        assert len(world.conntrackds("n1")) == len(world.conntrackds("n2")) == 1

        async def said(talk: asyncio.subprocess.Process, text: str) -> str:
            assert talk.stdin is not None and talk.stdout is not None
            talk.stdin.write(f"{text}\n".encode())
            await talk.stdin.drain()
            return (await asyncio.wait_for(talk.stdout.readline(), 10)).decode().strip()

        async def known(host: str) -> bool:
            inside = ("ip", "netns", "exec", f"{world.prefix(host)}{router}")
            shown = (await run((*inside, "cat", "/proc/net/nf_conntrack"))).decode()
            return any("ESTABLISHED" in line and "dport=5005" in line for line in shown.splitlines())

        async with (
            world.program(world.outside, "serve", "5005"),
            world.program(guest.namespace, "talk", BEYOND, "5005") as talk,
        ):
            assert talk.stdout is not None
            assert (await asyncio.wait_for(talk.stdout.readline(), 10)).strip() == b"connected"
            assert await said(talk, "before") == "before"
            async with asyncio.timeout(10):
                while not await known(other):
                    await asyncio.sleep(0.05)
            world.lines[other].away = True
            await world.kill_everything(active)
            await world.pings_soon(guest.namespace, BEYOND)
            assert await said(talk, "after") == "after"
            world.lines[other].away = False
        for number in world.conntrackds(other):
            os.kill(number, signal.SIGKILL)
        async with asyncio.timeout(20):
            while not world.conntrackds(other):
                await asyncio.sleep(0.05)
        await world.api("PUT", f"/v2.0/routers/{router}/remove_router_interface", {"subnet_id": subnet})
        assert (await world.admin("DELETE", f"/v2.0/routers/{router}")).status == 204
        async with asyncio.timeout(20):
            while world.conntrackds(other):
                await asyncio.sleep(0.05)

    story_in_a_cloud(story)


def test_keepalived_is_kept_running_and_ends_with_the_router() -> None:
    async def story(world: CloudWorld) -> None:
        network, subnet = await world.network()
        router = await world.router(subnet, ha=True)
        guest, _, _ = await world.guest("n1", network)
        active = await world.active(router)
        await world.pings_soon(guest.namespace, BEYOND)
        running = world.keepaliveds(active)
        assert running
        for number in running:
            os.kill(number, signal.SIGKILL)
        await until(lambda: bool(set(world.keepaliveds(active)) - set(running)))
        await world.pings_soon(guest.namespace, BEYOND)
        # It becomes of one agent, and is one.
        path = f"/v2.0/routers/{router}"
        await world.admin("PUT", path, {"router": {"admin_state_up": False}})
        changed = await world.admin("PUT", path, {"router": {"ha": False}})
        assert changed.json["router"]["ha"] is False
        await world.admin("PUT", path, {"router": {"admin_state_up": True}})
        await until(lambda: not world.keepaliveds("n1") and not world.keepaliveds("n2"))
        await world.pings_soon(guest.namespace, BEYOND)
        await world.api("PUT", f"{path}/remove_router_interface", {"subnet_id": subnet})
        assert (await world.admin("DELETE", path)).status == 204
        async with asyncio.timeout(20):
            while [
                *await world.links.namespaces(world.prefix("n1")),
                *await world.links.namespaces(world.prefix("n2")),
            ]:
                await asyncio.sleep(0.05)

    story_in_a_cloud(story, hosts=2)
