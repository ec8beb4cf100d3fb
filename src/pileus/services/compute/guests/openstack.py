"""The metadata tree of OpenStack: meta_data.json, network_data.json, user_data, vendor data.

Source: Nova user guide, "Metadata"; the schema of network_data.json in nova's doc/api_schemas. Pure: the same
functions fill config drives and answer the metadata service.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from pileus.services.compute.guests.facts import GuestFacts, name_servers

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
_WITH_NETWORK = VERSIONS.index("2015-10-15")
_WITH_VENDOR_2 = VERSIONS.index("2016-10-06")
_WITH_VENDOR = VERSIONS.index("2013-10-17")

_encode = msgspec.json.Encoder().encode
_SEEDS = uuid.UUID("5f0c7b52-0b1e-5d8e-93d6-5a0b0a6c2f11")


def meta_data(facts: GuestFacts) -> dict[str, Any]:
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
        # bytes for the guest's random generator: the same at each reading, and nobody else's
        "random_seed": base64.b64encode(_seed(server["id"])).decode(),
    }
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
    if server["password"]:
        document["admin_pass"] = server["password"]
    return document


def _seed(server_id: str) -> bytes:
    return b"".join(uuid.uuid5(_SEEDS, f"{server_id}/{number}").bytes for number in range(32))


def _devices(facts: GuestFacts) -> list[dict[str, Any]]:
    return [
        {"type": "nic", "bus": "none", "address": "none", "mac": one.port["mac_address"], "tags": [one.tag]}
        for one in facts.ports
        if one.tag
    ]


def network_data(facts: GuestFacts) -> dict[str, Any]:
    """network_data.json: links, networks, services."""
    links: list[dict[str, Any]] = []
    networks: list[dict[str, Any]] = []
    for one in facts.ports:
        port = one.port
        network = facts.networks[port["network_id"]]
        link_id = f"tap{port['id'][:11]}"
        links.append(
            {
                "id": link_id,
                "vif_id": port["id"],
                "type": "ovs",
                "mtu": network["mtu"],
                "ethernet_mac_address": port["mac_address"],
            }
        )
        for fixed in port["fixed_ips"] or []:
            subnet = facts.subnets.get(fixed["subnet_id"])
            if subnet is not None:
                entry = _network(subnet, fixed["ip_address"])
                networks.append(
                    {
                        "id": f"network{len(networks)}",
                        "link": link_id,
                        **entry,
                        "network_id": port["network_id"],
                    }
                )
    services = [{"type": "dns", "address": address} for address in name_servers(facts)]
    return {"links": links, "networks": networks, "services": services}


def _network(subnet: Mapping[str, Any], address: str) -> dict[str, Any]:
    version = subnet["ip_version"]
    if version == 4 and subnet["enable_dhcp"]:
        return {"type": "ipv4_dhcp"}
    if version == 6 and subnet["ipv6_address_mode"]:
        return {"type": f"ipv6_{subnet['ipv6_address_mode']}"}
    cidr = ipaddress.ip_network(subnet["cidr"])
    routes = [_route(route["destination"], route["nexthop"]) for route in subnet["host_routes"] or []]
    if subnet["gateway_ip"]:
        routes.insert(0, _route("0.0.0.0/0" if version == 4 else "::/0", subnet["gateway_ip"]))
    return {
        "type": f"ipv{version}",
        "ip_address": address,
        "netmask": str(cidr.netmask),
        "routes": routes,
        "services": [{"type": "dns", "address": one} for one in subnet["dns_nameservers"] or []],
    }


def _route(destination: str, gateway: str) -> dict[str, str]:
    cidr = ipaddress.ip_network(destination, strict=False)
    return {"network": str(cidr.network_address), "netmask": str(cidr.netmask), "gateway": gateway}


def user_data(facts: GuestFacts) -> bytes | None:
    """What the user wrote for the guest, or None."""
    text = facts.server["user_data"]
    if not text:
        return None
    try:
        return base64.b64decode(text)
    except (binascii.Error, ValueError):
        return None


def file_contents(facts: GuestFacts, number: int) -> bytes | None:
    """A personality file's bytes."""
    files = facts.server["files"] or []
    if not 0 <= number < len(files):
        return None
    return base64.b64decode(files[number]["contents"])


def files_of(facts: GuestFacts, version: str) -> dict[str, bytes]:
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


def config_drive(facts: GuestFacts) -> dict[str, bytes]:
    """The contents of a config drive: the newest folder, the one that old readers look for, EC2's tree."""
    from pileus.services.compute.guests.ec2 import document

    tree: dict[str, bytes] = {}
    for version in ("2012-08-10", "2018-08-27", "latest"):
        tree |= {f"openstack/{version}/{name}": data for name, data in files_of(facts, version).items()}
    for number in range(len(facts.server["files"] or [])):
        contents = file_contents(facts, number)
        if contents is not None:
            tree[f"openstack/content/{number:04d}"] = contents
    for version in ("2009-04-04", "latest"):
        tree[f"ec2/{version}/meta-data.json"] = _encode(document(facts))
        own = user_data(facts)
        if own is not None:
            tree[f"ec2/{version}/user-data"] = own
    return tree
