"""Addresses of IPv6 in each mode, asked for by a real client: the kernel's, and ISC's DHCP client."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.system.ipv6_links import made_of, until_link_local
from tests.system.node_world import NET, REAL, ROUTER, NodeWorld, story_in_a_world, subnet

from pileus.app.lab.lab import Guest
from pileus.drivers.process import ProgramFailed
from pileus.wire.dhcp import DhcpHost, DhcpOption, PortAddress
from pileus.wire.l3 import RouterSubnet
from pileus.wire.switch import FixedIP

DHCLIENT = shutil.which("dhclient") or "/usr/sbin/dhclient"
pytestmark = [*REAL, pytest.mark.skipif(not Path(DHCLIENT).exists(), reason="not installed: isc-dhcp-client")]

PREFIX, GATEWAY, SERVER, GIVEN, RESOLVER = "fd0a::/64", "fd0a::1", "fd0a::2", "fd0a::77", "fd0a::53"
SIX = "sub-six"
# Writes down all that the server has told.
SCRIPT = '#!/bin/sh\nenv | grep "^new_" >>"$TOLD"\nexit 0\n'
CONFIG = """
option dhcp6.sntp-servers code 31 = array of ip6-address;
request subnet-mask, routers, domain-name-servers, ntp-servers;
also request dhcp6.name-servers, dhcp6.sntp-servers;
timeout 20;
retry 2;
initial-interval 1;
"""


class Place:
    """A network with a subnet of IPv6 in a mode, its router, and a guest with options of its own."""

    def __init__(self, world: NodeWorld, mode: str, folder: Path) -> None:
        self.world, self.mode, self.folder = world, mode, folder
        self.guest: Guest
        self.host: DhcpHost

    async def begin(self) -> None:
        world = self.world
        self.guest, host = await world.guest()
        six = GIVEN if self.mode == "dhcpv6-stateful" else made_of(host.mac_address, PREFIX)
        options = (
            DhcpOption("ntp-server", "192.0.2.123", 4),
            DhcpOption("sntp-server", "[fd0a::123]", 6),
        )
        addresses = (*host.addresses, PortAddress(six, SIX))
        self.host = replace(host, addresses=addresses, options=options)
        details = world.switching.devices[host.port_id]
        fixed = (*details.fixed_ips, FixedIP(six, SIX))
        world.switching.put_device(replace(details, fixed_ips=fixed), "n1")
        network = world.network(hosts=(self.host,))
        port = replace(network.port, addresses=(*network.port.addresses, PortAddress(SERVER, SIX)))
        own = replace(
            subnet(1),
            subnet_id=SIX,
            cidr=PREFIX,
            ip_version=6,
            gateway_ip=GATEWAY,
            dns_nameservers=(RESOLVER,),
            ipv6_ra_mode=self.mode,
            ipv6_address_mode=self.mode,
        )
        world.device(port, NET, "network:dhcp")
        world.network(port=port, subnets=(*network.subnets, own))
        router = world.router()
        inner = router.interfaces[0]
        inside = replace(inner.port, addresses=(*inner.port.addresses, PortAddress(GATEWAY, SIX)))
        world.device(inside, NET, "network:router_interface")
        told = RouterSubnet(SIX, PREFIX, GATEWAY, self.mode, (RESOLVER,))
        first = replace(inner, port=inside, subnets=(*inner.subnets, told))
        world.router(interfaces=(first, *router.interfaces[1:]))

    async def ask(self, *arguments: str) -> dict[str, str]:
        """Run the DHCP client once; what it was told. Raises ProgramFailed where nobody answered."""
        files = {name: self.folder / f"{name}{arguments[0]}" for name in ("told", "lease", "pid", "conf")}
        script = self.folder / "script"
        script.write_text(SCRIPT)
        script.chmod(0o755)
        files["conf"].write_text(CONFIG)
        files["told"].unlink(missing_ok=True)
        command = [
            *("env", f"TOLD={files['told']}", DHCLIENT, *arguments, "-1", "-d"),
            *("-sf", str(script), "-cf", str(files["conf"]), "-e", f"TOLD={files['told']}"),
            *("-lf", str(files["lease"]), "-pf", str(files["pid"]), "eth0"),
        ]
        if "-6" in arguments:
            await until_link_local(self.guest.namespace)
        process = await asyncio.create_subprocess_exec(
            *self.world.lab.inside(self.guest, command),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(30):
                while True:
                    told = files["told"].read_text() if files["told"].exists() else ""
                    lines = dict(line.partition("=")[::2] for line in told.splitlines())
                    if any(name in lines for name in ("new_ip_address", "new_dhcp6_name_servers")):
                        return lines
                    if process.returncode is not None:
                        assert process.stderr is not None
                        raise ProgramFailed(command, process.returncode, await process.stderr.read())
                    await asyncio.sleep(0.05)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def addresses(self) -> set[str]:
        link = (await self.world.links.links(self.guest.namespace))["eth0"]
        return {address.partition("/")[0] for address in link.addresses}

    async def until_announced(self) -> None:
        """The router's word has come: there is a way out."""
        async with asyncio.timeout(20):
            while b"default" not in await self.world.lab.run(
                self.guest, ["ip", "-6", "route", "show", "default"]
            ):
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("mode", ["slaac", "dhcpv6-stateless", "dhcpv6-stateful"])
def test_guests_have_their_addresses_and_options(mode: str, tmp_path: Path) -> None:
    async def story(world: NodeWorld) -> None:
        place = Place(world, mode, tmp_path)
        await place.begin()
        await place.until_announced()
        own = made_of(place.host.mac_address, PREFIX)
        if mode == "dhcpv6-stateful":
            told = await place.ask("-6")
            assert told["new_ip6_address"] == GIVEN
            assert own not in await place.addresses(), "nobody told guests to make addresses"
        else:
            async with asyncio.timeout(20):
                while own not in await place.addresses():
                    await asyncio.sleep(0.1)
        if mode == "dhcpv6-stateless":
            told = await place.ask("-6", "-S")
            assert "new_ip6_address" not in told
        if mode != "slaac":
            assert told["new_dhcp6_name_servers"] == RESOLVER
            assert told["new_dhcp6_sntp_servers"] == "fd0a::123"
            await world.pings_soon(place.guest.namespace, GATEWAY)
        four = await place.ask("-4")
        assert four["new_ip_address"] == place.host.addresses[0].ip_address
        assert four["new_ntp_servers"] == "192.0.2.123"
        assert await world.full_pass("dhcp") == 0
        assert ROUTER in world.server.routers

    story_in_a_world(story)
