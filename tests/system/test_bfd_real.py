"""Next hops of a router that are watched by BFD, with BIRD beside the router and at the next hops."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from msgspec.structs import replace
from tests.system.node_world import BEYOND, OUTSIDE, REAL, ROUTER, NodeWorld, story_in_a_world
from tests.system.test_several_gateways_real import NEAR, second_outside

from pileus.drivers.netlink.links import Address
from pileus.drivers.outliving import arguments_of, processes
from pileus.drivers.process import run, run_daemon
from pileus.wire.dhcp import PortAddress
from pileus.wire.l3 import RouterPort, RouterSubnet

pytestmark = REAL
TABLE = "65536"
FIRST_PREFIX, SECOND_PREFIX = "2001:db8:4::", "2001:db8:5::"
WITHIN_S = 2.0
"""A next hop is down after 0.75 s of silence; the rest is for a busy machine."""


def with_ipv6(port: RouterPort, prefix: str) -> RouterPort:
    addresses = (*port.port.addresses, PortAddress(f"{prefix}101", "v6"))
    plug = replace(port.port, addresses=addresses)
    return replace(port, port=plug, subnets=(*port.subnets, RouterSubnet("v6", f"{prefix}/64", f"{prefix}1")))


@contextlib.asynccontextmanager
async def peer(namespace: str, folder: Path, *neighbours: str) -> AsyncIterator[int]:
    """A next hop that speaks BFD with the router; the number of its process."""
    conf = folder / f"{namespace}.conf"
    sessions = "".join(f'neighbor {address} dev "eth0"; ' for address in neighbours)
    timing = "min rx interval 250 ms; min tx interval 250 ms; multiplier 3;"
    conf.write_text(
        "router id 0.0.0.2;\nprotocol device { scan time 1; }\n"
        f'protocol bfd {{ interface "eth0" {{ {timing} }}; {sessions}}}\n'
    )
    arguments = ("bird", "-c", str(conf), "-s", str(folder / f"{namespace}.ctl"))
    await run_daemon(("ip", "netns", "exec", namespace, *arguments))
    (number,) = [number for number, given in processes() if given == arguments]
    try:
        yield number
    finally:
        if arguments_of(number) == arguments:
            os.kill(number, signal.SIGKILL)


async def next_hops(namespace: str, family: str) -> set[str]:
    """The next hops in use, in the router's table of those that answer."""
    try:
        said = (await run(("ip", "-n", namespace, family, "route", "show", "table", TABLE))).decode().split()
    except Exception:  # there is no such table before the first route
        return set()
    return {word for before, word in itertools.pairwise(said) if before == "via"}


async def soon(namespace: str, family: str, wanted: set[str], within_s: float = 15.0) -> float:
    """Wait until these are in use; the seconds that it took."""
    began = time.monotonic()
    async with asyncio.timeout(within_s):
        while await next_hops(namespace, family) != wanted:
            await asyncio.sleep(0.02)
    return time.monotonic() - began


def test_a_next_hop_that_falls_silent_is_used_no_more() -> None:
    async def story(world: NodeWorld) -> None:
        (a, at_a) = await world.guest(1)
        world.network(1, hosts=(at_a,))
        near, second = await second_outside(world)
        first = world.router().gateway
        assert first is not None
        outer = {OUTSIDE, NEAR}, {f"{FIRST_PREFIX}1", f"{SECOND_PREFIX}1"}
        await world.links.ensure_addresses(
            Address(namespace, "eth0", f"{prefix}1/64")
            for namespace, prefix in ((world.outside, FIRST_PREFIX), (near.namespace, SECOND_PREFIX))
        )
        world.router(
            gateway=with_ipv6(first, FIRST_PREFIX),
            more_gateways=(with_ipv6(second, SECOND_PREFIX),),
            enable_default_route_ecmp=True,
            enable_default_route_bfd=True,
        )
        router = world.namespace("l3", ROUTER)
        await world.leased(a, at_a)
        await world.pings_soon(a.namespace, BEYOND)
        assert await next_hops(router, "-4") == set(), "nobody speaks BFD yet, and packets go all the same"
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            async with (
                peer(world.outside, folder, "172.24.4.101", f"{FIRST_PREFIX}101"),
                peer(near.namespace, folder, "172.24.5.101", f"{SECOND_PREFIX}101") as number,
            ):
                await soon(router, "-4", outer[0])
                await soon(router, "-6", outer[1])
                await world.kill("l3")  # no agent has a part in it
                silent_at = time.monotonic()
                os.kill(number, signal.SIGKILL)
                await soon(router, "-4", {OUTSIDE})
                gone_4 = time.monotonic() - silent_at
                await soon(router, "-6", {f"{FIRST_PREFIX}1"})
                gone_6 = time.monotonic() - silent_at
                print(f"out of the route after {gone_4:.2f} s (IPv4), {gone_6:.2f} s (IPv6)")
                assert max(gone_4, gone_6) < WITHIN_S, (gone_4, gone_6)
                # Whatever way a connection would have taken, all of them take the other.
                await run(("ip", "-n", near.namespace, "link", "set", "eth0", "down"))
                sends = f"assert not subprocess.call(['ping', '-qc1', '-W2', '{BEYOND}'], stdout=-3)"
                many = f"import subprocess\nfor _ in range(12):\n    {sends}"
                await run(("ip", "netns", "exec", a.namespace, "python3", "-c", many))
                await run(("ip", "-n", near.namespace, "link", "set", "eth0", "up"))
                await world.links.ensure_addresses(
                    [Address(near.namespace, "eth0", f"{SECOND_PREFIX}1/64")]  # it went with the link
                )
                await world.start("l3")
                async with peer(near.namespace, folder, "172.24.5.101", f"{SECOND_PREFIX}101"):
                    await soon(router, "-4", outer[0])
                    await soon(router, "-6", outer[1])
                    assert await world.full_pass("l3") == 0
                    (bird,) = [n for n, given in processes() if f"{ROUTER}/conf" in " ".join(given)]
                    os.kill(bird, signal.SIGKILL)  # it is started anew
                    async with asyncio.timeout(15):
                        while not await world.bird.running():
                            await asyncio.sleep(0.05)
                    world.router(enable_default_route_ecmp=False)
                    await soon(router, "-4", {OUTSIDE})
                world.router(enable_default_route_bfd=False)
                async with asyncio.timeout(15):
                    while await world.bird.known() or await next_hops(router, "-4"):
                        await asyncio.sleep(0.05)
        await world.pings_soon(a.namespace, BEYOND)
        assert await world.full_pass("l3") == 0

    story_in_a_world(story)
