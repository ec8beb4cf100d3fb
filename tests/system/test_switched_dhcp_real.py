"""DHCP that the switch answers, with Open vSwitch and the clients that guests have."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import sys
import time
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.system.node_world import CLIENT, MTU, NET, REAL, NodeWorld, story_in_a_world, subnet, until
from tests.system.test_ipv6_modes_real import GATEWAY, GIVEN, RESOLVER, Place
from tests.system.test_ipv6_modes_real import SIX as OF_SIX

from pileus.app.lab.lab import Guest, Plug
from pileus.drivers.process import run
from pileus.wire.dhcp import (
    DeviceDhcp,
    DhcpHost,
    DhcpOption,
    DhcpSubnet,
    HostRoute,
    SwitchedDhcp,
)
from pileus.wire.switch import DeviceDetails, FixedIP

pytestmark = REAL

SERVER = "10.1.0.2"


def switched(world: NodeWorld, *subnets: DhcpSubnet, **changes: Any) -> None:
    """The network's DHCP is answered by the switch; the agent of DHCP knows it."""
    several = subnets or (subnet(1),)
    network = world.network(subnets=several, elsewhere=tuple(one.subnet_id for one in several))
    dhcp = SwitchedDhcp(
        several,
        network.port.addresses,
        network.port.mac_address,
        **{"dns_domain": "cloud.example.", "lease_time_s": 3600} | changes,
    )
    world.switching.put_network(replace(world.switching.networks[NET], dhcp=dhcp))


async def a_guest(world: NodeWorld, *options: DhcpOption, **changes: Any) -> tuple[Guest, DhcpHost]:
    guest, host = await world.guest()
    details = world.switching.devices[host.port_id]
    known = DeviceDhcp(host.hostname, options)
    world.switching.put_device(replace(details, dhcp=known, **changes), "n1")
    return guest, host


def test_guests_are_answered_by_their_switch_while_everybody_else_is_dead() -> None:
    async def story(world: NodeWorld) -> None:
        routes = (HostRoute("192.168.0.0/16", "10.1.0.250"),)
        switched(world, subnet(1, host_routes=routes))
        guest, host = await a_guest(world)
        told = await world.leased(guest, host)
        assert (told["address"], told["server"]) == (host.addresses[0].ip_address, SERVER)
        assert (told["mtu"], told["resolvers"], told["router"]) == (MTU, ["9.9.9.9"], "10.1.0.1")
        assert (told["hostname"], told["domain"], told["lease_s"]) == (host.hostname, "cloud.example", 3600)
        assert set(told["routes"]) == {"192.168.0.0/16,10.1.0.250", "0.0.0.0/0,10.1.0.1"}
        # Nothing else runs for the network: no namespace, no dnsmasq.
        await world.agents["dhcp"].reconciler.settled()
        assert await world.ours() == []
        await until(lambda: ("started", told["address"]) in world.switching.leases)
        await world.kill("dhcp", "l3", "metadata")
        world.switching.away = True
        assert await world.ask(guest, host) is not None
        # Another's address is refused, and another's MAC address is not heard.
        assert await world.ask(guest, replace(host, mac_address="fa:16:3e:99:99:99")) is None
        world.switching.away = False
        assert await world.full_pass("switch") == 0

    story_in_a_world(story)


def test_a_lease_that_ran_out_while_the_agent_was_dead_is_told_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("node_world", "test_switched_dhcp_real"):  # what an agent writes down has ids
        monkeypatch.setattr(f"tests.system.{module}.NET", "9d2c1f0e-0000-4000-8000-000000000001")

    async def story(world: NodeWorld) -> None:
        switched(world, lease_time_s=6)
        guest, host = await a_guest(world)
        await world.leased(guest, host)
        address = host.addresses[0].ip_address
        await until(lambda: world.switching.leases != [])
        await world.kill("switch")
        assert world.switching.leases == [("started", address)]
        await asyncio.sleep(6.1)  # nobody is there when it ends
        await world.start("switch")
        await until(lambda: world.switching.leases == [("started", address), ("ended", address)])

    story_in_a_world(story)


# What a guest does with its addresses, and nothing to the files of this machine.
DHCLIENT_SCRIPT = """#!/bin/sh
[ -z "$new_ip_address" ] || ip address replace $new_ip_address/24 dev $interface
[ -z "$new_ip6_address" ] || ip address replace $new_ip6_address/128 dev $interface nodad
case $reason in
  EXPIRE|RELEASE|STOP) ip -4 address flush dev $interface ;;
  EXPIRE6|RELEASE6|STOP6) ip address delete $old_ip6_address/128 dev $interface ;;
esac
exit 0
"""


