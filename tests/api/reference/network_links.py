"""Lists of trunks, of bindings of ports and of ranges of segments; and such things in the scene."""

from __future__ import annotations

from typing import Any

from tests.api.network.cloud import P1, P2, Cloud
from tests.api.reference.network_rows import by, paged, posted, tags
from tests.api.reference.runner import Example, Operations

OPERATIONS: Operations = {
    "/v2.0/trunks": {
        "id": "id={trunk}",
        "name": "name=first",
        "project_id": Example(f"project_id={P2}", person="admin"),
        "port_id": "port_id={trunk_port}",
        "admin_state_up": "admin_state_up=False",
        "status": "status=ACTIVE",
        "description": "description=the first",
        "revision_number": "revision_number=2",
        **tags(),
        **paged("name", "port_id", "admin_state_up", "description", "revision_number", marker="trunk"),
    },
    "/v2.0/trunks/{id}/get_subports": {},
    "/v2.0/trunks/{id}/tags": {},
    "/v2.0/local-ips": {
        "id": "id={local_ip}",
        "name": "name=first",
        "description": "description=the first",
        "project_id": Example(f"project_id={P2}", person="admin"),
        "local_port_id": "local_port_id={local_port}",
        "network_id": "network_id={local_network}",
        "local_ip_address": "local_ip_address={local_address}",
        "ip_mode": "ip_mode=passthrough",
        **paged(
            *("name", "description", "local_port_id", "network_id", "local_ip_address", "ip_mode"),
            marker="local_ip",
        ),
    },
    "/v2.0/local_ips/{id}/port_associations": by(
        "alice",
        {
            "local_ip_id": Example("local_ip_id={local_ip}", without="local_ip_id={led_port}"),
            "local_ip_address": Example(
                "local_ip_address={local_address}", without="local_ip_address=192.0.2.1"
            ),
            "fixed_port_id": "fixed_port_id={led_port}",
            "fixed_ip": "fixed_ip={led_address}",
            "host": Example("host=", without="host=h1"),
            **paged("fixed_ip", marker="led_port", key="fixed_port_id"),
        },
        path="/v2.0/local_ips/{local_ip}/port_associations",
    ),
    "/v2.0/ports/{id}/bindings": by(
        "service",
        {
            "host": "host=h4",
            "vif_type": "vif_type=binding_failed",
            "vnic_type": "vnic_type=direct",
            "status": "status=INACTIVE",
            **paged("status", marker="bound_host", key="host"),
        },
        path="/v2.0/ports/{guest}/bindings",
    ),
    "/v2.0/network_segment_ranges": by(
        "admin",
        {
            "id": "id={range}",
            "name": "name=first",
            "description": "description=the first",
            "project_id": f"project_id={P1}",
            "tenant_id": f"tenant_id={P1}",
            "network_type": "network_type=vlan",
            "physical_network": "physical_network=physnet1",
            "default": Example("default=true", without="default=false"),
            "shared, no boolean": "shared=perhaps",
            "shared": Example("shared=true", without="shared=false"),
            "minimum": "minimum=5000",
            "maximum": "maximum=5010",
            **paged("name", "description", "network_type", "minimum", "maximum", marker="range"),
        },
    ),
    "/v2.0/network_segment_ranges/{id}/tags": {},
    "/v2.0/segments": by(
        "admin",
        {
            "id": "id={segment}",
            "network_id": "network_id={segmented}",
            "network_type": "network_type=vlan",
            "physical_network": "physical_network=bare",
            "segmentation_id": "segmentation_id=2001",
            "name": "name=first",
            "description": "description=the first",
            "revision_number": "revision_number=2",
            **paged("name", "network_id", "network_type", "physical_network", marker="segment"),
        },
    ),
    "/v2.0/segments/{id}/tags": {},
    "/v2.0/dns-records": {},
}


async def trunks(api: Cloud, said: dict[str, Any], network: str) -> dict[str, str]:
    """Two, on unbound ports."""
    ports = [await api.make("port", network_id=network) for _ in range(2)]
    await api.make("trunk", name="other", port_id=ports[0]["id"], tags=["red"])
    trunk = await api.make("trunk", **said, port_id=ports[1]["id"])
    body = {"trunk": {"admin_state_up": False}}
    assert (await api("PUT", f"/v2.0/trunks/{trunk['id']}", body)).status == 200
    return {"trunk": trunk["id"], "trunk_port": ports[1]["id"]}


async def local_ips(api: Cloud, network: str, subnet: str, other: str) -> dict[str, str]:
    """Two, of which one leads to two ports."""
    address = [{"subnet_id": subnet}]
    ports = [await api.make("port", network_id=network, fixed_ips=address) for _ in range(3)]
    await api.make("local_ip", network_id=other, ip_mode="passthrough")
    made = await api.make("local_ip", local_port_id=ports[0]["id"], name="first", description="the first")
    for port in ports[1:]:
        path = f"/v2.0/local_ips/{made['id']}/port_associations"
        await posted(api, path, "port_association", fixed_port_id=port["id"])
    return {
        "local_ip": made["id"],
        "local_port": ports[0]["id"],
        "local_network": network,
        "local_address": made["local_ip_address"],
        "led_port": ports[1]["id"],
        "led_address": ports[1]["fixed_ips"][0]["ip_address"],
    }


async def bindings(api: Cloud, network: str) -> dict[str, str]:
    """A guest's port, bound to h1 and waiting on h4."""
    await api.report("h4", tunneling_ip="192.0.2.4")
    guest = await api.make("port", network_id=network, device_owner="compute:nova", device_id="guest")
    for host in ("h1", "h4"):
        await posted(api.as_("service"), f"/v2.0/ports/{guest['id']}/bindings", "binding", host=host)
    return {"guest": guest["id"], "bound_host": "h1"}


async def segments(api: Cloud) -> dict[str, str]:
    """One more of a network that has one."""
    admin = api.as_("admin")
    network = await admin.make("network")
    made = await admin.make(
        "segment",
        network_id=network["id"],
        network_type="vlan",
        physical_network="bare",
        segmentation_id=2001,
        description="the first",
    )
    body = {"segment": {"name": "first"}}
    assert (await admin("PUT", f"/v2.0/segments/{made['id']}", body)).status == 200
    return {"segment": made["id"], "segmented": network["id"]}


async def ranges(api: Cloud) -> dict[str, str]:
    """A project's own beside those of the settings."""
    made = await posted(
        api.as_("admin"), "/v2.0/network_segment_ranges", "network_segment_range",
        name="first", description="the first", network_type="vxlan", minimum=5000, maximum=5010,
        shared=False, project_id=P1,
    )  # fmt: skip
    return {"range": made["id"]}
