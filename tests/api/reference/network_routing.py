"""Lists of what routers do (forward, help, answer, count) and of flavors; and such things in the scene."""

from __future__ import annotations

from typing import Any

from tests.api.network.cloud import P1, P2, Cloud, Node
from tests.api.network.test_ndp_proxies import a_place
from tests.api.reference.network_rows import by, paged, posted
from tests.api.reference.runner import Example, Operations

from pileus.wire.metering import MeteringCount, MeteringReport

OPERATIONS: Operations = {
    "/v2.0/floatingips/{floatingip_id}/port_forwardings": {
        "id": "id={forwarding}",
        "internal_port_id": "internal_port_id={inner}",
        "internal_ip_address": "internal_ip_address=10.0.0.81",
        "protocol": "protocol=udp",
        "internal_port": "internal_port=80",
        "internal_port_range": "internal_port_range=80:80",
        "external_port": "external_port=8080",
        "external_port_range": "external_port_range=8080:8080",
        "description": "description=the first",
        **paged(
            *("internal_port_id", "protocol", "internal_port", "external_port", "external_port_range"),
            marker="forwarding",
        ),
    },
    "/v2.0/floatingip-pools": {
        "subnet_id": "subnet_id={pool_subnet}",
        "subnet_name": "subnet_name=outer",
        "network_id": "network_id={other_outside}",
        "cidr": "cidr=203.0.113.0/24",
        "project_id": f"project_id={P2}",
        "tenant_id": f"tenant_id={P2}",
        **paged("subnet_name", "network_id", "cidr", marker="pool_subnet", key="subnet_id"),
    },
    "/v2.0/routers/{router_id}/conntrack_helpers": {
        "id": "id={helper}",
        "protocol": "protocol=udp",
        "port": "port=69",
        "helper": "helper=tftp",
        **paged("protocol", "port", "helper", marker="helper"),
    },
    "/v2.0/ndp_proxies": {
        "id": "id={proxy}",
        "name": "name=first",
        "project_id": Example(f"project_id={P2}", person="admin"),
        "router_id": "router_id={proxy_router}",
        "port_id": "port_id={proxy_port}",
        "ip_address": "ip_address={proxy_address}",
        "description": "description=the first",
        "revision_number": "revision_number=2",
        **paged("name", "router_id", "port_id", "ip_address", "description", marker="proxy"),
    },
    "/v2.0/metering/metering-labels": by(
        "admin",
        {
            "id": "id={label_id}",
            "name": "name=first",
            "description": "description=the first",
            "project_id": f"project_id={P1}",
            "shared": "shared=True",
            **paged("name", "description", "tenant_id", "shared", marker="label_id"),
        },
    ),
    "/v2.0/metering/metering-label-rules": by(
        "admin",
        {
            "id": "id={label_rule}",
            "metering_label_id": "metering_label_id={label_id}",
            "direction": "direction=ingress",
            "excluded": "excluded=True",
            "remote_ip_prefix": "remote_ip_prefix=10.0.0.0/24",
            "source_ip_prefix": "source_ip_prefix=192.0.2.0/24",
            "destination_ip_prefix": "destination_ip_prefix=198.51.100.0/24",
            **paged(
                *("metering_label_id", "direction", "excluded"),
                *("remote_ip_prefix", "source_ip_prefix", "destination_ip_prefix"),
                marker="label_rule",
            ),
        },
    ),
    "/v2.0/metering/metering-labels/{label_id}/counters": by(
        "admin",
        {
            "router_id": "router_id=none",
            "fields": "fields=router_id",
            "marker": "marker={router}",
            "other": "x=y",
        },
    ),
    "/v2.0/flavors": {
        "id": "id={flavor_id}",
        "name": "name=first",
        "description": "description=the first",
        "service_type": "service_type=QOS",
        "enabled": "enabled=False",
        **paged("name", "description", "service_type", "enabled", marker="flavor_id"),
    },
    "/v2.0/flavors/{flavor_id}/next_providers": {},
    "/v2.0/service_profiles": by(
        "admin",
        {
            "id": "id={profile}",
            "description": "description=the first",
            "driver": "driver=none",
            "metainfo": "metainfo=fast",
            "enabled": "enabled=False",
            **paged("description", "driver", "metainfo", "enabled", marker="profile"),
        },
    ),
}
_DRIVER = "neutron.services.l3_router.service_providers.single_node.SingleNodeDriver"


