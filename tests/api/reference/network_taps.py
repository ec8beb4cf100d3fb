"""Lists of taps and of L2 gateways; and such things in the scene."""

from __future__ import annotations

from typing import Any

from tests.api.network.cloud import P1, P2, Cloud, Node
from tests.api.reference.network_rows import by, paged, posted
from tests.api.reference.runner import Example, Operations, Parameters

from pileus.wire.physical import PhysicalStateRequest, PhysicalSwitch

_COMMON: Parameters = {
    "project_id": Example(f"project_id={P1}", person="admin"),
    "name": "name=first",
    "description": "description=the first",
}

OPERATIONS: Operations = {
    "/v2.0/l2-gateways": by(
        "admin",
        {
            "id": "id={l2_gateway}",
            "name": "name=first",
            "project_id": f"project_id={P1}",
            **paged("name", marker="l2_gateway"),
        },
    ),
    "/v2.0/l2-gateway-connections": by(
        "admin",
        {
            "id": "id={l2_connection}",
            "project_id": f"project_id={P1}",
            "l2_gateway_id": "l2_gateway_id={l2_gateway}",
            "network_id": "network_id={network}",
            **paged("project_id", marker="l2_connection"),
        },
    ),
    "/v2.0/taas/tap_services": {
        **_COMMON,
        "id": "id={tap_service}",
        "port_id": "port_id={port}",
        "status": "status=ACTIVE",
        **paged("name", marker="tap_service"),
    },
    "/v2.0/taas/tap_flows": {
        **_COMMON,
        "id": "id={tap_flow}",
        "tap_service_id": "tap_service_id={tap_service}",
        "source_port": "source_port={tap_source}",
        "direction": "direction=IN",
        "vlan_filter": "vlan_filter=7",
        "status": "status=ACTIVE",
        **paged("name", marker="tap_flow"),
    },
    "/v2.0/taas/tap_mirrors": {
        **_COMMON,
        "id": "id={tap_mirror}",
        "port_id": "port_id={port}",
        "remote_ip": "remote_ip=198.51.100.1",
        "mirror_type": "mirror_type=gre",
        **paged("name", marker="tap_mirror"),
    },
}


async def taps(api: Cloud, port: str, network: str) -> dict[str, Any]:
    bob = api.as_("bob")
    said = {"name": "first", "description": "the first"}
    source = (await api.make("port", network_id=network))["id"]
    path = "/v2.0/taas/tap_services"
    service = (await posted(api, path, "tap_service", **said, port_id=port))["id"]
    other = (await posted(api, path, "tap_service", port_id=source))["id"]
    their_network = (await bob.make("network"))["id"]
    theirs, second = [(await bob.make("port", network_id=their_network))["id"] for _ in range(2)]
    their_service = (await posted(bob, path, "tap_service", port_id=theirs))["id"]
    flow = {"tap_service_id": service, "source_port": source, "direction": "IN", "vlan_filter": "7"}
    path = "/v2.0/taas/tap_flows"
    made = (await posted(api, path, "tap_flow", **said, **flow))["id"]
    await posted(api, path, "tap_flow", tap_service_id=other, source_port=port, direction="OUT")
    flow = {"tap_service_id": their_service, "source_port": second, "direction": "OUT"}
    await posted(bob, path, "tap_flow", **flow)
    mirror = {"port_id": port, "directions": {"IN": 1}, "remote_ip": "198.51.100.1", "mirror_type": "gre"}
    path = "/v2.0/taas/tap_mirrors"
    mirrored = (await posted(api, path, "tap_mirror", **said, **mirror))["id"]
    others = {"directions": {"IN": 2}, "remote_ip": "198.51.100.2", "mirror_type": "erspanv1"}
    await posted(api, path, "tap_mirror", **{**mirror, **others, "port_id": source})
    await posted(bob, path, "tap_mirror", **{**mirror, **others, "port_id": theirs})
    return {"tap_service": service, "tap_flow": made, "tap_mirror": mirrored, "tap_source": source}


async def gateways(api: Cloud, *networks: str) -> dict[str, str]:
    admin = api.as_("admin")
    switch = PhysicalSwitch(name="tor", kind="vtep", ports=("p1", "p2"), tunnel_ip="192.0.2.99")
    await api.wire["physical_state"](PhysicalStateRequest("h77", (switch,)), Node("h77"))
    made = []
    for name, project, network in zip(("first", "other"), (P1, P2), networks, strict=True):
        devices = [{"device_name": "tor", "interfaces": [{"name": "p1" if made else "p2"}]}]
        said = {"name": name, "project_id": project, "devices": devices}
        one = (await posted(admin, "/v2.0/l2-gateways", "l2_gateway", **said))["id"]
        values = {"l2_gateway_id": one, "network_id": network, "segmentation_id": 7, "project_id": project}
        path = "/v2.0/l2-gateway-connections"
        made.append((one, (await posted(admin, path, "l2_gateway_connection", **values))["id"]))
    return {"l2_gateway": made[0][0], "l2_connection": made[0][1]}
