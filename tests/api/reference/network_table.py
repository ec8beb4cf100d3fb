"""Lists of the network API. Source: Networking API reference (neutron-lib's api-ref, parameters.yaml).

Not here, since no answer can tell: ``tenant_id`` beside ``project_id`` in each list (the same attribute under
another name, tested once, for networks), and ``fields`` and ``page_reverse``, tested for networks.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests import databases
from tests.api.network.cloud import CONFIG, P1, P2, Cloud, cloud
from tests.api.reference import network_links, network_routing, network_security, network_taps
from tests.api.reference.network_rows import SORT, by, paged, posted, tags
from tests.api.reference.runner import Example, Operations, Parameters, Scene

from pileus.services.network.service import network_service

_NETWORKS: Parameters = by(
    "admin",
    {
        "admin_state_up": "admin_state_up=False",
        "id": "id={network}",
        "mtu": "mtu=1400",
        "name": "name=first",
        "project_id": f"project_id={P1}",
        "tenant_id": f"tenant_id={P1}",
        "provider:network_type": "provider:network_type=vlan",
        "provider:physical_network": "provider:physical_network=physnet1",
        "provider:segmentation_id": "provider:segmentation_id=101",
        "revision_number": "revision_number=1",
        "router:external": "router:external=True",
        "shared": "shared=True",
        "status": "status=DOWN",
        "vlan_transparent": "vlan_transparent=True",
        "description": "description=the first",
        "is_default": "is_default=True",
        **tags(),
        **paged("admin_state_up", "mtu", "name", "availability_zone_hints", "tenant_id"),
        "marker": Example(f"{SORT}name&marker={{network}}", without=f"{SORT}name&", person="admin"),
        "page_reverse": Example(
            f"{SORT}name&limit=1&page_reverse=True", without=f"{SORT}name&limit=1", person="admin"
        ),
    },
)
_AGENTS: Parameters = by(
    "admin",
    {
        "admin_state_up": "admin_state_up=False",
        "agent_type": "agent_type=L3 agent",
        "alive": "alive=False",
        "availability_zone": "availability_zone=west",
        "binary": "binary=neutron-l3-agent",
        "description": "description=tired",
        "host": "host=h2",
        "id": "id={l3_agent}",
        "topic": "topic=l3_agent",
        **paged("agent_type", "host", "binary", marker="l3_agent"),
    },
)
OPERATIONS: Operations = {
    **network_links.OPERATIONS,
    **network_routing.OPERATIONS,
    **network_security.OPERATIONS,
    **network_taps.OPERATIONS,
    "/v2.0/networks": _NETWORKS,
    "/v2.0/subnets": {
        "id": "id={subnet}",
        "project_id": Example(f"project_id={P1}", person="admin"),
        "name": "name=first",
        "enable_dhcp": "enable_dhcp=False",
        "network_id": "network_id={network}",
        "ip_version": "ip_version=6",
        "gateway_ip": "gateway_ip=10.0.0.1",
        "cidr": "cidr=10.0.0.0/24",
        "description": "description=the first",
        "ipv6_address_mode": "ipv6_address_mode=slaac",
        "ipv6_ra_mode": "ipv6_ra_mode=slaac",
        "revision_number": "revision_number=2",
        "segment_id": "segment_id={subnet}",
        "shared": "shared=True",
        "subnetpool_id": "subnetpool_id={pool}",
        "dns_publish_fixed_ip": "dns_publish_fixed_ip=True",
        "router:external": "router:external=True",
        **tags(),
        **paged("cidr", "enable_dhcp", "gateway_ip", "ip_version", "name", "network_id", marker="subnet"),
    },
    "/v2.0/ports": {
        "admin_state_up": "admin_state_up=False",
        "binding:host_id": Example("binding:host_id=h1", person="admin"),
        "description": "description=the first",
        "device_id": "device_id=mine",
        "device_owner": "device_owner=somebody",
        "fixed_ips": "fixed_ips=ip_address=10.0.0.77",
        "fixed_ips, subnet": "fixed_ips=subnet_id={subnet}",
        "fixed_ips, part": "fixed_ips=ip_address_substr=.77",
        "security_groups": "security_groups={group}",
        "id": "id={port}",
        "ip_allocation": "ip_allocation=immediate",
        "mac_address": "mac_address=fa-16-3e-00-00-01",
        "mac_learning_enabled": "mac_learning_enabled=True",
        "name": "name=first",
        "network_id": "network_id={network}",
        "project_id": Example(f"project_id={P1}", person="admin"),
        "revision_number": "revision_number=2",
        "status": "status=ACTIVE",
        **tags(),
        **paged("admin_state_up", "device_id", "device_owner", "mac_address", "name", marker="port"),
    },
    "/v2.0/routers": {
        "id": "id={router}",
        "project_id": Example(f"project_id={P1}", person="admin"),
        "name": "name=first",
        "description": "description=the first",
        "admin_state_up": "admin_state_up=False",
        "revision_number": "revision_number=1",
        **tags(),
        **paged("name", "admin_state_up", marker="router"),
    },
    "/v2.0/floatingips": {
        "id": "id={floating}",
        "router_id": "router_id={router}",
        "status": "status=ACTIVE",
        "project_id": Example(f"project_id={P1}", person="admin"),
        "revision_number": "revision_number=2",
        "description": "description=the first",
        "floating_network_id": "floating_network_id={other_outside}",
        "fixed_ip_address": "fixed_ip_address=10.0.0.77",
        "floating_ip_address": "floating_ip_address={address}",
        "port_id": "port_id={port}",
        **tags(),
        **paged("floating_ip_address", "floating_network_id", "router_id", marker="floating"),
    },
    "/v2.0/subnetpools": {
        "id": "id={pool}",
        "name": "name=first",
        "default_quota": "default_quota=5",
        "project_id": Example(f"project_id={P1}", person="admin"),
        "min_prefixlen": "min_prefixlen=24",
        "address_scope_id": "address_scope_id={scope}",
        "ip_version": "ip_version=6",
        "shared": "shared=True",
        "default_prefixlen": "default_prefixlen=26",
        "max_prefixlen": "max_prefixlen=28",
        "description": "description=the first",
        "is_default": "is_default=True",
        "revision_number": "revision_number=2",
        **tags(),
        **paged("name", "min_prefixlen", "max_prefixlen", "default_prefixlen", "ip_version", marker="pool"),
    },
    "/v2.0/address-scopes": {
        "id": "id={scope}",
        "name": "name=first",
        "project_id": Example(f"project_id={P1}", person="admin"),
        "ip_version": "ip_version=6",
        "shared": "shared=True",
        **paged("name", "ip_version", marker="scope"),
    },
    "/v2.0/agents": _AGENTS,
    "/v2.0/agents/{agent_id}/dhcp-networks": by(
        "admin", {"name": "name=none", "limit": "limit=1", "fields": "fields=id"}
    ),
    "/v2.0/agents/{agent_id}/l3-routers": {
        "name": Example("name=none", path="/v2.0/agents/{l3_agent}/l3-routers", person="admin"),
        "fields": Example("fields=id", path="/v2.0/agents/{l3_agent}/l3-routers", person="admin"),
    },
    "/v2.0/networks/{network_id}/dhcp-agents": by("admin", {"host": "host=h9", "fields": "fields=id"}),
    "/v2.0/routers/{id}/l3-agents": {
        "host": Example("host=h9", path="/v2.0/routers/{router}/l3-agents", person="admin"),
    },
    "/v2.0/network-ip-availabilities": by(
        "admin",
        {
            "network_id": "network_id={network}",
            "network_name": "network_name=first",
            "tenant_id": f"tenant_id={P1}",
            "project_id": f"project_id={P1}",
            "ip_version": "ip_version=6",
            **paged("network_name", marker="network", key="network_id"),
        },
    ),
    "/v2.0/availability_zones": {
        "state": "state=unavailable",
        "resource": "resource=router",
        "name": "name=west",
        **paged("resource", key="name"),
    },
    "/v2.0/service-providers": {"name": "name=x"},
    "/v2.0/extensions": {"limit": "limit=1", "marker": "marker=agent", "fields": "fields=alias", "x": "x=y"},
    "/v2.0/quotas": by("admin", {"project_id": f"project_id={P2}", "limit": "limit=1"}),
    "/v2.0/qos/policies": by(
        "admin",
        {
            "id": "id={policy}",
            "project_id": f"project_id={P1}",
            "name": "name=first",
            "description": "description=the first",
            "revision_number": "revision_number=1",
            "shared": "shared=True",
            "is_default": "is_default=True",
            **tags(),
            **paged("name", marker="policy"),
        },
    ),
    "/v2.0/qos/policies/{policy_id}/bandwidth_limit_rules": by(
        "admin",
        {
            "max_kbps": "max_kbps=1",
            "max_burst_kbps": "max_burst_kbps=1",
            "direction": "direction=ingress",
            "id": "id={rule}",
            "fields": "fields=id",
            "marker": "marker={limit}",
        },
    ),
    "/v2.0/qos/policies/{policy_id}/dscp_marking_rules": by(
        "admin", {"dscp_mark": "dscp_mark=46", "id": "id={rule}", "fields": "fields=id"}
    ),
    "/v2.0/qos/policies/{policy_id}/minimum_bandwidth_rules": by(
        "admin", {"min_kbps": "min_kbps=1", "direction": "direction=ingress", "id": "id={rule}"}
    ),
    "/v2.0/qos/policies/{policy_id}/minimum_packet_rate_rules": by(
        "admin", {"min_kpps": "min_kpps=1", "direction": "direction=any", "id": "id={rule}"}
    ),
    "/v2.0/qos/policies/{policy_id}/packet_rate_limit_rules": by(
        "admin",
        {
            "max_kpps": "max_kpps=1",
            "max_burst_kpps": "max_burst_kpps=1",
            "direction": "direction=ingress",
            "id": "id={rule}",
        },
    ),
    "/v2.0/rbac-policies": by(
        "admin",
        {
            "id": "id={rbac}",
            "object_type": "object_type=subnetpool",
            "object_id": "object_id={other}",
            "action": "action=access_as_external",
            "target_tenant": f"target_tenant={P2}",
            "project_id": f"project_id={P1}",
            **paged("object_type", "object_id", "action", "target_tenant", "tenant_id", marker="rbac"),
        },
    ),
    "/v2.0/qos/rule-types": {
        "all_rules": "all_rules=x",
        "all_supported": "all_supported=x",
        "type": "type=x",
        "marker": "marker=bandwidth_limit",
    },
    "/v2.0/ovsqoss": by("admin", {"name": "name=first", "rate": "rate=1000", "limit": "limit=1"}),
    "/v2.0/ports/{id}/timeline": {},
    **{
        f"/v2.0/{kind}/{{id}}/tags": {}
        for kind in (
            "floatingips", "networks", "policies", "ports", "qos/policies", "routers", "security-groups",
            "subnetpools", "subnets",
        )
    },
}  # fmt: skip
NO_LISTS = {
    "/v2.0",
    "/v2.0/quotas/project",
    "/v2.0/quotas/tenant",
    "/v2.0/quotas/{project_id}/default",
    "/v2.0/quotas/{project_id}/details",
    "/v2.0/quotas/{project_id}/details.json",
}


@contextlib.asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    """Two or more of each kind, which differ in everything that a list can ask for."""
    with databases.fresh("sqlite", folder) as url:
        async with cloud(url) as api:
            facts = await _fill(api)

            async def ask(person: str, version: str, path: str) -> tuple[int, Any]:
                answer = await api.as_(person or "alice")("GET", path.replace(" ", "%20"))
                return answer.status, answer.json

            yield Scene(network_service(CONFIG, api.clock), ask, facts)


async def _fill(api: Cloud) -> dict[str, str]:
    admin, bob = api.as_("admin"), api.as_("bob")
    await api.node("h1", "DHCP agent")
    await api.service_agent("h2", "L3 agent", zone="west")
    await api.service_agent("h3", "DHCP agent", zone="east")
    said: dict[str, Any] = {"name": "first", "description": "the first", "tags": ["blue"]}
    pools = await _pools(api, said)
    network = await _networks(api, pools, said)
    outside, pool_subnet = await admin.an_outside("203.0.113.0/24")
    await admin("PUT", f"/v2.0/subnets/{pool_subnet}", {"subnet": {"name": "outer"}})
    other_outside, _ = await admin.an_outside("198.51.100.0/24")
    group = (await api.make("security_group", **said, stateful=False))["id"]
    addresses = await network_security.address_groups(api)
    rule = await network_security.rules(api, group, addresses)
    default_rule = await network_security.default_rules(api, addresses)
    port = await api.make(
        "port", **said, network_id=network["network"], admin_state_up=False, device_id="mine",
        device_owner="somebody", mac_address="fa:16:3e:00:00:01", security_groups=[group],
        fixed_ips=[{"subnet_id": network["subnet"], "ip_address": "10.0.0.77"}],
    )  # fmt: skip
    await api.make("port", network_id=network["other"], tags=["red"])
    await api.make("port", network_id=network["other"], fixed_ips=[])
    bound = await admin.make(
        "port", network_id=network["network"], project_id=P1, **{"binding:host_id": "h1"}
    )
    await api.status("h1", up=(bound["id"],))
    router = await _routers(api, said, outside, network["subnet"])
    floating = await api.make(
        "floatingip", floating_network_id=outside, port_id=port["id"],
        **{name: said[name] for name in ("description", "tags")},
    )  # fmt: skip
    await api.make("floatingip", floating_network_id=other_outside, tags=["red"])
    await admin.make("floatingip", floating_network_id=outside)
    await bob.make("network", name="zulu", availability_zone_hints=["east"])
    agents = (await admin("GET", "/v2.0/agents?agent_type=L3%20agent")).json["agents"]
    policies = await _policies(api, said)
    for project in (P1, P2):
        quota = {"quota": {"network": 50}}
        assert (await admin("PUT", f"/v2.0/quotas/{project}", quota)).status == 200
    path = f"/v2.0/agents/{agents[0]['id']}"
    assert (
        await admin("PUT", path, {"agent": {"description": "tired", "admin_state_up": False}})
    ).status == 200
    api.clock.advance(1000)
    await api.node("h1", "DHCP agent")
    await api.service_agent("h3", "DHCP agent", zone="east")
    rbac = await posted(
        api, "/v2.0/rbac-policies", "rbac_policy",
        object_type="network", object_id=network["other"], action="access_as_shared", target_tenant=P2,
    )  # fmt: skip
    serving = (await admin("GET", f"/v2.0/networks/{network['network']}/dhcp-agents")).json["agents"]
    return {
        **network, **pools, **policies, "network_id": network["network"], "agent_id": serving[0]["id"],
        "l3_agent": agents[0]["id"], "port": port["id"], "id": port["id"], "group": group, "rule": rule,
        "addresses": addresses, "default_rule": default_rule,
        "log": await network_security.logs(api, group, port["id"]),
        "router": router, "floating": floating["id"], "address": floating["floating_ip_address"],
        "other_outside": other_outside, "pool_subnet": pool_subnet, "rbac": rbac["id"],
        **await network_links.trunks(api, said, network["network"]),
        **await network_taps.taps(api, port["id"], network["other"]),
        **await network_taps.gateways(api, network["network"], network["other"]),
        **await network_links.bindings(api, network["other"]),
        **await network_links.local_ips(api, network["network"], network["subnet"], network["other"]),
        **await network_links.ranges(api),
        **await network_links.segments(api),
        **await network_routing.forwardings(api, outside, network),
        **await network_routing.helpers(api, router),
        **await network_routing.meters(api, router),
        **await network_routing.proxies(api),
        **await network_routing.flavors(api),
    }  # fmt: skip


async def _pools(api: Cloud, said: dict[str, Any]) -> dict[str, str]:
    admin = api.as_("admin")
    scope = await api.make("address_scope", name="first", ip_version=4)
    await admin.make("address_scope", name="other", ip_version=6, shared=True)
    lengths = {"min_prefixlen": 24, "default_prefixlen": 26, "max_prefixlen": 28}
    pool = await api.make(
        "subnetpool", **said, **lengths, prefixes=["10.64.0.0/16"], address_scope_id=scope["id"],
        default_quota=500000,
    )  # fmt: skip
    await admin.make("subnetpool", name="six", prefixes=["fd01::/48"], shared=True, tags=["red"])
    await admin.make("subnetpool", name="usual", prefixes=["10.65.0.0/16"], is_default=True)
    return {"scope": scope["id"], "pool": pool["id"]}


async def _networks(api: Cloud, pools: dict[str, str], said: dict[str, Any]) -> dict[str, str]:
    admin = api.as_("admin")
    network = (await api.make("network", **said, mtu=1400, admin_state_up=False))["id"]
    other = (await api.make("network", name="other", tags=["red"]))["id"]
    vlan = {"network_type": "vlan", "physical_network": "physnet1", "segmentation_id": 101}
    provider = {f"provider:{name}": value for name, value in vlan.items()}
    shared = (await admin.make("network", name="shared", shared=True, is_default=True, **provider))["id"]
    subnet = await api.make(
        "subnet",
        **said,
        network_id=network,
        cidr="10.0.0.0/24",
        ip_version=4,
        # The addresses that are named below lie outside: nobody is given them by chance.
        allocation_pools=[{"start": "10.0.0.100", "end": "10.0.0.200"}],
        dns_publish_fixed_ip=True,
    )
    modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
    await api.make("subnet", network_id=other, cidr="fd00::/64", ip_version=6, tags=["red"], **modes)
    await api.make("subnet", network_id=other, ip_version=4, subnetpool_id=pools["pool"], enable_dhcp=False)
    await admin.make("subnet", name="s", network_id=shared, cidr="10.3.0.0/24", ip_version=4)
    path = f"/v2.0/subnets/{subnet['id']}"
    assert (await api("PUT", path, {"subnet": {"host_routes": []}})).status == 200
    return {"network": network, "other": other, "subnet": subnet["id"]}


async def _routers(api: Cloud, said: dict[str, Any], outside: str, subnet: str) -> str:
    router = await api.make("router", **said, external_gateway_info={"network_id": outside})
    path = f"/v2.0/routers/{router['id']}"
    assert (await api("PUT", f"{path}/add_router_interface", {"subnet_id": subnet})).status == 200
    await api.make("router", name="other", admin_state_up=False, tags=["red"])
    await api.as_("bob").make("router", name="another's")
    return str(router["id"])


async def _policies(api: Cloud, said: dict[str, Any]) -> dict[str, str]:
    admin = api.as_("admin")
    policy = (await admin.make("policy", **said, project_id=P1))["id"]
    await admin.make("policy", name="other", shared=True, is_default=True, tags=["red"])
    path = f"/v2.0/qos/policies/{policy}/bandwidth_limit_rules"
    limit = await admin("POST", path, {"bandwidth_limit_rule": {"max_kbps": 1000}})
    for kind, values in (
        ("dscp_marking_rule", {"dscp_mark": 8}),
        ("minimum_bandwidth_rule", {"min_kbps": 10}),
        ("minimum_packet_rate_rule", {"min_kpps": 10}),
        ("packet_rate_limit_rule", {"max_kpps": 10}),
    ):
        made = await admin("POST", f"/v2.0/qos/policies/{policy}/{kind}s", {kind: values})
        assert made.status == 201, made
    return {
        "policy": policy, "policy_id": policy, "limit": limit.json["bandwidth_limit_rule"]["id"],
    }  # fmt: skip
