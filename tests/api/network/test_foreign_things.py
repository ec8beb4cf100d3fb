"""What a caller may not see is answered like what does not exist, wherever it is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.network.cloud import CONFIG, P1, P2, Answer, Cloud, tell

from pileus.core.clock import ManualClock
from pileus.services.network.service import network_service

NOBODYS = "00000000-0000-4000-8000-00000000dead"

Things = dict[str, str]
Asked = Callable[[str, Things], tuple[str, str, Any]]


async def things_of(api: Cloud, project_id: str, cidr: str) -> Things:
    """One of each kind, of one project, and all unshared."""
    admin = api.as_("admin")
    network_id, subnet_id = await api.a_network(cidr)
    pool = {"name": "p", "prefixes": ["10.200.0.0/16"], "default_prefixlen": 24}
    scope = (await api.make("address_scope", ip_version=4))["id"]
    parent = (await api.make("port", network_id=network_id))["id"]
    (segment,) = (await admin("GET", f"/v2.0/segments?network_id={network_id}")).json["segments"]
    label = {"metering_label": {"name": "l", "project_id": project_id}}
    return {
        "network": network_id,
        "subnet": subnet_id,
        "port": (await api.make("port", network_id=network_id))["id"],
        "router": (await api.make("router"))["id"],
        "group": (await api.make("security_group", name="g"))["id"],
        "addresses": (await api.make("address_group", name="a"))["id"],
        "scope": scope,
        "pool": (await api.make("subnetpool", **pool))["id"],
        "policy": (await admin.make("policy", name="q", project_id=project_id))["id"],
        "segment": segment["id"],
        "trunk": (await api.make("trunk", port_id=parent))["id"],
        "tap": (await api(*post_tap("service", port_id=parent))).json["tap_service"]["id"],
        "local_ip": (await api.make("local_ip", network_id=network_id))["id"],
        "label": (await admin("POST", "/v2.0/metering/metering-labels", label)).json["metering_label"]["id"],
    }


def post(kind: str, **values: Any) -> tuple[str, str, Any]:
    return "POST", f"/v2.0/{kind.replace('_', '-')}s", {kind: values}


def post_association(local_ip: str, **values: Any) -> tuple[str, str, Any]:
    return "POST", f"/v2.0/local_ips/{local_ip}/port_associations", {"port_association": values}


def post_log(**values: Any) -> tuple[str, str, Any]:
    return "POST", "/v2.0/log/logs", {"log": {"resource_type": "security_group", **values}}


def post_proxy(**values: Any) -> tuple[str, str, Any]:
    return "POST", "/v2.0/ndp_proxies", {"ndp_proxy": values}


def post_tap(kind: str, **values: Any) -> tuple[str, str, Any]:
    return "POST", f"/v2.0/taas/tap_{kind}s", {f"tap_{kind}": values}


def subport(port_id: str) -> Things:
    return {"port_id": port_id, "segmentation_type": "vlan", "segmentation_id": "7"}


def put(kind: str, thing: str, **values: Any) -> tuple[str, str, Any]:
    return "PUT", f"/v2.0/{kind.replace('_', '-')}s/{thing}", {kind: values}


# Attribute, kind of thing that it names, and the request: the id in question, and the caller's own things.
NAMED: dict[str, tuple[str, Asked]] = {
    "port.network_id": ("network", lambda one, own: post("port", network_id=one)),
    "port.network_id, in a bulk": (
        "network",
        lambda one, own: (
            "POST", "/v2.0/ports", {"ports": [{"network_id": own["network"]}, {"network_id": one}]}
        ),
    ),
    "segment.network_id": (
        "network", lambda one, own: post("segment", network_id=one, network_type="vxlan")
    ),
    "subnet.segment_id": (
        "segment",
        lambda one, own: post(
            "subnet", network_id=own["network"], ip_version=4, cidr="10.9.0.0/24", segment_id=one
        ),
    ),
    "subnet.segment_id, changed": (
        "segment", lambda one, own: put("subnet", own["subnet"], segment_id=one)
    ),
    "port.fixed_ips": (
        "subnet", lambda one, own: post("port", network_id=own["network"], fixed_ips=[{"subnet_id": one}])
    ),
    "port.fixed_ips, changed": (
        "subnet", lambda one, own: put("port", own["port"], fixed_ips=[{"subnet_id": one}])
    ),
    "port.security_groups": (
        "group", lambda one, own: post("port", network_id=own["network"], security_groups=[one])
    ),
    "port.security_groups, changed": (
        "group", lambda one, own: put("port", own["port"], security_groups=[one])
    ),
    "port.qos_policy_id": (
        "policy", lambda one, own: post("port", network_id=own["network"], qos_policy_id=one)
    ),
    "port.qos_policy_id, changed": ("policy", lambda one, own: put("port", own["port"], qos_policy_id=one)),
    "floatingip.qos_policy_id": (
        "policy", lambda one, own: post("floatingip", floating_network_id=own["outside"], qos_policy_id=one)
    ),
    "floatingip.qos_policy_id, changed": (
        "policy", lambda one, own: put("floatingip", own["floating"], qos_policy_id=one)
    ),
    "router.external_gateway_info.qos_policy_id": (
        "policy",
        lambda one, own: post(
            "router", external_gateway_info={"network_id": own["outside"], "qos_policy_id": one}
        ),
    ),
    "router.external_gateway_info.qos_policy_id, changed": (
        "policy",
        lambda one, own: put(
            "router",
            own["router"],
            external_gateway_info={"network_id": own["outside"], "qos_policy_id": one},
        ),
    ),
    "subnet.network_id": (
        "network", lambda one, own: post("subnet", network_id=one, ip_version=4, cidr="10.9.0.0/24")
    ),
    "subnet.subnetpool_id": (
        "pool", lambda one, own: post("subnet", network_id=own["network"], ip_version=4, subnetpool_id=one)
    ),
    "subnetpool.address_scope_id": (
        "scope", lambda one, own: post("subnetpool", name="n", prefixes=["10.0.0.0/8"], address_scope_id=one)
    ),
    "subnetpool.address_scope_id, changed": (
        "scope", lambda one, own: put("subnetpool", own["pool"], address_scope_id=one)
    ),
    "network.qos_policy_id": ("policy", lambda one, own: post("network", qos_policy_id=one)),
    "network.qos_policy_id, changed": (
        "policy", lambda one, own: put("network", own["network"], qos_policy_id=one)
    ),
    "router.external_gateway_info": (
        "network", lambda one, own: post("router", external_gateway_info={"network_id": one})
    ),
    "router.external_gateway_info, changed": (
        "network", lambda one, own: put("router", own["router"], external_gateway_info={"network_id": one})
    ),
    "interface by subnet": (
        "subnet",
        lambda one, own: (
            "PUT", f"/v2.0/routers/{own['router']}/add_router_interface", {"subnet_id": one}
        ),
    ),
    "interface by port": (
        "port",
        lambda one, own: ("PUT", f"/v2.0/routers/{own['router']}/add_router_interface", {"port_id": one}),
    ),
    "interface by subnet, removed": (
        "subnet",
        lambda one, own: (
            "PUT", f"/v2.0/routers/{own['router']}/remove_router_interface", {"subnet_id": one}
        ),
    ),
    "interface by port, removed": (
        "port",
        lambda one, own: (
            "PUT", f"/v2.0/routers/{own['router']}/remove_router_interface", {"port_id": one}
        ),
    ),
    "interface of a router": (
        "router",
        lambda one, own: ("PUT", f"/v2.0/routers/{one}/add_router_interface", {"subnet_id": own["subnet"]}),
    ),
    "routes of a router": (
        "router", lambda one, own: ("PUT", f"/v2.0/routers/{one}/add_extraroutes", {"router": {"routes": []}})
    ),
    "floatingip.floating_network_id": (
        "network", lambda one, own: post("floatingip", floating_network_id=one)
    ),
    "floatingip.subnet_id": (
        "subnet", lambda one, own: post("floatingip", floating_network_id=own["outside"], subnet_id=one)
    ),
    "floatingip.port_id": (
        "port", lambda one, own: post("floatingip", floating_network_id=own["outside"], port_id=one)
    ),
    "floatingip.router_id": (
        "router", lambda one, own: post("floatingip", floating_network_id=own["outside"], router_id=one)
    ),
    "floatingip.router_id, changed": (
        "router", lambda one, own: put("floatingip", own["floating"], router_id=one)
    ),
    "floatingip.port_id, changed": ("port", lambda one, own: put("floatingip", own["floating"], port_id=one)),
    "security_group_rule.security_group_id": (
        "group",
        lambda one, own: post("security_group_rule", security_group_id=one, direction="ingress"),
    ),
    "security_group_rule.remote_group_id": (
        "group",
        lambda one, own: post(
            "security_group_rule", security_group_id=own["group"], direction="ingress", remote_group_id=one
        ),
    ),
    "security_group_rule.remote_address_group_id": (
        "addresses",
        lambda one, own: post(
            "security_group_rule",
            security_group_id=own["group"],
            direction="ingress",
            remote_address_group_id=one,
        ),
    ),
    "addresses of an address group, added": (
        "addresses",
        lambda one, own: ("PUT", f"/v2.0/address-groups/{one}/add_addresses", {"addresses": ["10.0.0.0/8"]}),
    ),
    "addresses of an address group, removed": (
        "addresses",
        lambda one, own: ("PUT", f"/v2.0/address-groups/{one}/remove_addresses", {"addresses": []}),
    ),
    "default_security_group_rule.remote_group_id": (
        "group",
        lambda one, own: post("default_security_group_rule", direction="ingress", remote_group_id=one),
    ),
    "default_security_group_rule.remote_address_group_id": (
        "addresses",
        lambda one, own: post("default_security_group_rule", direction="ingress", remote_address_group_id=one
        ),
    ),
    "port_forwarding.internal_port_id": (
        "port",
        lambda one, own: (
            "POST",
            f"/v2.0/floatingips/{own['floating']}/port_forwardings",
            {
                "port_forwarding": {
                    "internal_port_id": one,
                    "protocol": "tcp",
                    "internal_port": 80,
                    "external_port": 80,
                }
            },
        ),
    ),
    "ndp_proxy.router_id": ("router", lambda one, own: post_proxy(router_id=one, port_id=own["port"])),
    "ndp_proxy.port_id": ("port", lambda one, own: post_proxy(router_id=own["router"], port_id=one)),
    "metering_label_rule.metering_label_id": (
        "label",
        lambda one, own: (
            "POST",
            "/v2.0/metering/metering-label-rules",
            {"metering_label_rule": {"metering_label_id": one, "remote_ip_prefix": "10.0.0.0/8"}},
        ),
    ),
    "l2_gateway_connection.network_id": (
        "network",
        lambda one, own: post("l2_gateway_connection", network_id=one, l2_gateway_id=NOBODYS),
    ),
    "tap_service.port_id": ("port", lambda one, own: post_tap("service", port_id=one)),
    "tap_mirror.port_id": (
        "port",
        lambda one, own: post_tap(
            "mirror", port_id=one, directions={"IN": 1}, remote_ip="198.51.100.9", mirror_type="gre"
        ),
    ),
    "tap_flow.source_port": (
        "port",
        lambda one, own: post_tap("flow", tap_service_id=own["tap"], source_port=one, direction="IN"),
    ),
    "tap_flow.tap_service_id": (
        "tap",
        lambda one, own: post_tap("flow", tap_service_id=one, source_port=own["port"], direction="IN"),
    ),
    "trunk.port_id": ("port", lambda one, own: post("trunk", port_id=one)),
    "trunk.sub_ports": (
        "port",
        lambda one, own: post("trunk", port_id=own["port"], sub_ports=[subport(one)]),
    ),
    "subports of a trunk": (
        "trunk",
        lambda one, own: ("PUT", f"/v2.0/trunks/{one}/add_subports", {"sub_ports": [subport(own["port"])]}),
    ),
    "subports of a trunk, added": (
        "port",
        lambda one, own: (
            "PUT",
            f"/v2.0/trunks/{own['trunk']}/add_subports",
            {"sub_ports": [subport(one)]},
        ),
    ),
    "subports of a trunk, removed": (
        "trunk",
        lambda one, own: (
            "PUT", f"/v2.0/trunks/{one}/remove_subports", {"sub_ports": [{"port_id": own["port"]}]}
        ),
    ),
    "subports of a trunk, listed": (
        "trunk", lambda one, own: ("GET", f"/v2.0/trunks/{one}/get_subports", None)
    ),
    "local_ip.local_port_id": ("port", lambda one, own: post("local_ip", local_port_id=one)),
    "local_ip.network_id": ("network", lambda one, own: post("local_ip", network_id=one)),
    "ports of a local IP": (
        "local_ip", lambda one, own: ("GET", f"/v2.0/local_ips/{one}/port_associations", None)
    ),
    "ports of a local IP, made": (
        "local_ip", lambda one, own: post_association(one, fixed_port_id=own["port"])
    ),
    "port_association.fixed_port_id": (
        "port", lambda one, own: post_association(own["local_ip"], fixed_port_id=one)
    ),
    "gateways of a router": (
        "network",
        lambda one, own: (
            "PUT",
            f"/v2.0/routers/{own['router']}/add_external_gateways",
            {"router": {"external_gateways": [{"network_id": one}]}},
        ),
    ),
    "bindings of a port": ("port", lambda one, own: ("GET", f"/v2.0/ports/{one}/bindings", None)),
    "log.resource_id": ("group", lambda one, own: post_log(resource_id=one)),
    "log.target_id": ("port", lambda one, own: post_log(target_id=one)),
    "rules of a policy, made": (
        "policy",
        lambda one, own: (
            "POST",
            f"/v2.0/qos/policies/{one}/bandwidth_limit_rules",
            {"bandwidth_limit_rule": {"max_kbps": 1000}},
        ),
    ),
    "rules of a policy": (
        "policy", lambda one, own: ("GET", f"/v2.0/qos/policies/{one}/bandwidth_limit_rules", None)
    ),
    "a rule of a policy": (
        "policy",
        lambda one, own: ("GET", f"/v2.0/qos/policies/{one}/bandwidth_limit_rules/{NOBODYS}", None),
    ),
    "a rule of a policy, changed": (
        "policy",
        lambda one, own: (
            "PUT",
            f"/v2.0/qos/policies/{one}/bandwidth_limit_rules/{NOBODYS}",
            {"bandwidth_limit_rule": {"max_kbps": 1}},
        ),
    ),
    "a rule of a policy, deleted": (
        "policy",
        lambda one, own: ("DELETE", f"/v2.0/qos/policies/{one}/bandwidth_limit_rules/{NOBODYS}", None),
    ),
}  # fmt: skip
# A member makes no rules, in whichever policy, no default rules, no rules of metering, no segments, no logs
# and no connections of gateways; and sees no bindings.
FORBIDDEN = {
    "segment.network_id",
    "subnet.segment_id",
    "subnet.segment_id, changed",
    "rules of a policy, made",
    "l2_gateway_connection.network_id",
    "log.resource_id",
    "log.target_id",
    "metering_label_rule.metering_label_id",
    "bindings of a port",
    "default_security_group_rule.remote_group_id",
    "default_security_group_rule.remote_address_group_id",
}
_COLLECTIONS = {
    "network": "networks",
    "subnet": "subnets",
    "port": "ports",
    "router": "routers",
    "group": "security-groups",
    "addresses": "address-groups",
    "scope": "address-scopes",
    "pool": "subnetpools",
    "policy": "qos/policies",
    "trunk": "trunks",
    "label": "metering/metering-labels",
    "tap": "taas/tap_services",
}
_NAMES = {
    "group": "security_group",
    "addresses": "address_group",
    "scope": "address_scope",
    "pool": "subnetpool",
    "label": "metering_label",
    "tap": "tap_service",
}


def _shared(object_type: str) -> Asked:
    said = {"object_type": object_type, "target_tenant": P1, "action": "access_as_shared"}
    return lambda one, own: ("POST", "/v2.0/rbac-policies", {"rbac_policy": {**said, "object_id": one}})


for _kind in ("network", "policy", "group", "addresses", "scope", "pool"):
    _type = {**_NAMES, "policy": "qos_policy"}.get(_kind, _kind)
    NAMED[f"rbac_policy.object_id, {_kind}"] = (_kind, _shared(_type))


def _named(method: str, path: str, body: dict[str, Any] | None) -> Asked:
    return lambda one, own: (method, f"/v2.0/{path.format(one)}", body)


for _kind, _path in _COLLECTIONS.items():
    for _method in ("GET", "DELETE", "PUT"):
        _body = {_NAMES.get(_kind, _kind): {"name": "mine"}} if _method == "PUT" else None
        NAMED[f"{_kind}, {_method}"] = (_kind, _named(_method, _path + "/{}", _body))
    _page = _path + "?limit=1&sort_key=id&sort_dir=asc&marker={}"
    NAMED[f"{_kind}, marker"] = (_kind, _named("GET", _page, None))
    if _kind not in ("scope", "addresses", "tap"):
        NAMED[f"tags of a {_kind}"] = (_kind, _named("PUT", _path + "/{}/tags/blue", None))


def without(text: Answer, *ids: str) -> tuple[int, str]:
    said = json.dumps(text.json)
    for one in ids:
        said = said.replace(one, "ID")
    return text.status, said


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_foreign_id_is_answered_like_one_that_does_not_exist(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud) -> None:
        bob, admin = api.as_("bob"), api.as_("admin")
        outside_id, _ = await admin.an_outside()
        theirs = await things_of(bob, P2, "10.2.0.0/24")
        own = await things_of(api, P1, "10.1.0.0/24")
        own["outside"] = outside_id
        own["floating"] = (await api.make("floatingip", floating_network_id=outside_id))["id"]
        before = [(await admin("GET", f"/v2.0/{path}")).json for path in _COLLECTIONS.values()]
        told = []
        for name, (what, asked) in NAMED.items():
            foreign = without(await api(*asked(theirs[what], own)), theirs[what])
            absent = without(await api(*asked(NOBODYS, own)), NOBODYS)
            forbidden = foreign[0] == 403 and name not in FORBIDDEN
            # Behind a policy that is not there no others come.
            ended = foreign[0] == 200 and name == "policy, marker"
            if foreign != absent or not (400 <= foreign[0] < 500 or ended) or forbidden:
                told.append((name, foreign, absent))
        assert told == []
        assert before == [(await admin("GET", f"/v2.0/{path}")).json for path in _COLLECTIONS.values()]

    tell(story, tmp_path, kind)


def test_every_attribute_that_names_a_thing_is_in_the_table() -> None:
    # A flavor is for all to see.
    # Gateways are for administrators, who may see everything.
    free = {
        "l2_gateway_id",
        "project_id",
        "device_id",
        "binding:host_id",
        "provider:segmentation_id",
        "flavor_id",
        "segmentation_id",
    }
    known = {name.split(",")[0] for name in NAMED}
    for resource in network_service(CONFIG, ManualClock()).resources:
        for one in resource.attributes.values():
            named = one.name.endswith("_id") or one.name in ("security_groups", "external_gateway_info")
            if named and (one.create or one.update) and one.name not in free:
                assert f"{resource.name}.{one.name}" in known


def test_a_list_shows_nothing_of_others_whatever_is_asked(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        theirs = await things_of(api.as_("bob"), P2, "10.2.0.0/24")
        await things_of(api, P1, "10.1.0.0/24")
        for path in _COLLECTIONS.values():
            plural = path.rpartition("/")[2].replace("-", "_")
            for query in (
                f"project_id={P2}", f"tenant_id={P2}", "shared=false",
                *(f"id={one}" for one in theirs.values()),
                f"network_id={theirs['network']}", f"fixed_ips=subnet_id={theirs['subnet']}",
                f"security_groups={theirs['group']}", f"device_id={theirs['router']}",
                f"qos_policy_id={theirs['policy']}", f"address_scope_id={theirs['scope']}",
            ):  # fmt: skip
                answer = await api("GET", f"/v2.0/{path}?{query}")
                assert answer.status in (200, 400), (path, query, answer)
                if answer.status == 200:
                    shown = {one["id"] for one in answer.json[plural]}
                    assert not shown & set(theirs.values()), (path, query)

    tell(story, tmp_path)
