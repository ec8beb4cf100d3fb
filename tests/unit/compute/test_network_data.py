"""network_data.json, by what a port and its subnets are. The forms are those of Nova."""

from __future__ import annotations

from typing import Any

from pileus.resource.declaration import Values
from pileus.services.compute.instance_metadata.facts import MetadataFacts
from pileus.services.compute.instance_metadata.openstack import network_data
from pileus.services.compute.servers.attached import AttachedPort

PORT = "3f1c0c61-1f5d-4b3e-9c3c-6c8f1d8d7a01"
LINK = {
    "id": "tap3f1c0c61-1f",
    "vif_id": PORT,
    "type": "ovs",
    "mtu": 1450,
    "ethernet_mac_address": "fa:16:3e:00:00:01",
}


def subnet(cidr: str, **values: Any) -> dict[str, Any]:
    return {
        "ip_version": 6 if ":" in cidr else 4,
        "cidr": cidr,
        "enable_dhcp": False,
        "ipv6_address_mode": None,
        "gateway_ip": None,
        "host_routes": [],
        "dns_nameservers": [],
        **values,
    }


def told(*pairs: tuple[dict[str, Any], str], ports: int = 1) -> dict[str, Any]:
    """Of a port with these subnets and addresses."""
    subnets = {f"s{number}": Values(one) for number, (one, _) in enumerate(pairs)}
    fixed = [{"subnet_id": f"s{number}", "ip_address": address} for number, (_, address) in enumerate(pairs)]
    port = Values({"id": PORT, "network_id": "n", "mac_address": "fa:16:3e:00:00:01", "fixed_ips": fixed})
    plugged = [AttachedPort(port, True, 0, None, "net", {})] * ports
    facts = MetadataFacts(
        server=Values({}), ports=plugged, networks={"n": Values({"mtu": 1450})}, subnets=subnets
    )
    return network_data(facts)


def test_addresses_that_nobody_tells() -> None:
    static = subnet(
        "10.0.0.0/24",
        gateway_ip="10.0.0.1",
        host_routes=[{"destination": "192.0.2.0/25", "nexthop": "10.0.0.9"}],
        dns_nameservers=["192.0.2.53"],
    )
    dns = {"type": "dns", "address": "192.0.2.53"}
    assert told((static, "10.0.0.7")) == {
        "links": [LINK],
        "networks": [
            {
                "id": "network0",
                "type": "ipv4",
                "link": "tap3f1c0c61-1f",
                "ip_address": "10.0.0.7",
                "netmask": "255.255.255.0",
                "routes": [
                    {"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.0.0.1"},
                    {"network": "192.0.2.0", "netmask": "255.255.255.128", "gateway": "10.0.0.9"},
                ],
                "network_id": "n",
                "services": [dns],
            }
        ],
        "services": [dns],
    }


def test_dhcp_tells_the_rest() -> None:
    document = told(
        (
            subnet("10.0.0.0/24", enable_dhcp=True, gateway_ip="10.0.0.1", dns_nameservers=["192.0.2.53"]),
            "10.0.0.7",
        )
    )
    assert document["links"] == [{**LINK, "mtu": None}]
    assert document["networks"] == [
        {"id": "network0", "type": "ipv4_dhcp", "link": "tap3f1c0c61-1f", "network_id": "n"}
    ]
    assert document["services"] == [{"type": "dns", "address": "192.0.2.53"}]


def test_modes_of_ipv6() -> None:
    for mode in ("slaac", "dhcpv6-stateful", "dhcpv6-stateless"):
        one = subnet("fd00::/64", enable_dhcp=True, ipv6_address_mode=mode, gateway_ip="fd00::1")
        (network,) = told((one, "fd00::7"))["networks"]
        assert network == {
            "id": "network0",
            "type": f"ipv6_{mode}",
            "link": "tap3f1c0c61-1f",
            "ip_address": "fd00::7",
            "netmask": "ffff:ffff:ffff:ffff::",
            "routes": [{"network": "::", "netmask": "::", "gateway": "fd00::1"}],
            "network_id": "n",
            "services": [],
        }
    assert told((subnet("fd00::/64", enable_dhcp=True), "fd00::7"))["networks"][0]["type"] == "ipv6_dhcp"
    static = told((subnet("fd00::/64"), "fd00::7"))["networks"][0]
    assert (static["type"], static["routes"]) == ("ipv6", [])


def test_several_subnets_and_none() -> None:
    document = told(
        (subnet("fd00::/64", ipv6_address_mode="slaac", dns_nameservers=["fd00::53"]), "fd00::7"),
        (subnet("10.0.0.0/24", dns_nameservers=["192.0.2.53"]), "10.0.0.7"),
        (subnet("10.0.1.0/24", dns_nameservers=["192.0.2.53"]), "10.0.1.7"),
    )
    assert [(one["id"], one["type"]) for one in document["networks"]] == [
        ("network0", "ipv4"),
        ("network1", "ipv4"),
        ("network2", "ipv6_slaac"),
    ]
    assert [one["address"] for one in document["services"]] == ["192.0.2.53", "fd00::53"]
    assert told() == {}
    assert told(ports=0) == {}


def test_name_servers_that_mean_none_are_not_told() -> None:
    quiet = subnet("10.0.0.0/24", dns_nameservers=["0.0.0.0"])
    quiet_6 = subnet("fd00::/64", dns_nameservers=["::"])
    data = told((quiet, "10.0.0.7"), (quiet_6, "fd00::7"))
    assert data["services"] == []
    assert [network["services"] for network in data["networks"]] == [[], []]
