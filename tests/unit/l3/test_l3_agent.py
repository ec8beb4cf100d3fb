"""The L3 agent against a simulated node and a server in this process."""

from __future__ import annotations

from msgspec.structs import replace
from tests.unit.namespace_bench import Bench, running, scenario, until
from tests.unit.namespace_server import NamespaceServer

from pileus.core.clock import SystemClock
from pileus.drivers.advertising.advertisers import Prefix
from pileus.drivers.netlink.links import Contents, Route, Veth
from pileus.drivers.nft.router import FLOATING_TO_FIXED, TABLE
from pileus.host.agent import AgentSettings
from pileus.host.l3.agent import L3Agent
from pileus.host.namespaces.agent import NamespaceSettings
from pileus.wire.dhcp import HostRoute, PortAddress
from pileus.wire.l3 import ConntrackHelper, RouterSubnet

from .scene import floating, inner, outer, router, router_id

QR, QG = "qr-00000001-qr", "qg-000001gw-00"
ON_LINK = {QR: "fe80::f816:3eff:fe01:aa01/64", QG: "fe80::f816:3eff:fe01:bb01/64"}


def agent(bench: Bench) -> L3Agent:
    return L3Agent(
        AgentSettings(host="n1"),
        bench.server,
        SystemClock(),
        bench.client,
        bench.links,
        bench.filter,
        bench.advertisers,
        namespaces=NamespaceSettings(namespace_prefix="qrouter-", watch_interval_s=0.01),
    )


async def contents(bench: Bench, number: int = 1) -> Contents:
    name = f"qrouter-{router_id(number)}"
    return (await bench.links.read([name], ["ipv4/ip_forward"]))[name]


async def translations(bench: Bench, number: int = 1) -> dict[object, object]:
    name = f"qrouter-{router_id(number)}"
    table = (await bench.filter.read([name]))[name]["ip", TABLE]
    return {key: element.value for key, element in table.sets[FLOATING_TO_FIXED].elements.items()}


def test_a_router_is_made_and_a_full_pass_changes_nothing() -> None:
    async def story() -> None:
        server = NamespaceServer()
        server.put_router(router(floating_ips=(floating(200),)))
        async with running(server, agent) as bench:
            await until(lambda: bool(server.statuses))
            assert server.statuses[-1].routers == (router_id(1),)
            assert server.statuses[-1].floating_ips == ("fip-200",)
            place = await contents(bench)
            assert place.links[QR].addresses == ("10.1.0.1/24", "fe80::a9fe:a9fe/64", ON_LINK[QR])
            assert place.links[QG].addresses == ("172.24.4.101/24", "172.24.4.200/32", ON_LINK[QG])
            assert place.links[QR].mtu == 1450
            assert place.sysctls == {"ipv4/ip_forward": "1"}
            assert place.routes == (Route(None, "0.0.0.0/0", "172.24.4.1", QG),)
            assert await translations(bench) == {"172.24.4.200": "10.1.0.10"}
            assert {ids["pileus-owner"] for ids in bench.ports().values()} == {"l3"}
            assert bench.ports().keys() == {QR, QG}
            assert await bench.full_pass() == 0
            report = bench.agent.report()
            assert (report.binary, report.agent_type, report.topic) == (
                "neutron-l3-agent",
                "L3 agent",
                "l3_agent",
            )
            wanted = {"routers": 1, "ex_gw_ports": 1, "interfaces": 1, "floating_ips": 1}
            assert wanted.items() <= report.configurations.items()
            # Clients look here for what can be asked of a router.
            assert {"fip_qos", "ndp_proxy", "port_forwarding"} <= {*report.configurations["extensions"]}

    scenario(story)


def test_a_floating_ip_is_an_address_and_an_element() -> None:
    async def story() -> None:
        server = NamespaceServer()
        server.put_router(*(router(n) for n in range(1, 11)))
        async with running(server, agent) as bench:
            await until(lambda: bool(server.statuses))
            await bench.settled()
            changes, loads, transactions = (
                bench.agent.metrics.changes,
                bench.filter.loads,
                bench.transactions(),
            )
            server.put_router(router(4, floating_ips=(floating(200, network=4),)))
            await until(lambda: server.statuses[-1].floating_ips == ("fip-200",))
            # The address, and the element of either map.
            assert bench.agent.metrics.changes == changes + 3
            assert bench.filter.loads == loads + 1
            assert bench.transactions() == transactions
            assert server.asked[-1] == (router_id(4),)
            address = f"qrouter-{router_id(4)}"
            await until(lambda: any(a.address == "172.24.4.200/32" for a in bench.links.announced))
            # A stream that met the address before the rule is asked about it anew.
            assert bench.filter.forgotten == [(address, "172.24.4.200")]
            bench.filter.forgotten.clear()
            # To another port.
            other = router(4, floating_ips=(floating(200, 11, network=4),))
            await bench.after(lambda: server.put_router(other))
            assert bench.filter.forgotten == [(address, "172.24.4.200")]
            assert await translations(bench, 4) == {"172.24.4.200": "10.4.0.11"}
            # And gone.
            bench.filter.forgotten.clear()
            server.put_router(router(4))
            await until(lambda: server.statuses[-1].floating_ips == ())
            assert await translations(bench, 4) == {}
            assert bench.filter.forgotten == [(address, "172.24.4.200")]
            place = await contents(bench, 4)
            assert place.links["qg-000004gw-00"].addresses == (
                "172.24.4.104/24",
                "fe80::f816:3eff:fe04:bb01/64",
            )

    scenario(story)


