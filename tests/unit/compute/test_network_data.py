"""network_data.json, by what a port and its subnets are. The forms are those of Nova."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from pileus.resource.declaration import Values
from pileus.services.compute.instance_metadata.facts import MetadataFacts
from pileus.services.compute.instance_metadata.interfaces_file import interfaces_file
from pileus.services.compute.instance_metadata.openstack import file_contents, meta_data, network_data
from pileus.services.compute.rules.untold import is_untold
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


def facts_of(server: dict[str, Any], *pairs: tuple[dict[str, Any], str]) -> MetadataFacts:
    subnets = {f"s{number}": Values(one) for number, (one, _) in enumerate(pairs)}
    fixed = [{"subnet_id": f"s{number}", "ip_address": address} for number, (_, address) in enumerate(pairs)]
    port = Values({"id": PORT, "network_id": "n", "mac_address": "fa:16:3e:00:00:01", "fixed_ips": fixed})
    plugged = [AttachedPort(port, True, 0, None, "net", {})]
    return MetadataFacts(
        server=Values(server), ports=plugged, networks={"n": Values({"mtu": 1450})}, subnets=subnets
    )


STATIC = (
    subnet(
        "10.0.0.0/24",
        gateway_ip="10.0.0.1",
        host_routes=[{"destination": "192.0.2.0/25", "nexthop": "10.0.0.9"}],
        dns_nameservers=["192.0.2.53", "0.0.0.0"],
    ),
    "10.0.0.7",
)


def test_a_guest_without_cloud_init_has_an_interfaces_file(tmp_path: Path) -> None:
    six = subnet("fd00::/64", enable_dhcp=True, ipv6_address_mode="slaac")
    text = interfaces_file(facts_of({}, STATIC, (six, "fd00::7")))
    assert text is not None
    assert text.decode().splitlines() == [
        "auto lo",
        "iface lo inet loopback",
        "",
        "auto eth0",
        "iface eth0 inet static",
        "    hwaddress ether fa:16:3e:00:00:01",
        "    address 10.0.0.7/24",
        "    gateway 10.0.0.1",
        "    up ip route add 192.0.2.0/25 via 10.0.0.9 dev $IFACE",
        "    dns-nameservers 192.0.2.53",
        "iface eth0 inet6 auto",
        "    hwaddress ether fa:16:3e:00:00:01",
    ]
    if shutil.which("ifquery") is not None:
        file = tmp_path / "interfaces"
        file.write_bytes(text)
        done = subprocess.run(
            ["ifquery", "-i", str(file), "eth0"], capture_output=True, text=True, check=True
        )
        assert {"address: 10.0.0.7", "netmask: 255.255.255.0", "gateway: 10.0.0.1"} <= set(
            done.stdout.splitlines()
        )
    # Where everything is told there is none.
    dhcp = subnet("10.0.0.0/24", enable_dhcp=True)
    assert interfaces_file(facts_of({}, (dhcp, "10.0.0.7"))) is None
    assert interfaces_file(facts_of({})) is None


def test_the_interfaces_file_lies_behind_the_files_that_were_given() -> None:
    given = [{"path": "/etc/motd", "contents": "aGk="}]
    server = {
        "id": "s",
        "hostname": "h",
        "name": "n",
        "launch_index": 0,
        "availability_zone": "",
        "project_id": "p",
        "properties": {},
        "random_seed": "",
        "key_data": None,
        "files": given,
        "password": None,
        "user_data": None,
    }
    facts = facts_of(server, STATIC)
    assert meta_data(facts)["network_config"] == {"name": "network_config", "content_path": "/content/0001"}
    assert file_contents(facts, 0) == b"hi"
    assert file_contents(facts, 1) == interfaces_file(facts)
    assert file_contents(facts, 2) is None
    assert "network_config" not in meta_data(facts_of(server))


def test_a_port_of_a_linux_bridge_is_one_of_a_bridge() -> None:
    facts = facts_of({}, STATIC)
    facts.ports[0].port["binding:vif_type"] = "bridge"
    assert network_data(facts)["links"][0]["type"] == "bridge"


def test_who_needs_a_config_drive() -> None:
    def of(network_id: str, **values: Any) -> dict[str, Any]:
        return {"network_id": network_id, **subnet("10.0.0.0/24", **values)}

    assert is_untold([of("a")], ["a"])
    assert not is_untold([of("a")], ["b"])
    assert not is_untold([of("a"), of("a", enable_dhcp=True)], ["a"])
    assert not is_untold([of("a", ipv6_address_mode="slaac")], ["a"])
    assert is_untold([of("a", enable_dhcp=True), of("b")], ["a", "b"])