def dhclient_script(folder: Path) -> tuple[str, str]:
    """The options that have dhclient run it."""
    script = folder / "dhclient-script"
    script.write_text(DHCLIENT_SCRIPT)
    script.chmod(0o755)
    return "-sf", str(script)


@pytest.mark.parametrize("client", ["udhcpc", "dhclient"])
def test_clients_of_real_guests_boot_and_release(client: str, tmp_path: Path) -> None:
    program = {"udhcpc": "busybox"}.get(client, client)
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")

    async def story(world: NodeWorld) -> None:
        switched(world)
        guest, host = await a_guest(world, DhcpOption("bootfile-name", "pxelinux.0"))
        address = host.addresses[0].ip_address
        inside = ("ip", "netns", "exec", guest.namespace)
        files = ("-lf", f"/run/{world.name}.lease", "-pf", f"/run/{world.name}.pid")
        if client == "udhcpc":
            script = Path(f"/run/{world.name}.script")
            script.write_text('#!/bin/sh\n[ -z "$ip" ] || ip address replace $ip/24 dev eth0\n')
            script.chmod(0o755)
            child = await asyncio.create_subprocess_exec(
                *(*inside, "busybox", "udhcpc", "-i", "eth0", "-nRf", "-s", str(script))
            )
            await until(lambda: ("started", address) in world.switching.leases)
            child.send_signal(signal.SIGUSR1)
            await until(lambda: ("renewed", address) in world.switching.leases)
            # It gives the lease back when it ends.
            child.terminate()
            await child.wait()
        else:
            files = (*files, *dhclient_script(tmp_path))
            await run((*inside, "dhclient", "-1", *files, "eth0"))
            shown = json.loads(await run((*inside, "ip", "-j", "address", "show", "dev", "eth0")))
            assert address in [one["local"] for one in shown[0]["addr_info"]]
            said = Path(f"/run/{world.name}.lease").read_text()
            assert 'filename "pxelinux.0"' in said and "option routers 10.1.0.1" in said
            await run((*inside, "dhclient", "-r", *files, "eth0"))
        await until(lambda: ("ended", address) in world.switching.leases)
        assert world.switching.leases[0] == ("started", address)

    story_in_a_world(story)


SIX = DhcpSubnet(
    *(OF_SIX, "fd0a::/64", 6, True, GATEWAY, (RESOLVER,)),
    ipv6_ra_mode="dhcpv6-stateful",
    ipv6_address_mode="dhcpv6-stateful",
)


@pytest.mark.skipif(shutil.which("dhclient") is None, reason="dhclient is not installed")
@pytest.mark.parametrize(
    ("mode", "again"),
    [
        ("dhcpv6-stateless", False),
        ("dhcpv6-stateful", False),
        pytest.param("dhcpv6-stateful", True, marks=pytest.mark.nightly),
    ],
)
def test_guests_are_told_what_their_ports_have_of_ipv6(mode: str, again: bool, tmp_path: Path) -> None:
    """A lease is given and given back; ``again``: it is confirmed and renewed after a restart of the client,
    and rebound when its server is another one."""

    async def story(world: NodeWorld) -> None:
        six = replace(SIX, ipv6_ra_mode=mode, ipv6_address_mode=mode)
        switched(world, subnet(1), six)
        own = (FixedIP("10.1.0.77", "sub-1"), FixedIP(GIVEN, OF_SIX))
        guest, _ = await a_guest(world, DhcpOption("sntp-server", "[fd0a::123]", 6), fixed_ips=own)
        place = Place(world, mode, tmp_path)
        place.guest = guest
        inside = ("ip", "netns", "exec", guest.namespace)
        told = await place.ask("-6", "-S")
        assert (told["new_dhcp6_name_servers"], told["new_dhcp6_sntp_servers"]) == (RESOLVER, "fd0a::123")
        if mode == "dhcpv6-stateless":
            assert world.switching.leases == []
            return
        leases = world.switching.leases
        pid = tmp_path / "pid6"
        lease = tmp_path / "lease6"
        client = ("dhclient", "-6", *dhclient_script(tmp_path), "-lf", str(lease), "-pf", str(pid))
        await run((*inside, *client, "-1", "eth0"))
        assert GIVEN in await place.addresses()
        await until(lambda: leases == [("started", GIVEN)])
        dhcp = world.switching.networks[NET].dhcp
        assert dhcp is not None
        for mac, rebind_s in ((dhcp.mac_address, 60), ("fa:16:3e:01:dd:99", 3)) if again else ():
            # As if it were time to ask again: its own server, or whoever is there.
            os.kill(int(pid.read_text()), signal.SIGKILL)
            await run((*inside, "ip", "address", "flush", "dev", "eth0", "scope", "global"))
            changed = {"starts": int(time.time()), "renew": 1, "rebind": rebind_s}
            text = lease.read_text()
            for word, number in changed.items():
                text = re.sub(rf"{word} \d+;", f"{word} {number};", text)
            lease.write_text(text)
            other = replace(world.switching.networks[NET], dhcp=replace(dhcp, mac_address=mac))
            world.switching.put_network(other)
            await world.agents["switch"].reconciler.settled()
            await run((*inside, *client, "-1", "eth0"))
            assert GIVEN in await place.addresses(), "it is confirmed"
            await until(lambda: "renew 1800;" in lease.read_text(), 30)
            assert GIVEN in await place.addresses()
        if again:
            assert "server-id 0:3:0:1:fa:16:3e:1:dd:99;" in lease.read_text(), "it is rebound"
            await until(lambda: leases.count(("renewed", GIVEN)) >= 2)
            assert leases.count(("started", GIVEN)) == 1
        await run((*inside, *client, "-r", "eth0"))
        await until(lambda: leases[-1] == ("ended", GIVEN))
        assert GIVEN not in await place.addresses()

    story_in_a_world(story)