def test_gateways_interfaces_and_routes_come_and_go() -> None:
    async def story() -> None:
        server = NamespaceServer()
        server.put_router(router(gateway=None, interfaces=()))
        async with running(server, agent) as bench:
            await until(lambda: bool(server.statuses))
            assert bench.ports() == {}
            server.put_router(router(gateway=None))
            await until(lambda: bench.ports().keys() == {QR})
            extra = HostRoute("192.168.0.0/16", "10.1.0.77")
            lost = HostRoute("192.0.2.0/24", "198.51.100.1")
            server.put_router(router(interfaces=(inner(1), inner(2)), routes=(extra, lost)))
            await until(lambda: len(bench.ports()) == 3)
            await bench.settled()
            routes = {(r.destination, r.via) for r in (await contents(bench)).routes}
            assert routes == {("0.0.0.0/0", "172.24.4.1"), ("192.168.0.0/16", "10.1.0.77")}
            server.put_router(router(gateway=None, interfaces=(inner(2),)))
            await until(lambda: bench.ports().keys() == {"qr-00000002-qr"})
            await bench.settled()
            place = await contents(bench)
            assert place.links.keys() == {"lo", "qr-00000002-qr"}
            assert place.routes == ()
            assert await bench.full_pass() == 0
            server.remove_router(router_id(1))
            await until(lambda: bench.ports() == {})
            await bench.settled()
            assert await bench.links.namespaces() == []

    scenario(story)


def test_of_a_router_that_is_down_nothing_is_plugged() -> None:
    async def story() -> None:
        server = NamespaceServer()
        server.put_router(router(floating_ips=(floating(200),)))
        async with running(server, agent) as bench:
            await until(lambda: bool(server.statuses))
            server.put_router(router(admin_state_up=False, floating_ips=(floating(200),)))
            await until(lambda: server.statuses[-1].floating_ips == ())
            await bench.settled()
            assert bench.ports() == {}
            place = await contents(bench)
            assert not {QR, QG} & {*place.links} and place.routes == ()
            assert await translations(bench) == {}
            assert await bench.full_pass() == 0
            server.put_router(router(floating_ips=(floating(200),)))
            await until(lambda: server.statuses[-1].floating_ips == ("fip-200",))
            assert (await contents(bench)).links[QR].addresses[0] == "10.1.0.1/24"

    scenario(story)


def test_a_restart_changes_nothing() -> None:
    async def story() -> None:
        server = NamespaceServer()
        server.put_router(*(router(n, floating_ips=(floating(n, network=n),)) for n in range(1, 6)))
        async with running(server, agent) as bench:
            await until(lambda: bool(server.statuses))
            assert len(server.statuses[-1].routers) == 5
            await bench.kill()
            server.put_router(router(2))
            server.remove_router(router_id(3))
            loads, transactions = bench.filter.loads, bench.transactions()
            await bench.start()
            await until(lambda: len(server.statuses[-1].routers) == 4)
            assert bench.filter.loads == loads + 1
            assert bench.transactions() == transactions + 1
            await bench.kill()
            await bench.start()
            await until(lambda: bench.agent.metrics.full_passes == 1)
            assert bench.agent.metrics.changes == 0

    scenario(story)


def test_one_that_the_kernel_refuses_keeps_none_waiting() -> None:
    async def story() -> None:
        server = NamespaceServer()
        port = replace(inner(2).port, addresses=(PortAddress("10.2.0.1", "s2"),))
        nowhere = router(
            2,
            gateway=None,
            interfaces=(inner(2, port=replace(port, addresses=())),),
            routes=(HostRoute("192.168.0.0/16", "10.2.0.9"),),
        )
        server.put_router(router(1), nowhere, router(3))
        async with running(server, agent) as bench:
            await until(lambda: bool(server.statuses))
            assert server.statuses[-1].routers == (router_id(1), router_id(3))
            assert "unreachable" in server.statuses[-1].failed[router_id(2)]
            server.put_router(router(2))
            await until(lambda: len(server.statuses[-1].routers) == 3)
            assert await bench.full_pass() == 0

    scenario(story)


