"""Routers of high availability on simulated hosts: who is active has the addresses, and serves guests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tests.unit.namespace_bench import Bench, running, scenario, until
from tests.unit.namespace_server import NamespaceServer

from pileus.core.clock import SystemClock
from pileus.drivers.conntrackd import render as conntrackd
from pileus.drivers.keepalived.render import render
from pileus.drivers.keepalived.simulated import SimulatedKeepalived, SimulatedVrrp
from pileus.drivers.keepalived.spec import KeepalivedFailed, VirtualAddress, VirtualRoute, VirtualRouter
from pileus.drivers.netlink.simulated import SimulatedLinks
from pileus.host.agent import AgentSettings
from pileus.host.l3.agent import L3Agent
from pileus.host.namespaces.agent import NamespaceSettings
from pileus.wire.dhcp import PortAddress, ServicePort
from pileus.wire.l3 import HaDetails, RouterDetails, RouterSubnet

from .scene import inner, router, router_id

QR, HA = "qr-00000001-qr", "ha-000000ha-00"
NAMESPACE = f"qrouter-{router_id(1)}"


def ha_router(**changes: object) -> RouterDetails:
    port = ServicePort(
        "000000ha-0000-4000-8000-00000000000c", "fa:16:3e:00:cc:01", (PortAddress("169.254.192.5", "h"),)
    )
    six = RouterSubnet("six", "fd01::/64", "fd01::1", "slaac")
    four = inner(1).subnets[0]
    both = (PortAddress("10.1.0.1", "s1"), PortAddress("fd01::1", "six"))
    plug = ServicePort(inner(1).port.port_id, inner(1).port.mac_address, both, 1450)
    interface = inner(1, port=plug, subnets=(four, six))
    return router(1, interfaces=(interface,), ha=HaDetails(port, "ha-net", "169.254.192.0/18", 7), **changes)


def agent_with(
    vrrp: SimulatedVrrp, driver: Callable[..., SimulatedKeepalived] = SimulatedKeepalived
) -> Callable[[Bench], L3Agent]:
    def agent(bench: Bench) -> L3Agent:
        return L3Agent(
            AgentSettings(host="n1"),
            bench.server,
            SystemClock(),
            bench.client,
            bench.links,
            bench.filter,
            bench.advertisers,
            virtual_routers=driver("n1", vrrp, bench.links),
            namespaces=NamespaceSettings(namespace_prefix="qrouter-", watch_interval_s=0.01),
        )

    return agent


def test_the_active_one_has_the_addresses_and_advertises() -> None:
    async def story() -> None:
        vrrp, server = SimulatedVrrp(), NamespaceServer()
        other = SimulatedKeepalived("n2", vrrp, SimulatedLinks())
        theirs = VirtualRouter(
            router_id=router_id(1), namespace="elsewhere", interface=HA, group="ha-net", vr_id=7
        )
        await other._links.ensure_namespaces(["elsewhere"])
        vrrp.active["ha-net 7"] = "n2"
        await vrrp.join("ha-net 7", other)
        server.put_router(ha_router())
        async with running(server, agent_with(vrrp)) as bench:
            await until(lambda: bool(server.statuses))
            assert server.statuses[-1].ha_states == {router_id(1): "standby"}
            place = (await bench.links.read([NAMESPACE]))[NAMESPACE]
            assert place.links[QR].addresses == () and place.routes == ()
            assert place.links[HA].addresses == ("169.254.192.5/18",)
            assert not bench.advertisers.current
            # The other one goes, and this one has all that a router has.
            await vrrp.leave("ha-net 7", other)
            assert theirs.marker == "169.254.0.7/24"
            await until(lambda: server.statuses[-1].ha_states == {router_id(1): "active"})
            place = (await bench.links.read([NAMESPACE]))[NAMESPACE]
            assert {"10.1.0.1/24", "fd01::1/64", "fe80::f816:3eff:fe01:aa01/64"} <= {
                *place.links[QR].addresses
            }
            assert [route.destination for route in place.routes] == ["0.0.0.0/0"]
            await until(lambda: bool(bench.advertisers.current))
            assert await bench.full_pass() == 0, "what is keepalived's stays"
            server.remove_router(router_id(1))
            await until(lambda: not bench.ports())
            await bench.settled()
            assert await bench.links.namespaces("qrouter-") == []

    scenario(story)


def test_a_router_that_can_not_be_held_ready_leaves_nothing() -> None:
    class Broken(SimulatedKeepalived):
        async def apply(self, routers: Sequence[VirtualRouter]) -> int:
            raise KeepalivedFailed(dict.fromkeys((one.router_id for one in routers), "no such program"))

    async def story() -> None:
        server = NamespaceServer()
        server.put_router(ha_router())
        async with running(server, agent_with(SimulatedVrrp(), Broken)) as bench:
            await until(lambda: bool(server.statuses and server.statuses[-1].failed))
            assert server.statuses[-1].failed == {router_id(1): "no such program"}
            await bench.settled()
            await bench.after(lambda: server.remove_router(router_id(1)))
            assert await bench.links.namespaces("qrouter-") == [] and not bench.ports()

    scenario(story)


def test_the_configuration(tmp_path: object) -> None:
    some = VirtualRouter(
        router_id="r",
        namespace="n",
        interface="ha-1",
        group="g",
        vr_id=9,
        advert_interval_ms=150,
        addresses=(VirtualAddress("10.0.0.1/24", "qr-1"), VirtualAddress("fd00::1/64", "qr-1")),
        routes=(
            VirtualRoute("0.0.0.0/0", "qg-1", "172.24.4.1"),
            VirtualRoute("10.9.0.0/24", "qr-1"),
            VirtualRoute("::/0", "qg-1", "fd00::2", table=65537),
            VirtualRoute("::/0", "", hops=(("fd00::1", "qg-1"), ("fd01::1", "qg-2"))),
        ),
    )
    text = render(some, Path("/run/fifo"))
    for line in (
        "vrrp_notify_fifo /run/fifo",
        "nopreempt",
        "virtual_router_id 9",
        "advert_int 0.15",
        "169.254.0.9/24 dev ha-1",
        "10.0.0.1/24 dev qr-1 no_track",
        "fd00::1/64 dev qr-1 -nodad no_track",
        "0.0.0.0/0 via 172.24.4.1 dev qg-1 no_track",
        "10.9.0.0/24 dev qr-1 no_track",
        "::/0 table 65537 via fd00::2 dev qg-1 no_track",
        "::/0 no_track nexthop via fd00::1 dev qg-1 nexthop via fd01::1 dev qg-2",
    ):
        assert line in [one.strip() for one in text.splitlines()]


def test_who_takes_over_knows_the_connections() -> None:
    some = VirtualRouter(
        router_id="r", namespace="n", interface="ha-1", address="169.254.192.5", group="g", vr_id=9
    )
    lines = [one.strip() for one in conntrackd.render(some, Path("/ct/r")).splitlines()]
    for line in (
        "DisableExternalCache on",
        "StartupResync yes",
        "Group 3789",
        "IPv4_interface 169.254.192.5",
        "Interface ha-1",
        "Path /ct/r/ctl",
        "LockFile /ct/r/lock",
    ):
        assert line in lines
