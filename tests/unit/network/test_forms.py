"""In which forms the Network API takes values: those that neutron-lib's converters and validators take."""

from __future__ import annotations

from typing import Any

import pytest

from pileus.core.errors import Fault
from pileus.resource.declaration import Resource
from pileus.resource.types import BadValue
from pileus.services.network.floating_ips.resource import FLOATING_IP
from pileus.services.network.networks.resource import NETWORK
from pileus.services.network.ports.resource import PORT
from pileus.services.network.qos.kinds import BANDWIDTH_LIMIT
from pileus.services.network.qos.resource import RULES_BY_KIND
from pileus.services.network.routers.resource import ROUTER
from pileus.services.network.security_groups.resource import SECURITY_GROUP, SECURITY_GROUP_RULE
from pileus.services.network.subnetpools.resource import ADDRESS_SCOPE, SUBNETPOOL
from pileus.services.network.subnets.resource import SUBNET

A_ROUTE = {"destination": "10.1.0.0/16", "nexthop": "10.0.0.1"}
NOBODY = "11111111-2222-3333-4444-555555555555"

TAKEN: list[tuple[Resource, str, Any, Any]] = [
    *((ADDRESS_SCOPE, "ip_version", form, 4) for form in (4, "4", " 4 ", "+4", 4.0)),
    *((SUBNET, "ip_version", form, 6) for form in (6, "6")),
    *((NETWORK, "mtu", form, 1) for form in (1, "1", True, 1.9)),
    (NETWORK, "provider:segmentation_id", "77", 77),
    (NETWORK, "name", "a b", "a b"),
    (NETWORK, "dns_domain", "Example.ORG.", "example.org."),
    (NETWORK, "dns_domain", "", ""),
    (NETWORK, "shared", "yes", True),
    (NETWORK, "admin_state_up", "off", False),
    (NETWORK, "availability_zone_hints", ["a", "b"], ["a", "b"]),
    (SUBNET, "cidr", "10.0.0.5/24", "10.0.0.0/24"),
    (SUBNET, "cidr", "10.0.0.0/255.255.255.0", "10.0.0.0/24"),
    (SUBNET, "cidr", "10.0.0.1", "10.0.0.1/32"),
    (SUBNET, "cidr", "FD00::1", "fd00::1/128"),
    (SUBNET, "prefixlen", "24", 24),
    (SUBNET, "allocation_pools", None, []),
    (SUBNET, "dns_nameservers", None, []),
    (SUBNET, "dns_nameservers", ["FD00::0001"], ["fd00::1"]),
    (SUBNET, "host_routes", [A_ROUTE], [A_ROUTE]),
    (SUBNET, "host_routes", None, []),
    (SUBNET, "service_types", ["compute:nova", "network:dhcp"], ["compute:nova", "network:dhcp"]),
    (SUBNET, "service_types", None, []),
    (PORT, "mac_address", "FA-16-3E-00-00-01", "fa:16:3e:00:00:01"),
    (PORT, "mac_address", "fa163e000001", "fa:16:3e:00:00:01"),
    (PORT, "mac_address", "fa16.3e00.0001", "fa:16:3e:00:00:01"),
    (PORT, "dns_name", "Web-1", "web-1"),
    (PORT, "dns_name", "web.example.org.", "web.example.org."),
    (PORT, "fixed_ips", [{"ip_address": "10.0.0.3", "more": 1}], [{"ip_address": "10.0.0.3"}]),
    *(
        (
            PORT,
            "extra_dhcp_opts",
            [{"opt_name": name, "opt_value": value, "ip_version": version}],
            [{"opt_name": name, "opt_value": value, "ip_version": 6}],
        )
        for name, value, version in (("router", "", "6"), ("bootfile-name", "x", 6), ("x", None, "6"))
    ),
    (ROUTER, "external_gateway_info", {}, None),
    (ROUTER, "external_gateway_info", "", None),
    (
        ROUTER,
        "external_gateway_info",
        {"network_id": NOBODY, "enable_snat": "no"},
        {"network_id": NOBODY, "enable_snat": False},
    ),
    (ROUTER, "distributed", None, None),
    (ROUTER, "ha", "false", False),
    (ROUTER, "routes", None, []),
    (SUBNETPOOL, "min_prefixlen", "8", 8),
    (SUBNETPOOL, "default_quota", "5", 5),
    (RULES_BY_KIND[BANDWIDTH_LIMIT], "max_kbps", "1000", 1000),
    (SECURITY_GROUP, "stateful", "no", False),
    (SECURITY_GROUP_RULE, "ethertype", "ipv6", "IPv6"),
    (SECURITY_GROUP_RULE, "protocol", 6, "6"),
    (SECURITY_GROUP_RULE, "protocol", "TCP", "tcp"),
    (SECURITY_GROUP_RULE, "protocol", "any", None),
    (SECURITY_GROUP_RULE, "port_range_min", "80", 80),
    (SECURITY_GROUP_RULE, "remote_ip_prefix", "10.0.0.5", "10.0.0.5/32"),
    (SECURITY_GROUP_RULE, "remote_ip_prefix", "", None),
    (FLOATING_IP, "dns_name", "Web", "web"),
    (
        NETWORK,
        "segments",
        [{"provider:network_type": "vlan", "provider:segmentation_id": "5"}],
        [{"provider:network_type": "vlan", "provider:segmentation_id": 5}],
    ),
]