def test_a_namespace_that_somebody_deleted_comes_back_and_is_plugged_anew() -> None:
    async def story() -> None:
        server = NamespaceServer()
        server.put_router(router())
        async with running(server, agent) as bench:
            await until(lambda: bool(server.statuses))
            await bench.settled()
            before = bench.ports()[QR]["pileus-ifindex"]
            await bench.links.delete_namespaces([f"qrouter-{router_id(1)}"])
            bench.filter.forget_namespace(f"qrouter-{router_id(1)}")
            # The port is taken away and put back.
            await until(lambda: bench.ports().get(QR, {}).get("pileus-ifindex", before) != before)
            await bench.settled()
            assert await translations(bench) == {}
            assert await bench.full_pass() == 0

    scenario(story)


def test_floating_ips_from_another_subnet_of_the_outer_network() -> None:
    async def story() -> None:
        server = NamespaceServer()
        more = RouterSubnet("ext2", "203.0.113.0/24", "203.0.113.1")
        beyond = RouterSubnet("ext", "172.24.4.0/24", "192.0.2.1")
        server.put_router(router(gateway=outer(subnets=(beyond, more))))
        async with running(server, agent) as bench:
            await until(lambda: bool(server.statuses))
            assert {(r.destination, r.via) for r in (await contents(bench)).routes} >= {
                ("203.0.113.0/24", None),
                ("192.0.2.1/32", None),
            }

    scenario(story)


def test_ipv6_subnets_are_advertised_as_they_say() -> None:
    async def story() -> None:
        server = NamespaceServer()
        modes = {"slaac": (True, False, False), "dhcpv6-stateful": (False, True, True)}
        modes |= {"dhcpv6-stateless": (True, False, True)}
        async with running(server, agent) as bench:
            for mode, (autonomous, managed, other) in modes.items():
                six = RouterSubnet("s6", "fd01::/64", "fd01::1", mode, ("fd01::53", "9.9.9.9"))
                four = RouterSubnet("s1", "10.1.0.0/24", "10.1.0.1")
                port = replace(inner(1).port, addresses=(PortAddress("fd01::1", "s6"),))
                both = replace(inner(1), port=port, subnets=(six, four))
                await bench.after(lambda both=both: server.put_router(router(interfaces=(both, inner(2)))))
                (said,) = bench.advertisers.current
                assert (said.interface, said.mtu, said.resolvers) == (QR, 1450, ("fd01::53",))
                assert said.prefixes == (Prefix("fd01::/64", autonomous),)
                assert (said.managed, said.other) == (managed, other)
            await bench.after(lambda: server.put_router(router(gateway=None, interfaces=())))
            assert bench.advertisers.current == set()
            assert [said.interface for said in bench.advertisers.taken_back] == [QR]

    scenario(story)


def test_purge_leaves_what_is_not_ours() -> None:
    async def story() -> None:
        server = NamespaceServer()
        server.put_router(router())
        async with running(server, agent) as bench:
            await until(lambda: bool(server.statuses))
            await bench.links.ensure_namespaces(["qrouter-theirs"], "somebody")
            await bench.links.ensure_veths([Veth("other", "other", "qrouter-theirs")])
            await bench.kill()
            bench.client = bench.switch.client()
            await agent(bench).purge()
            assert await bench.links.namespaces() == ["qrouter-theirs"]
            assert (await bench.links.links()).keys() == {"lo", "other"}
            assert bench.ports() == {}

    scenario(story)


def test_without_snat_nothing_is_translated_on_the_way_out() -> None:
    async def story() -> None:
        server = NamespaceServer()
        server.put_router(router(enable_snat=False))
        async with running(server, agent) as bench:
            await until(lambda: bool(server.statuses))
            name = f"qrouter-{router_id(1)}"
            table = (await bench.filter.read([name]))[name]["ip", TABLE]
            assert not any(c.startswith("source ") for c in table.chains["postrouting"].comments)
            await bench.after(lambda: server.put_router(router()))
            table = (await bench.filter.read([name]))[name]["ip", TABLE]
            assert any(c.startswith("source ") for c in table.chains["postrouting"].comments)

    scenario(story)


def test_a_helper_that_the_kernel_has_not_is_left_out_and_told() -> None:
    async def story() -> None:
        server = NamespaceServer()
        other, ftp = ConntrackHelper("other", "tcp", 6566), ConntrackHelper("ftp", "tcp", 21)
        server.put_router(router(1, conntrack_helpers=(other, ftp)))
        server.put_router(router(2, conntrack_helpers=(other,)))
        async with running(server, agent) as bench:
            await until(lambda: bool(server.statuses))
            assert server.statuses[-1].failed == {}
            assert server.statuses[-1].routers == (router_id(1), router_id(2))
            name = f"qrouter-{router_id(1)}"
            assert (await bench.filter.read([name]))[name]["ip", TABLE].objects.keys() == {
                ("ct helper", "ftp_tcp")
            }
            assert bench.agent.configurations()["conntrack_helpers_missing"] == ["other_tcp"]
            assert await bench.full_pass() == 0

    scenario(story)
