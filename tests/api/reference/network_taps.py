"""Lists of taps; and such things in the scene."""

from __future__ import annotations

from typing import Any

from tests.api.network.cloud import P1, Cloud
from tests.api.reference.network_rows import paged, posted
from tests.api.reference.runner import Example, Operations, Parameters

_COMMON: Parameters = {
    "project_id": Example(f"project_id={P1}", person="admin"),
    "name": "name=first",
    "description": "description=the first",
}

OPERATIONS: Operations = {
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
