"""What the DHCP agent makes of a network: values in, values out."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from msgspec.structs import replace

from pileus.drivers.dnsmasq.spec import DhcpRoute
from pileus.host.dhcp import plan
from pileus.wire.dhcp import DhcpNetwork, DhcpOption, PortAddress

from .scene import host, network, subnet

SIX = subnet(
    subnet_id="six",
    cidr="fd00:1::/64",
    ip_version=6,
    gateway_ip="fd00:1::1",
    dns_nameservers=("fd00::53",),
    host_routes=(),
)


def both(**changes: object) -> DhcpNetwork:
    """IPv4 and IPv6 on one network."""
    base = network(hosts=0)
    port = replace(base.port, addresses=(*base.port.addresses, PortAddress("fd00:1::2", "six")))
    addresses = (*host(10).addresses, PortAddress("fd00:1::a", "six"))
    options = (DhcpOption("bootfile-name", "pxe.0"), DhcpOption("ntp-server", "fd00::7b", 6))
    hosts = (host(11), host(10, addresses=addresses, options=options))
    return replace(base, port=port, subnets=(subnet(), replace(SIX, **changes)), hosts=hosts)  # type: ignore[arg-type]


def test_golden(golden: Callable[[str, str], None]) -> None:
    wanted = both(ipv6_address_mode="dhcpv6-stateful", ipv6_ra_mode="dhcpv6-stateful")
    namespace = plan.plan_namespace(wanted, "qdhcp-")
    assert namespace is not None
    made = {
        "namespace": namespace,
        "server": plan.plan_server(wanted, namespace, 86400),
        "metadata_endpoints": plan.plan_endpoints(wanted, namespace),
    }
    golden("dhcp/network.json", msgspec.json.format(msgspec.json.encode(made), indent=2).decode() + "\n")


@pytest.mark.parametrize(
    ("address_mode", "ra_mode", "mode", "addresses"),
    [
        ("dhcpv6-stateful", "dhcpv6-stateful", "stateful", ("10.1.0.10", "fd00:1::a")),
        ("dhcpv6-stateful", None, "stateful", ("10.1.0.10", "fd00:1::a")),
        # Its guest has options of IPv6, which are found by the address that he makes himself.
        ("dhcpv6-stateless", "dhcpv6-stateless", "stateless", ("10.1.0.10", "fd00:1::a")),
        (None, None, "stateful", ("10.1.0.10", "fd00:1::a")),
        ("slaac", "slaac", None, ("10.1.0.10",)),
        ("slaac", None, None, ("10.1.0.10",)),
        (None, "slaac", None, ("10.1.0.10",)),
    ],
)
def test_modes_of_ipv6(
    address_mode: str | None, ra_mode: str | None, mode: str | None, addresses: tuple[str, ...]
) -> None:
    wanted = both(ipv6_address_mode=address_mode, ipv6_ra_mode=ra_mode)
    namespace = plan.plan_namespace(wanted, "qdhcp-")
    assert namespace is not None
    server = plan.plan_server(wanted, namespace, 600)
    assert {one.id: one.mode for one in server.subnets}.get("six") == mode
    assert server.hosts[0].addresses == addresses


def test_the_way_to_the_metadata_service() -> None:
    for behind, routes in ((True, ()), (False, (DhcpRoute("169.254.169.254/32", "10.1.0.2"),))):
        wanted = replace(network(), subnets=(subnet(host_routes=(), gateway_is_router=behind),))
        namespace = plan.plan_namespace(wanted, "qdhcp-")
        assert namespace is not None
        assert plan.plan_server(wanted, namespace, 600).subnets[0].routes == routes
        # The address of IPv6 is a router's where there is one, lest two answer.
        assert ("fe80::a9fe:a9fe/64" in namespace.ports[0].addresses) is not behind
        assert len(plan.plan_endpoints(wanted, namespace)) == (1 if behind else 2)


def test_the_server_resolves_where_no_other_resolver_is_given() -> None:
    wanted = both(ipv6_address_mode="dhcpv6-stateful", dns_nameservers=())
    wanted = replace(wanted, subnets=tuple(replace(one, dns_nameservers=()) for one in wanted.subnets))
    namespace = plan.plan_namespace(wanted, "qdhcp-")
    assert namespace is not None
    server = plan.plan_server(wanted, namespace, 600)
    assert server.names
    assert [one.resolvers for one in server.subnets] == [("10.1.0.2",), ("fd00:1::2",)]


@pytest.mark.parametrize("servers", [("0.0.0.0",), ("::",)])
def test_the_unspecified_address_asks_for_no_resolver(servers: tuple[str, ...]) -> None:
    wanted = both(ipv6_address_mode="dhcpv6-stateful")
    wanted = replace(wanted, subnets=tuple(replace(one, dns_nameservers=servers) for one in wanted.subnets))
    namespace = plan.plan_namespace(wanted, "qdhcp-")
    assert namespace is not None
    assert [one.resolvers for one in plan.plan_server(wanted, namespace, 600).subnets] == [(), ()]


def test_names_that_are_none_are_not_told() -> None:
    wanted = replace(network(hosts=0), hosts=(host(10, hostname="-bad name"),), dns_domain="")
    namespace = plan.plan_namespace(wanted, "qdhcp-")
    assert namespace is not None
    server = plan.plan_server(wanted, namespace, 600)
    assert (server.hosts[0].hostname, server.domain) == (None, None)
    bad = host(10, options=(DhcpOption("ntp-server", "a\nb"),))
    assert plan.unusable(replace(wanted, hosts=(bad,))) == {
        bad.port_id: "the option 'ntp-server' can't be told as it is"
    }


def test_ports_without_an_address_that_is_served() -> None:
    elsewhere = host(12, addresses=(PortAddress("192.0.2.1", "unserved"),))
    wanted = replace(network(hosts=0), hosts=(host(10), elsewhere))
    namespace = plan.plan_namespace(wanted, "qdhcp-")
    assert namespace is not None
    assert [one.port_id for one in plan.plan_server(wanted, namespace, 600).hosts] == [host(10).port_id]
