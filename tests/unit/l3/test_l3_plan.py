"""What the L3 agent makes of a router: values in, values out."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from pileus.drivers.nft.difference import difference
from pileus.drivers.nft.router import render
from pileus.host.l3 import plan
from pileus.wire.dhcp import HostRoute, PortAddress
from pileus.wire.l3 import RouterSubnet
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