REFUSED: list[tuple[Resource, str, Any]] = [
    *((NETWORK, "name", form) for form in (None, 5, " x", "x ", "a\tb", "x" * 256)),
    *((NETWORK, "description", form) for form in (None, 5)),
    *((NETWORK, "mtu", form) for form in (None, -1, "x", "", [], 2**31)),
    *((NETWORK, "dns_domain", form) for form in ("example.org", "a..b.", "-a.b.", "a_b.", "1.", None)[:4]),
    (NETWORK, "availability_zone_hints", ["a", "a"]),
    (NETWORK, "provider:network_type", None),
    (NETWORK, "segments", [{"provider:network_type": "vlan", "colour": 1}]),
    *((PORT, "dns_name", form) for form in ("web_1", "-web", "web-", "a..b", "10.0.0.1", "x" * 64, "a b")),
    *((PORT, "device_id", form) for form in (None, 5)),
    *((PORT, "mac_address", form) for form in ("fa163e00000", "00:00:00:00:00:00", "fa16.3e00.01")),
    (PORT, "extra_dhcp_opts", [{"opt_name": "x", "opt_value": ""}]),
    (PORT, "extra_dhcp_opts", [{"opt_name": "x", "opt_value": "y", "ip_version": 5}]),
    *((FLOATING_IP, "dns_name", form) for form in ("web.", "web_1", "x" * 253)),
    *((SUBNET, "cidr", form) for form in ("10.0.0.0/33", "10.0.0.0/255.0.255.0", "x", "10.0.0.0/24 ")),
    (SUBNET, "prefixlen", None),
    (SUBNET, "host_routes", [{**A_ROUTE, "destination": "10.1.0.5/16"}]),
    (SUBNET, "host_routes", [{**A_ROUTE, "destination": "127.0.0.0/8"}]),
    (SUBNET, "host_routes", [A_ROUTE, A_ROUTE]),
    (SUBNET, "dns_nameservers", ["x.example.org"]),
    (SUBNET, "dns_nameservers", ["10.0.0.1", "10.0.0.1"]),
    *((SUBNET, "service_types", form) for form in (["foo"], [5])),
    (ROUTER, "routes", [{**A_ROUTE, "destination": "10.1.0.5/16"}]),
    (SUBNETPOOL, "default_quota", None),
    (SUBNETPOOL, "min_prefixlen", -1),
    (ADDRESS_SCOPE, "ip_version", "5"),
    *((SECURITY_GROUP_RULE, "protocol", form) for form in ("-1", 256, "", "tcpip")),
    *((SECURITY_GROUP_RULE, "port_range_max", form) for form in (-1, 65536, "http")),
    *((SECURITY_GROUP_RULE, "ethertype", form) for form in (None, "ARP")),
    (SECURITY_GROUP_RULE, "remote_ip_prefix", "10.0.0.0/99"),
]


@pytest.mark.parametrize(("resource", "name", "form", "value"), TAKEN)
def test_taken(resource: Resource, name: str, form: Any, value: Any) -> None:
    parsed = resource.attributes[name].type.parse(form)
    assert parsed == value and type(parsed) is type(value)


@pytest.mark.parametrize(("resource", "name", "form"), REFUSED)
def test_refused(resource: Resource, name: str, form: Any) -> None:
    with pytest.raises((BadValue, Fault)):
        resource.attributes[name].type.parse(form)
