"""What the cloud made for itself on a node comes back when somebody deletes it by hand, and packets flow."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.system.node_world import BEYOND, REAL, ROUTER, NodeWorld, story_in_a_world

from pileus.drivers.ovsdb.edit import Edit
from pileus.drivers.process import ProgramFailed, run

pytestmark = REAL

FLOATING = "172.24.4.200"
WITHIN_S = 12.0
"""The slow timer of the agents is minutes: what comes back within this was noticed."""


def test_each_kind_that_somebody_deletes_comes_back() -> None:
    async def story(world: NodeWorld) -> None:
        guest, host = await world.guest()
        network = world.network(hosts=(host,))
        world.router(floating_ips=(world.floating(200, host.addresses[0].ip_address),))
        await world.leased(guest, host)
        await world.pings_soon(world.outside, FLOATING)
        router, dhcp = world.namespace("l3", ROUTER), world.namespace("dhcp", network.network_id)
        inside = ("ip", "netns", "exec", router)
        at_host = ("ip", "netns", "exec", world.host.namespace)

        async def flows_away(bridge: str) -> None:
            target = f"unix:{world.host.run_dir / bridge}.mgmt"
            await run(("ovs-ofctl", "-O", "OpenFlow14", "del-flows", target))

        async def port_away(prefix: str) -> None:
            name = next(name for name in world.client.by_name("Port") if name.startswith(prefix))
            edit = Edit(world.client)
            edit.delete_port(name)
            await edit.commit()

        async def dnsmasq_away() -> None:
            for entry in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    if f"{network.network_id}/pid".encode() in entry.read_bytes():
                        os.kill(int(entry.parent.name), signal.SIGKILL)
                except OSError:
                    continue

        kinds: dict[str, Callable[[], Awaitable[object]]] = {
            "flows of br-int": lambda: flows_away("br-int"),
            "flows of br-ex": lambda: flows_away("br-ex"),
            "a router's port on the switch": lambda: port_away("qg-"),
            "an inner port on the switch": lambda: port_away("qr-"),
            "the packet rules of a router": lambda: run((*inside, "nft", "flush", "ruleset")),
            "an address": lambda: run(
                (*inside, "ip", "addr", "del", f"{FLOATING}/32", "dev", "qg-000000gw-g")
            ),
            "the default route": lambda: run((*inside, "ip", "route", "del", "default")),
            "an interface in a router": lambda: run((*inside, "ip", "link", "del", "qr-00000001-r")),
            "an interface that is down": lambda: run((*inside, "ip", "link", "set", "qg-000000gw-g", "down")),
            "the end of an interface at the host": lambda: run(
                (*at_host, "ip", "link", "del", "qg-000000gw-g")
            ),
            "a router's namespace": lambda: run(("ip", "netns", "del", router)),
        }

        async def routed() -> bool:
            if not Path("/run/netns", router).exists():
                return False
            there = await world.pings(world.outside, FLOATING, 1)
            return there and await world.pings(guest.namespace, BEYOND, 1)

        for what, delete in kinds.items():
            await delete()
            await comes_back(what, routed)
        served: dict[str, Callable[[], Awaitable[object]]] = {
            "a dnsmasq": dnsmasq_away,
            "the DHCP port on the switch": lambda: port_away("tap00000001-d"),
            "the namespace of DHCP": lambda: run(("ip", "netns", "del", dhcp)),
        }
        for what, delete in served.items():
            await delete()

            async def answered() -> bool:
                # A namespace lives on without its name while dnsmasq is in it.
                return Path("/run/netns", dhcp).exists() and await world.ask(guest, host) is not None

            await comes_back(what, answered)
        # Packet rules at the host: what guests send stays away from it.
        table = ("list", "table", "netdev", "pileus_silence")
        await run((*at_host, "nft", "delete", *table[1:]))

        async def silenced() -> bool:
            try:
                return "ingress" in (await run((*at_host, "nft", *table))).decode()
            except ProgramFailed:
                return False

        await comes_back("the rules that keep guests from the host", silenced)
        await comes_back("all of it together", routed)
        for kind in ("switch", "l3", "dhcp"):
            assert await world.full_pass(kind) == 0, kind

    story_in_a_world(story)


async def comes_back(what: str, is_back: Callable[[], Awaitable[bool]]) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not await is_back():
        assert loop.time() - began < WITHIN_S, f"{what} has not come back"
        await asyncio.sleep(0.05)
    print(f"{what}: {loop.time() - began:.1f} s")
