"""A router with gateways on two networks, each with a world behind it, and packets by the right one."""

from __future__ import annotations

from tests.system.node_world import BEYOND, MTU, REAL, NodeWorld, story_in_a_world, until

from pileus.app.lab.lab import Guest, Plug
from pileus.drivers.netlink.links import Address
from pileus.drivers.process import ProgramFailed, run
from pileus.wire.dhcp import PortAddress, ServicePort
from pileus.wire.l3 import FloatingIP, RouterPort, RouterSubnet
from pileus.wire.switch import DeviceDetails, NetworkDetails, Segment

pytestmark = REAL

SECOND = "net-pu2"
NEAR = "172.24.5.1"
HIDDEN = "198.51.100.8"
"""Beyond the second gateway only; the other one does not know it."""
_COUNT = 60


async def second_outside(world: NodeWorld) -> tuple[Guest, RouterPort]:
    """A second external network, with a machine that is its gateway to BEYOND and HIDDEN."""
    world.switching.put_network(NetworkDetails(SECOND, Segment("vxlan", None, 103), MTU))
    details = DeviceDetails(
        port_id="000000o2-v",
        network_id=SECOND,
        mac_address="fa:16:3e:05:00:01",
        port_security_enabled=False,
        device_owner="compute:nova",
    )
    world.switching.put_device(details, "n1")
    plug = Plug("n1", details.port_id, details.mac_address, (f"{NEAR}/24",))
    (guest,) = await world.lab.plug_all([plug])
    await world.links.ensure_addresses(
        Address(guest.namespace, "lo", f"{address}/32") for address in (BEYOND, HIDDEN)
    )
    port = ServicePort("000000g2-g", "fa:16:3e:05:bb:01", (PortAddress("172.24.5.101", "ex2"),), MTU)
    world.device(port, SECOND, "network:router_gateway")
    return guest, RouterPort(port, SECOND, (RouterSubnet("ex2", "172.24.5.0/24", NEAR),))


async def no_ports(namespace: str) -> int:
    """How many datagrams came for a port that nobody listens to."""
    shown = (await run(("ip", "netns", "exec", namespace, "cat", "/proc/net/snmp"))).decode()
    names, values = (line.split() for line in shown.splitlines() if line.startswith("Udp:"))
    return int(values[names.index("NoPorts")])


async def pings_from(namespace: str, source: str, address: str) -> bool:
    inside = (
        "ip",
        "netns",
        "exec",
        namespace,
        "ping",
        "-c",
        "2",
        "-i",
        "0.2",
        "-W",
        "1",
        "-I",
        source,
        address,
    )
    try:
        await run(inside)
    except ProgramFailed:
        return False
    return True


def test_each_connection_stays_on_its_gateway_and_new_ones_are_balanced() -> None:
    async def story(world: NodeWorld) -> None:
        (a, at_a), (b, at_b) = await world.guest(1), await world.guest(2)
        world.network(1, hosts=(at_a,))
        world.network(2, hosts=(at_b,))
        near, gateway = await second_outside(world)
        fixed_a = at_a.addresses[0].ip_address
        leading = FloatingIP("fip-2", "172.24.5.200", fixed_a, "")
        world.router(more_gateways=(gateway,), floating_ips=(leading,))
        await world.leased(a, at_a)
        await world.leased(b, at_b)
        await world.pings_soon(near.namespace, "172.24.5.200")
        assert await pings_from(near.namespace, HIDDEN, "172.24.5.200"), "the answer leaves where it came in"
        assert await pings_from(near.namespace, HIDDEN, "172.24.5.101"), "so does the router's own"
        assert await world.pings(a.namespace, HIDDEN), "a floating IP leaves by its own gateway"
        assert not await world.pings(b.namespace, HIDDEN, 1), "others leave by the first"
        assert await world.pings(b.namespace, BEYOND)
        assert await world.pings(b.namespace, "172.24.5.200"), "hairpin"
        assert await world.pings(a.namespace, at_b.addresses[0].ip_address), "between the inner networks"
        assert await world.full_pass("l3") == 0

        world.router(enable_default_route_ecmp=True, floating_ips=())
        await until(lambda: world.server.translated == ())
        before = [await no_ports(name) for name in (world.outside, near.namespace)]
        sends = f"socket.socket(2, 2).sendto(b'x', ('{BEYOND}', 9))"
        sender = f"import socket\nfor n in range({_COUNT}):\n    {sends}"
        await run(("ip", "netns", "exec", b.namespace, "python3", "-c", sender))
        came = [
            await no_ports(name) - old
            for name, old in zip((world.outside, near.namespace), before, strict=True)
        ]
        assert min(came) >= _COUNT // 6 and sum(came) <= _COUNT, came
        assert await world.pings(b.namespace, BEYOND, 3), "whichever gateway it has, answers come back"
        assert await world.full_pass("l3") == 0

        world.router(more_gateways=(), enable_default_route_ecmp=False)
        await until(lambda: len(world.agents["l3"].desired["router-0001"].more_gateways) == 0)
        await world.pings_soon(b.namespace, BEYOND)
        assert await world.full_pass("l3") == 0
        rules = (await run(("ip", "-n", world.namespace("l3", "router-0001"), "rule", "show"))).decode()
        assert "fwmark" not in rules

    story_in_a_world(story)