async def forwardings(api: Cloud, outside: str, network: dict[str, str]) -> dict[str, str]:
    """Two that forward, of one address, to ports behind the router that leads ``outside``."""
    floating = await api.make("floatingip", floating_network_id=outside)
    path = f"/v2.0/floatingips/{floating['id']}/port_forwardings"
    ids, ports = [], []
    for last, values in (
        (81, {"protocol": "tcp", "internal_port": 80, "external_port": 8080, "description": "the first"}),
        (82, {"protocol": "udp", "internal_port": 53, "external_port": 5353}),
    ):
        address = {"subnet_id": network["subnet"], "ip_address": f"10.0.0.{last}"}
        port = await api.make("port", network_id=network["network"], fixed_ips=[address])
        made = await posted(api, path, "port_forwarding", internal_port_id=port["id"], **values)
        ids.append(made["id"])
        ports.append(port["id"])
    return {"floatingip_id": floating["id"], "forwarding": ids[0], "inner": ports[0]}


async def helpers(api: Cloud, router: str) -> dict[str, str]:
    """Two of one router."""
    ids = []
    for helper, protocol, port in (("tftp", "udp", 69), ("ftp", "tcp", 21)):
        values: dict[str, Any] = {"helper": helper, "protocol": protocol, "port": port}
        path = f"/v2.0/routers/{router}/conntrack_helpers"
        ids.append((await posted(api, path, "conntrack_helper", **values))["id"])
    return {"router_id": router, "helper": ids[0]}


async def proxies(api: Cloud) -> dict[str, str]:
    """Two, each of a router of its own."""
    facts: dict[str, str] = {}
    for name in ("other", "first"):
        place = await a_place(api)
        port = await api.make("port", network_id=place.network)
        values = {"router_id": place.router["id"], "port_id": port["id"], "name": name}
        made = await posted(api, "/v2.0/ndp_proxies", "ndp_proxy", **values)
        facts = {
            "proxy": made["id"],
            "proxy_router": place.router["id"],
            "proxy_port": port["id"],
            "proxy_address": made["ip_address"],
        }
    body = {"ndp_proxy": {"description": "the first"}}
    assert (await api("PUT", f"/v2.0/ndp_proxies/{facts['proxy']}", body)).status == 200
    return facts


async def meters(api: Cloud, router: str) -> dict[str, str]:
    """Two labels with rules; one has counted what went through a router on h2."""
    labels, rules = "/v2.0/metering/metering-labels", "/v2.0/metering/metering-label-rules"
    manager, admin = api.as_("manager"), api.as_("admin")
    mine = (await posted(manager, labels, "metering_label", name="first", description="the first"))["id"]
    shared = (await posted(admin, labels, "metering_label", name="other", shared=True))["id"]
    ids = []
    for label, values in (
        (mine, {"direction": "egress", "remote_ip_prefix": "10.0.0.0/24"}),
        (shared, {"direction": "ingress", "excluded": True, "source_ip_prefix": "192.0.2.0/24"}),
        (shared, {"direction": "egress", "destination_ip_prefix": "198.51.100.0/24"}),
    ):
        made = await posted(admin, rules, "metering_label_rule", metering_label_id=label, **values)
        ids.append(made["id"])
    count = MeteringCount(mine, router, 5, 500)
    await api.wire["metering_report"](MeteringReport("h2", (count,)), Node("h2"))
    return {"label_id": mine, "label_rule": ids[0]}


async def flavors(api: Cloud) -> dict[str, str]:
    """Two flavors and two service profiles."""
    admin = api.as_("admin")
    flavor = await admin.make("flavor", name="first", description="the first", service_type="L3_ROUTER_NAT")
    await admin.make("flavor", name="other", service_type="QOS", enabled=False)
    path = "/v2.0/service_profiles"
    profile = await posted(admin, path, "service_profile", description="the first", driver=_DRIVER)
    await posted(admin, path, "service_profile", metainfo="fast", enabled=False)
    return {"flavor_id": flavor["id"], "profile": profile["id"]}
