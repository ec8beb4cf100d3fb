"""Prefixes that Kea delegates: asked for by a router, advertised to a guest, kept and given back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.patience import PATIENCE
from tests.system.cloud_world import CloudWorld, story_in_a_cloud
from tests.system.node_world import REAL

from pileus.core.addresses import link_local
from pileus.drivers.netlink.links import Address, Route
from pileus.drivers.process import run
from pileus.services.network.rules.addresses import eui64

pytestmark = [
    *REAL,
    pytest.mark.skipif(shutil.which("kea-dhcp6") is None, reason="kea-dhcp6-server is not installed"),
]
OUTER, BEYOND = "2001:db8:ffff::1", "2001:db8:eeee::7"
POOL = "2001:db8:1::"


class Delegating:
    """Kea in the world outside. ``leases`` are its own."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "leases.csv"

    def leases(self) -> set[str]:
        """The prefixes that are delegated now; of a lease that is given back the last line says so."""
        found: dict[str, bool] = {}
        for line in self._file.read_text().splitlines()[1:] if self._file.exists() else ():
            words = line.split(",")
            found[words[0]] = words[2] != "0"
        return {address for address, valid in found.items() if valid}


@contextlib.asynccontextmanager
async def kea(world: CloudWorld) -> AsyncIterator[Delegating]:
    folder = world.folder / "kea"
    folder.mkdir()
    pool = {"prefix": POOL, "prefix-len": 48, "delegated-len": 64}
    subnet = {"subnet": "2001:db8:ffff::/64", "interface": "eth0", "pools": [], "pd-pools": [pool]}
    settings: dict[str, Any] = {
        # The address of its link is not its own before nobody else claims it.
        "interfaces-config": {
            "interfaces": ["eth0"],
            "service-sockets-max-retries": 50,
            "service-sockets-retry-wait-time": 200,
        },
        "lease-database": {"type": "memfile", "name": str(folder / "leases.csv"), "lfc-interval": 0},
        "server-id": {"type": "EN", "enterprise-id": 2495, "identifier": "0123", "persist": False},
        "renew-timer": 2,
        "rebind-timer": 60,
        "preferred-lifetime": 100,
        "valid-lifetime": 120,
        "subnet6": [subnet],
        "loggers": [{"name": "kea-dhcp6", "output_options": [{"output": "stderr"}], "severity": "INFO"}],
    }
    (folder / "kea.json").write_text(json.dumps({"Dhcp6": settings}))
    environment = {"KEA_LOCKFILE_DIR": "none", "KEA_PIDFILE_DIR": str(folder), "PATH": "/usr/sbin:/usr/bin"}
    with (folder / "log").open("wb") as said:
        child = await asyncio.create_subprocess_exec(
            *("ip", "netns", "exec", world.outside, "kea-dhcp6", "-c", str(folder / "kea.json")),
            stdout=said,
            stderr=said,
            env=environment,
        )
        try:
            async with asyncio.timeout(20 * PATIENCE):
                while b"DHCP6_STARTED" not in (folder / "log").read_bytes():
                    assert child.returncode is None, (folder / "log").read_text()
                    await asyncio.sleep(0.05)
            yield Delegating(folder)
        finally:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()


async def delegated(world: CloudWorld, subnet: str) -> str:
    """Wait until the subnet has a prefix; which."""
    async with asyncio.timeout(40 * PATIENCE):
        while (cidr := (await world.api("GET", f"/v2.0/subnets/{subnet}")).json["subnet"]["cidr"]) == "::/64":
            await asyncio.sleep(0.05)
    return str(cidr)


async def a_subnet(world: CloudWorld, network: str) -> dict[str, Any]:
    modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac", "ip_version": 6}
    return await world.api.make("subnet", network_id=network, subnetpool_id="prefix_delegation", **modes)


async def has_address(world: CloudWorld, namespace: str, address: str) -> None:
    async with asyncio.timeout(30 * PATIENCE):
        while f"{address}/64" not in (await world.links.links(namespace))["eth0"].addresses:
            await asyncio.sleep(0.05)


def test_a_router_gets_prefixes_and_guests_reach_the_world() -> None:
    async def story(world: CloudWorld) -> None:
        await world.links.ensure_addresses(
            [Address(world.outside, "eth0", f"{OUTER}/64"), Address(world.outside, "lo", f"{BEYOND}/128")]
        )
        await run(("ip", "netns", "exec", world.outside, "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"))
        await world.admin.make(
            "subnet",
            network_id=world.public,
            cidr="2001:db8:ffff::/64",
            ip_version=6,
            gateway_ip=OUTER,
            enable_dhcp=False,
        )
        async with kea(world) as delegating:
            network, _ = await world.network(1)
            six = await a_subnet(world, network)
            assert (six["cidr"], six["subnetpool_id"]) == ("::/64", "prefix_delegation")
            guest, port, _ = await world.guest("n2", network)
            router = await world.router(six["id"])
            cidr = await delegated(world, six["id"])
            assert cidr.startswith("2001:db8:1:") and cidr.removesuffix("/64") in delegating.leases()
            # As a relay or the delegating router does: the way back.
            ports = (await world.admin("GET", f"/v2.0/ports?device_id={router}")).json["ports"]
            (gateway,) = [one for one in ports if one["device_owner"] == "network:router_gateway"]
            inner = next(one for one in ports if one["device_owner"] == "network:router_interface")
            assert inner["fixed_ips"] == [
                {"subnet_id": six["id"], "ip_address": cidr.replace("::/64", "::1")}
            ]
            at = link_local(gateway["mac_address"])
            await world.links.ensure_routes([Route(world.outside, "2001:db8:1::/48", at, "eth0")])
            # The guest makes an address of what the router advertises: the one that the port has by now.
            seen = (await world.api("GET", f"/v2.0/ports/{port}")).json["port"]
            address = eui64(cidr, seen["mac_address"])
            assert address in [ip["ip_address"] for ip in seen["fixed_ips"]]
            await has_address(world, guest.namespace, address)
            await world.pings_soon(guest.namespace, BEYOND)
            await world.pings_soon(world.outside, address)

            # Another one of the same router.
            other, _ = await world.network(2)
            second = await a_subnet(world, other)
            path = f"/v2.0/routers/{router}/add_router_interface"
            assert (await world.api("PUT", path, {"subnet_id": second["id"]})).status == 200
            assert await delegated(world, second["id"]) != cidr
            assert len(delegating.leases()) == 2

            # The agent dies and comes back: the same prefix, and packets flow.
            await world.drop("n1", "l3")
            assert await world.pings(guest.namespace, BEYOND)
            await world.start("n1", "l3")
            async with asyncio.timeout(30 * PATIENCE):
                while not world.agents["n1", "l3"]._prefixes.held():  # type: ignore[attr-defined]
                    await asyncio.sleep(0.05)
            await world.settled()
            assert await delegated(world, six["id"]) == cidr
            assert len(delegating.leases()) == 2
            assert await world.pings(guest.namespace, BEYOND)

            # A prefix is given back with its interface.
            away = path.replace("add", "remove")
            assert (await world.api("PUT", away, {"subnet_id": six["id"]})).status == 200
            gone = (await world.api("GET", f"/v2.0/subnets/{six['id']}")).json["subnet"]
            assert (gone["cidr"], gone["gateway_ip"]) == ("::/64", "::1")
            async with asyncio.timeout(20 * PATIENCE):
                while cidr.removesuffix("/64") in delegating.leases():
                    await asyncio.sleep(0.05)

    story_in_a_cloud(story, hosts=2, routing=("n1",))
