"""The metadata tree of OpenStack: meta_data.json, network_data.json, user_data, vendor data.

Source: Nova user guide, "Metadata"; the schema of network_data.json in nova's doc/api_schemas. Pure: the same
functions fill config drives and answer the metadata service.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
from collections.abc import Mapping
from typing import Any

import msgspec

from pileus.services.compute.instance_metadata.facts import MetadataFacts
from pileus.services.compute.instance_metadata.interfaces_file import interfaces_file
from pileus.services.compute.rules.base64 import decode

VERSIONS = (
    "2012-08-10",
    "2013-04-04",
    "2013-10-17",
    "2015-10-15",
    "2016-06-30",
    "2016-10-06",
    "2017-02-22",
    "2018-08-27",
    "2020-10-14",
    "latest",
)
WITH_PASSWORD = VERSIONS[VERSIONS.index("2013-04-04") :]
_WITH_NETWORK = VERSIONS.index("2015-10-15")
_WITH_VENDOR_2 = VERSIONS.index("2016-10-06")
_WITH_VENDOR = VERSIONS.index("2013-10-17")

_encode = msgspec.json.Encoder().encode
_RANDOM_BYTES = 512


def meta_data(facts: MetadataFacts) -> dict[str, Any]:
    """meta_data.json."""
    server = facts.server
    document: dict[str, Any] = {
        "uuid": server["id"],
        "hostname": server["hostname"],
        "name": server["name"],
        "launch_index": server["launch_index"],
        "availability_zone": server["availability_zone"] or "",
        "project_id": server["project_id"],
        "meta": server["properties"],
        "devices": _devices(facts),
        "dedicated_cpus": [],
    }
    if server["random_seed"]:
        # bytes for the guest's random generator: the same at each reading (a config drive is compared with
        # the one that is there), and from a seed that nobody can guess
        seed = hashlib.shake_256(server["random_seed"].encode()).digest(_RANDOM_BYTES)
        document["random_seed"] = base64.b64encode(seed).decode()
    if server["properties"] == {}:
        del document["meta"]
    if server["key_data"]:
        document["public_keys"] = {server["key_name"]: server["key_data"]}
        document["keys"] = [
            {"name": server["key_name"], "type": server["key_type"] or "ssh", "data": server["key_data"]}
        ]
    if server["files"]:
        document["files"] = [
            {"path": one["path"], "content_path": f"/content/{number:04d}"}
            for number, one in enumerate(server["files"])
        ]
    if interfaces_file(facts) is not None:
        # behind the files that were given for the guest
        content = f"/content/{len(server['files'] or []):04d}"
        document["network_config"] = {"name": "network_config", "content_path": content}
    if server["password"]:
        document["admin_pass"] = server["password"]
    return document


def _devices(facts: MetadataFacts) -> list[dict[str, Any]]:
    return [
        {"type": "nic", "bus": "none", "address": "none", "mac": one.port["mac_address"], "tags": [one.tag]}
        for one in facts.ports
        if one.tag
    ]


def network_data(facts: MetadataFacts) -> dict[str, Any]:
    """network_data.json: links, networks, services. An empty object where there is nothing to tell.

    A link for each port with addresses, and for each of its subnets what the guest has to do there. Nova
    tells the first subnet of each IP version only; here all are told, in the same form.
    """
    links: list[dict[str, Any]] = []
    networks: list[dict[str, Any]] = []
    services: dict[str, dict[str, str]] = {}
    for one in facts.ports:
        port = one.port
        addresses = _by_subnet(port, facts.subnets)
        if not addresses:
            continue
        link_id = f"tap{port['id'][:11]}"
        # where a DHCP server tells the MTU, nobody else does
        dhcp = any(facts.subnets[subnet_id]["enable_dhcp"] for subnet_id in addresses)
        links.append(
            {
                "id": link_id,
                "vif_id": port["id"],
                "type": _link_type(port),
                "mtu": None if dhcp else facts.networks[port["network_id"]]["mtu"],
                "ethernet_mac_address": port["mac_address"],
            }
        )
        for subnet_id, address in addresses.items():
            subnet = facts.subnets[subnet_id]
            common = {
                "id": f"network{len(networks)}",
                "link": link_id,
                "network_id": port["network_id"],
            }
            networks.append({**common, **_network(subnet, address)})
            services |= {service["address"]: service for service in _name_servers(subnet)}
    if not links:
        return {}
    return {"links": links, "networks": networks, "services": list(services.values())}


def _link_type(port: Mapping[str, Any]) -> str:
    """Tell how the port is plugged on its host; ``ovs`` while it is not."""
    plugged = port.get("binding:vif_type")
    return "bridge" if plugged == "bridge" else "ovs"


def _by_subnet(port: Mapping[str, Any], subnets: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The first address that a port has on each of its subnets, IPv4 before IPv6."""
    found: dict[str, str] = {}
    for fixed in port["fixed_ips"] or []:
        if fixed["subnet_id"] in subnets:
            found.setdefault(fixed["subnet_id"], fixed["ip_address"])
    return dict(sorted(found.items(), key=lambda one: ":" in one[1]))


def _network(subnet: Mapping[str, Any], address: str) -> dict[str, Any]:
    version, mode = subnet["ip_version"], subnet["ipv6_address_mode"]
    if subnet["enable_dhcp"] and not mode:
        return {"type": f"ipv{version}_dhcp"}
    routes = [_route(route["destination"], route["nexthop"]) for route in subnet["host_routes"] or []]
    if subnet["gateway_ip"]:
        routes.insert(0, _route("0.0.0.0/0" if version == 4 else "::/0", subnet["gateway_ip"]))
    return {
        "type": f"ipv{version}_{mode}" if mode else f"ipv{version}",
        "ip_address": address,
        "netmask": str(ipaddress.ip_network(subnet["cidr"]).netmask),
        "routes": routes,
        "services": _name_servers(subnet),
    }


def _name_servers(subnet: Mapping[str, Any]) -> list[dict[str, str]]:
    """A subnet's name servers; ``0.0.0.0`` and ``::`` mean that its guests are told none."""
    return [
        {"type": "dns", "address": address}
        for address in subnet["dns_nameservers"] or []
        if not ipaddress.ip_address(address).is_unspecified
    ]


def _route(destination: str, gateway: str) -> dict[str, str]:
    cidr = ipaddress.ip_network(destination, strict=False)
    return {"network": str(cidr.network_address), "netmask": str(cidr.netmask), "gateway": gateway}


def user_data(facts: MetadataFacts) -> bytes | None:
    """The user data that was given for the guest, or None."""
    text = facts.server["user_data"]
    if not text:
        return None
    try:
        return decode(text)
    except ValueError:
        return None


def file_contents(facts: MetadataFacts, number: int) -> bytes | None:
    """A personality file's bytes; behind the last of them the guest's interfaces file, where it has one."""
    files = facts.server["files"] or []
    if number == len(files):
        return interfaces_file(facts)
    if not 0 <= number < len(files):
        return None
    return decode(files[number]["contents"])


def files_of(facts: MetadataFacts, version: str) -> dict[str, bytes]:
    """The files of one version's folder."""
    at = VERSIONS.index(version)
    files = {"meta_data.json": _encode(meta_data(facts))}
    own = user_data(facts)
    if own is not None:
        files["user_data"] = own
    if at >= _WITH_VENDOR:
        files["vendor_data.json"] = b"{}"
    if at >= _WITH_NETWORK:
        files["network_data.json"] = _encode(network_data(facts))
    if at >= _WITH_VENDOR_2:
        files["vendor_data2.json"] = b"{}"
    return files
