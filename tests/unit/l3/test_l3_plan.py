"""What the L3 agent makes of a router: values in, values out."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from pileus.drivers.nft.difference import difference
from pileus.drivers.nft.router import render
from pileus.host.l3 import gateways, plan
from pileus.wire.dhcp import HostRoute, PortAddress, ServicePort
from pileus.wire.l3 import FloatingIP, RouterDetails, RouterPort, RouterSubnet
from pileus.wire.qos import AddressQos, RateLimit

from .scene import floating, inner, outer, router


def test_golden(golden: Callable[[str, str], None]) -> None:
    six = inner(
        3,
        port=msgspec.structs.replace(inner(3).port, addresses=(PortAddress("fd03::1", "s3"),)),
        subnets=(RouterSubnet("s3", "fd03::/64", "fd03::1", "slaac", ("fd03::53",)),),
    )
    wanted = router(
        interfaces=(inner(1), inner(2), six),
        floating_ips=(floating(201, 11), floating(200, 10)),
        routes=(HostRoute("192.168.0.0/16", "10.2.0.77"),),
        limits=(
            AddressQos("172.24.4.101", egress=RateLimit("q", 1000, 0)),
            AddressQos("172.24.4.200", RateLimit("q", 2000, 100), RateLimit("q", 3000, 0)),
            AddressQos("172.24.4.201", ingress=RateLimit("q", 0, 0)),
        ),
    )
    namespace = plan.plan_namespace(wanted, "qrouter-")
    made = {
        "namespace": namespace,
        "rules": difference(render(plan.plan_rules(wanted)), None),
        "metadata_endpoints": plan.plan_endpoints(wanted, namespace),
        "advertisements": plan.plan_advertisements(wanted, namespace),
    }
    golden("l3/router.json", msgspec.json.format(msgspec.json.encode(made), indent=2).decode() + "\n")


def test_one_port_on_a_network_answers_for_ipv6_metadata() -> None:
    second = inner(2, network_id="net-1")
    beside = inner(3, subnets=(RouterSubnet("s3", "10.3.0.0/24", "10.3.0.254"),))
    wanted = router(interfaces=(inner(1), second, beside))
    namespace = plan.plan_namespace(wanted, "qrouter-")
    endpoints = [
        endpoint.interface for endpoint in plan.plan_endpoints(wanted, namespace) if endpoint.interface
    ]
    assert endpoints == ["qr-00000001-qr"], "not twice on a network, nor where another router is the gateway"
    answering = [port.name for port in namespace.ports if "fe80::a9fe:a9fe/64" in port.addresses]
    assert answering == endpoints


def test_a_floating_ip_that_is_the_gateways_own_address_is_held_once() -> None:
    wanted = router(floating_ips=(floating(101, 10),))
    (gateway, _) = plan.plan_namespace(wanted, "qrouter-").ports
    assert gateway.addresses == ("172.24.4.101/24",)


def test_ways_out() -> None:
    subnets = (
        RouterSubnet("ext", "172.24.4.0/24", "172.24.4.1"),
        RouterSubnet("ext6", "2001:db8::/64", "fe80::1"),
        RouterSubnet("more", "203.0.113.0/24", "203.0.113.1"),
    )
    port = msgspec.structs.replace(
        outer().port, addresses=(*outer().port.addresses, PortAddress("2001:db8::5", "ext6"))
    )
    namespace = plan.plan_namespace(router(gateway=outer(port=port, subnets=subnets)), "qrouter-")
    assert [(route.destination, route.via) for route in namespace.routes] == [
        ("203.0.113.0/24", None),
        ("0.0.0.0/0", "172.24.4.1"),
        ("::/0", "fe80::1"),
    ]


def several(**changes: object) -> RouterDetails:
    """A router with gateways on two networks, and a floating IP of each."""
    port = ServicePort("000002gw-0", "fa:16:3e:02:bb:01", (PortAddress("192.0.2.9", "b"),))
    second = RouterPort(port, "beyond", (RouterSubnet("b", "192.0.2.0/24", "192.0.2.1"),))
    fields = {
        "gateway": outer(1),
        "more_gateways": (second,),
        "floating_ips": (floating(200, 10), FloatingIP("fip-2", "192.0.2.50", "10.1.0.11", "port-11")),
    }
    return router(**(fields | changes))


def test_several_gateways(golden: Callable[[str, str], None]) -> None:
    wanted = several(enable_default_route_ecmp=True)
    made = {
        "namespace": plan.plan_namespace(wanted, "qrouter-"),
        "rules": difference(render(plan.plan_rules(wanted)), None),
        "marks": difference(gateways.plan_marks(wanted), None),
    }
    golden("l3/gateways.json", msgspec.json.format(msgspec.json.encode(made), indent=2).decode() + "\n")


def test_without_balance_the_first_gateway_is_the_way_out() -> None:
    def ways(wanted: RouterDetails, table: int = 0) -> list[tuple[str, str | None]]:
        namespace = plan.plan_namespace(wanted, "q")
        return [(one.device, one.via) for one in namespace.routes if one.table == table]

    one = several()
    namespace = plan.plan_namespace(one, "q")
    assert ways(one) == [("qg-000001gw-00", "172.24.4.1")]
    tables = [rule.table for rule in namespace.rules if rule.table]
    assert len(tables) == 2 and namespace.rules[0].default_is_none
    assert sorted(way for table in tables for way in ways(one, table)) == [
        ("qg-000001gw-00", "172.24.4.1"),
        ("qg-000002gw-0", "192.0.2.1"),
    ]
    # Whichever is the first, each keeps its mark and its table.
    turned = several(gateway=one.more_gateways[0], more_gateways=(outer(1),))
    assert ways(turned) == [("qg-000002gw-0", "192.0.2.1")]
    assert plan.plan_namespace(turned, "q").rules == namespace.rules
    single = several(more_gateways=())
    assert plan.plan_namespace(single, "q").rules == () and gateways.plan_marks(single).absent


def test_several_gateways_on_one_network_have_its_floating_ips_once() -> None:
    second = outer(2, port=msgspec.structs.replace(outer(2).port, port_id="000002gw-0"))
    wanted = several(more_gateways=(second,), floating_ips=(floating(200, 10),))
    held = [port.addresses for port in plan.plan_namespace(wanted, "q").ports if port.name[:3] == "qg-"]
    assert held == [("172.24.4.101/24", "172.24.4.200/32"), ("172.24.4.102/24",)]