def test_guests_of_isolated_networks_find_metadata_and_networks_move_to_and_fro() -> None:
    async def story(world: NodeWorld) -> None:
        alone = subnet(1, gateway_is_router=False)
        guest, host = await a_guest(world)
        world.network(subnets=(alone,), hosts=(host,))
        first = await world.leased(guest, host)
        # Over to the switch: the same address from the same server, and no dnsmasq any more.
        switched(world, alone)
        await until(lambda: world.dnsmasq._pid(NET) is None)
        told = await world.leased(guest, host)
        assert (told["address"], told["server"]) == (first["address"], first["server"])
        assert "169.254.169.254/32,10.1.0.2" in told["routes"]
        assert await world.curl(guest.namespace, "http://169.254.169.254/latest/")
        # And back.
        world.network(elsewhere=())
        world.switching.put_network(replace(world.switching.networks[NET], dhcp=None))
        again = await world.leased(guest, host)
        assert again["address"] == first["address"]
        await until(lambda: world.dnsmasq._pid(NET) is not None)

    story_in_a_world(story)


@pytest.mark.nightly
def test_two_hundred_guests_that_start_together() -> None:
    """All have their leases, though one of them asks without end."""

    async def story(world: NodeWorld) -> None:
        guests = []
        switched(world)
        for number in range(200):
            port_id = f"{number:08x}-many"
            mac = f"fa:16:3e:77:{number >> 8:02x}:{number & 255:02x}"
            details = DeviceDetails(
                port_id=port_id,
                network_id=NET,
                mac_address=mac,
                fixed_ips=(FixedIP(f"10.1.0.{number + 20}", "sub-1"),),
                security_group_ids=("open",),
                device_owner="compute:nova",
                dhcp=DeviceDhcp(f"host-{number}"),
            )
            world.switching.put_device(details, "n1")
            guests.append(Plug("n1", port_id, mac))
        plugged = await world.lab.plug_all(guests)
        await until(
            lambda: all(world.switching.devices[one.port_id].status == "ACTIVE" for one in guests), 60
        )
        alone = await burst([(one.namespace, plug.mac) for one, plug in zip(plugged, guests, strict=True)])
        flooding = await asyncio.create_subprocess_exec(
            *("ip", "netns", "exec", plugged[0].namespace, sys.executable, str(CLIENT), "eth0"),
            *(guests[0].mac, "flood"),
        )
        try:
            beside = await burst(
                [(one.namespace, plug.mac) for one, plug in zip(plugged[1:], guests[1:], strict=True)]
            )
        finally:
            flooding.kill()
            await flooding.wait()
        for told, first in ((alone, 0), (beside, 1)):
            wanted = {plug.mac: f"10.1.0.{first + n + 20}" for n, plug in enumerate(guests[first:])}
            assert {mac: address for mac, (address, _) in told.items()} == wanted
            times = sorted(took_s for _, took_s in told.values())
            print(f"{len(times)} guests: half in {times[len(times) // 2]:.2f} s, all in {times[-1]:.2f} s")

    story_in_a_world(story)


async def burst(guests: list[tuple[str, str]]) -> dict[str, tuple[str | None, float]]:
    """Let guests (namespace, MAC) ask at the same moment; what each has got, and when."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.dhcp_burst"), stdin=PIPE, stdout=PIPE, cwd=CLIENT.parents[1]
    )
    said, _ = await child.communicate(json.dumps(guests).encode())
    found: dict[str, tuple[str | None, float]] = json.loads(said)
    return found
