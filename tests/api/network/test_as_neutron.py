"""Answers that clients of Neutron rely on: what is refused with which status, and how values are shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.api.network.cloud import P1, P2, Answer, Cloud, tell

V6 = {"ip_version": 6, "cidr": "fd00::/64"}


def refused(answer: Answer, status: int, error: str) -> None:
    assert (answer.status, answer.status >= 400 and answer.error) == (status, error), answer


def test_shared_filters_subnets_though_it_is_not_shown(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        mine, _ = await api.a_network("10.0.1.0/24")
        shared = (await admin.make("network", shared=True))["id"]
        await admin.make("subnet", network_id=shared, cidr="10.0.2.0/24", ip_version=4)
        for text, network in (("True", shared), ("false", mine)):
            (found,) = (await api("GET", f"/v2.0/subnets?shared={text}")).json["subnets"]
            assert found["network_id"] == network and "shared" not in found
        body = {"subnet": {"network_id": mine, "cidr": "10.0.3.0/24", "ip_version": 4, "shared": True}}
        refused(await api("POST", "/v2.0/subnets", body), 400, "HTTPBadRequest")

    tell(story, tmp_path)


def test_mtu_and_subnets(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        tiny = (await api.make("network", mtu=67))["id"]
        for subnet in ({"ip_version": 4, "cidr": "10.0.0.0/24"}, V6):
            answer = await api("POST", "/v2.0/subnets", {"subnet": {"network_id": tiny, **subnet}})
            refused(answer, 409, "NetworkMTUSubnetConflict")
        path = f"/v2.0/networks/{tiny}"
        assert (await api("PUT", path, {"network": {"mtu": 68}})).status == 200
        await api.make("subnet", network_id=tiny, ip_version=4, cidr="10.0.0.0/24")
        refused(
            await api("POST", "/v2.0/subnets", {"subnet": {"network_id": tiny, **V6}}),
            409,
            "NetworkMTUSubnetConflict",
        )
        refused(await api("PUT", path, {"network": {"mtu": 67}}), 409, "NetworkMTUSubnetConflict")
        assert (await api("PUT", path, {"network": {"mtu": "1280"}})).status == 200
        await api.make("subnet", network_id=tiny, **V6)
        refused(await api("PUT", path, {"network": {"mtu": 1279}}), 409, "NetworkMTUSubnetConflict")
        refused(await api("PUT", path, {"network": {"mtu": -1}}), 400, "HTTPBadRequest")
        refused(await api("PUT", path, {"network": {"mtu": 9000}}), 400, "InvalidInput")

    tell(story, tmp_path)


def test_no_device_is_told_an_mtu_that_none_takes(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.report("h1", tunneling_ip="192.0.2.1")
        network = (await api.make("network", mtu=5))["id"]
        admin = api.as_("admin")
        await admin.make("port", network_id=network, **{"binding:host_id": "h1"})
        (seen,) = (await api.switch("h1")).networks
        assert seen.mtu == 68

    tell(story, tmp_path)


def test_prefix_lengths_of_pools_are_text(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        pool = await api.make("subnetpool", name="p", prefixes=["10.0.0.0/16"], min_prefixlen="24")
        path = f"/v2.0/subnetpools/{pool['id']}"
        changed = await api("PUT", path, {"subnetpool": {"max_prefixlen": 30, "default_prefixlen": "29"}})
        for view in (
            changed.json["subnetpool"],
            (await api("GET", path)).json["subnetpool"],
            *(await api("GET", "/v2.0/subnetpools?default_prefixlen=29")).json["subnetpools"],
        ):
            lengths = {name: view[f"{name}_prefixlen"] for name in ("min", "max", "default")}
            assert lengths == {"min": "24", "max": "30", "default": "29"}
        network = await api.make("network")
        made = await api.make("subnet", network_id=network["id"], ip_version=4, subnetpool_id=pool["id"])
        assert made["cidr"].endswith("/29")

    tell(story, tmp_path)


def test_groups_of_one_port_are_of_one_kind(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        network, _ = await api.a_network()
        group = (await api.make("security_group", name="a"))["id"]
        loose = (await api.make("security_group", name="b", stateful=False))["id"]
        both = {"port": {"network_id": network, "security_groups": [group, loose]}}
        refused(await api("POST", "/v2.0/ports", both), 409, "SecurityGroupConflict")
        port = await api.make("port", network_id=network, security_groups=[loose])
        del both["port"]["network_id"]
        path = f"/v2.0/ports/{port['id']}"
        refused(await api("PUT", path, both), 409, "SecurityGroupConflict")
        assert (await api("PUT", path, {"port": {"security_groups": [group]}})).status == 200

    tell(story, tmp_path)


def test_a_gateway_that_a_router_has_stays(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        _, subnet = await api.a_network("10.0.0.0/24")
        router = await api.make("router")
        at = f"/v2.0/routers/{router['id']}"
        path = f"/v2.0/subnets/{subnet}"
        assert (await api("PUT", f"{at}/add_router_interface", {"subnet_id": subnet})).status == 200
        for gateway in ("10.0.0.3", None, "192.0.2.1"):
            change: Any = {"subnet": {"gateway_ip": gateway, "allocation_pools": []}}
            refused(await api("PUT", path, change), 409, "GatewayIpInUse")
        same = {"subnet": {"gateway_ip": "10.0.0.1", "name": "x"}}
        assert (await api("PUT", path, same)).status == 200
        assert (await api("PUT", f"{at}/remove_router_interface", {"subnet_id": subnet})).status == 200
        assert (await api("PUT", path, {"subnet": {"gateway_ip": None}})).status == 200

    tell(story, tmp_path)


def test_a_blank_update_frees_a_floating_ip(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        outside, _ = await admin.an_outside()
        network, subnet = await api.a_network("10.0.0.0/24")
        router = await api.make("router", external_gateway_info={"network_id": outside})
        at = f"/v2.0/routers/{router['id']}/add_router_interface"
        assert (await api("PUT", at, {"subnet_id": subnet})).status == 200
        port = (await api.make("port", network_id=network))["id"]
        floating = await api.make("floatingip", floating_network_id=outside, port_id=port)
        path = f"/v2.0/floatingips/{floating['id']}"
        kept = await api("PUT", path, {"floatingip": {"description": "x"}})
        assert kept.json["floatingip"]["port_id"] == port
        alone = {"floatingip": {"fixed_ip_address": floating["fixed_ip_address"]}}
        refused(await api("PUT", path, alone), 400, "BadRequest")
        freed = (await api("PUT", path, {"floatingip": {}})).json["floatingip"]
        assert (freed["port_id"], freed["fixed_ip_address"], freed["router_id"]) == (None, None, None)

    tell(story, tmp_path)


def test_tags_of_a_policy_are_where_clients_look(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        policy = (await admin.make("policy", name="p"))["id"]
        for base in ("policies", "qos/policies"):
            path = f"/v2.0/{base}/{policy}/tags"
            assert (await admin("PUT", path, {"tags": ["a", "b"]})).json == {"tags": ["a", "b"]}
            assert (await admin("POST", path, {"tags": ["c"]})).json == {"tags": ["c"]}
            assert (await admin("GET", path)).json == {"tags": ["a", "b", "c"]}
            assert (await admin("DELETE", f"{path}/c")).status == 204
        assert (await admin("GET", f"/v2.0/qos/policies/{policy}")).json["policy"]["tags"] == ["a", "b"]

    tell(story, tmp_path)


def test_quotas_are_not_set_below_what_is_used(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        await api.make("network")
        await api.make("network")
        path = f"/v2.0/quotas/{P1}"
        for more in ({}, {"check_limit": True}, {"force": False}, {"force": "true"}):
            answer = await admin("PUT", path, {"quota": {"network": 1, **more}})
            refused(answer, 400, "HTTPBadRequest")
        assert "already used 2" in answer.json["NeutronError"]["message"]
        for quota in ({"network": -1}, {"network": "2"}, {"network": 0, "force": True}, {"port": 0}):
            assert (await admin("PUT", path, {"quota": quota})).status == 200, quota
        refused(await admin("PUT", path, {"quota": {"network": "many"}}), 400, "InvalidInput")
        refused(await admin("PUT", path, {"quota": {"network": -2}}), 400, "HTTPBadRequest")

    tell(story, tmp_path)


def test_everybody_reads_his_own_projects_quotas(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        for end in ("", "/default", "/details"):
            assert (await api("GET", f"/v2.0/quotas/{P1}{end}")).json["quota"]["network"] in (
                100,
                {"limit": 100, "used": 0, "reserved": 0},
            )
            assert (await api("GET", f"/v2.0/quotas/{P2}{end}")).status == 403
        assert (await api("PUT", f"/v2.0/quotas/{P1}", {"quota": {"network": 5}})).status == 403
        assert (await api("GET", "/v2.0/quotas/project")).json == {"project": {"project_id": P1}}
        assert (await api("GET", "/v2.0/quotas/tenant")).json == {"tenant": {"tenant_id": P1}}

    tell(story, tmp_path)


@pytest.mark.parametrize("protocol", ["41", 43, "44", "58", "59", "60", "ipv6-icmp", "icmpv6", "IPv6-Route"])
def test_protocols_of_ipv6_are_not_ipv4s(protocol: Any, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        group = (await api.make("security_group", name="g"))["id"]
        rule = {"security_group_id": group, "direction": "ingress", "protocol": protocol}
        body = {"security_group_rule": {**rule, "ethertype": "IPv4"}}
        answer = await api("POST", "/v2.0/security-group-rules", body)
        refused(answer, 400, "SecurityGroupEthertypeConflictWithProtocol")
        assert (await api.make("security_group_rule", **rule, ethertype="ipv6"))["ethertype"] == "IPv6"

    tell(story, tmp_path)


def test_rule_types(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")

        async def kinds(query: str = "") -> list[str]:
            listed = (await api("GET", f"/v2.0/qos/rule-types{query}")).json["rule_types"]
            return [one["type"] for one in listed]

        assert await kinds() == await kinds("?all_supported=true") == await kinds("?all_rules=True")
        assert await kinds() == [
            "bandwidth_limit",
            "dscp_marking",
            "minimum_bandwidth",
            "minimum_packet_rate",
            "packet_rate_limit",
        ]
        refused(await api("GET", "/v2.0/qos/rule-types?type=x"), 400, "HTTPBadRequest")
        refused(await api("GET", "/v2.0/qos/rule-types?all_rules=x"), 400, "InvalidInput")
        path = "/v2.0/qos/rule-types/bandwidth_limit"
        assert (await api("GET", path)).status == 403
        shown = (await admin("GET", path)).json["rule_type"]
        (driver,) = shown["drivers"]
        assert driver["name"] == "openvswitch"
        names = {one["parameter_name"] for one in driver["supported_parameters"]}
        assert names == {"max_kbps", "max_burst_kbps", "direction"}
        marks = (await admin("GET", "/v2.0/qos/rule-types/dscp_marking")).json["rule_type"]
        (parameter,) = marks["drivers"][0]["supported_parameters"]
        assert (parameter["parameter_name"], parameter["parameter_type"]) == ("dscp_mark", "choices")
        assert {0, 46, 56} <= {*parameter["parameter_values"]} and 1 not in parameter["parameter_values"]
        least = (await admin("GET", "/v2.0/qos/rule-types/minimum_packet_rate")).json["rule_type"]
        assert least["drivers"][0]["supported_parameters"][-1] == {
            "parameter_name": "direction",
            "parameter_type": "choices",
            "parameter_values": ["any", "ingress", "egress"],
        }
        assert (await admin("GET", "/v2.0/qos/rule-types/none")).status == 404

    tell(story, tmp_path)


def test_a_list_of_one_segment(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")

        async def ask(**values: Any) -> Answer:
            return await admin("POST", "/v2.0/networks", {"network": values})

        vlan = {
            "provider:network_type": "vlan",
            "provider:physical_network": "physnet1",
            "provider:segmentation_id": "101",
        }
        made = (await ask(segments=[vlan])).json["network"]
        assert {name: made[name] for name in vlan} == {**vlan, "provider:segmentation_id": 101}
        assert "segments" not in made
        assert (await ask(segments=[])).json["network"]["provider:network_type"] == "vxlan"
        assert (await ask(segments=[{"provider:network_type": "gre"}])).status == 201
        refused(await ask(segments=[vlan], **vlan), 400, "SegmentsSetInConjunctionWithProviders")
        refused(await ask(segments=[vlan]), 409, "VlanIdInUse")
        refused(await ask(segments=[{"provider:physical_network": "physnet1"}]), 400, "InvalidInput")
        refused(await ask(segments=[vlan, vlan]), 400, "SegmentsContainDuplicateEntry")
        refused(await ask(segments=[{**vlan, "colour": 1}]), 400, "HTTPBadRequest")
        member = {"network": {"segments": [{"provider:network_type": "vxlan"}]}}
        refused(await api("POST", "/v2.0/networks", member), 403, "PolicyNotAuthorized")
        path = f"/v2.0/networks/{made['id']}"
        assert (await admin("PUT", path, {"network": vlan})).status == 200
        other = {"network": {"provider:segmentation_id": 102}}
        refused(await admin("PUT", path, other), 400, "InvalidInput")
        mine = f"/v2.0/networks/{(await api.make('network'))['id']}"
        refused(await api("PUT", mine, other), 403, "PolicyNotAuthorized")

    tell(story, tmp_path)


@pytest.mark.parametrize(
    "kind",
    [
        "network",
        "subnet",
        "port",
        "router",
        "floatingip",
        "security_group",
        "security_group_rule",
        "subnetpool",
        "address_scope",
        "policy",
    ],
)
def test_the_answer_to_a_create_is_what_is_shown_later(kind: str, tmp_path: Path) -> None:
    """An attribute that lives in another table is not null in one answer and true in the next."""

    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        outside, _ = await admin.an_outside("203.0.113.0/24")
        group = (await admin.make("security_group", name="g"))["id"]
        bodies: dict[str, dict[str, Any]] = {
            "network": {"name": "n"},
            "subnet": {"network_id": outside, "cidr": "10.0.0.0/24", "ip_version": 4, "enable_dhcp": False},
            "port": {"network_id": outside, "extra_dhcp_opts": [{"opt_name": "router", "opt_value": "x"}]},
            "router": {"external_gateway_info": {"network_id": outside}, "tags": ["b", "a"]},
            "floatingip": {"floating_network_id": outside},
            "security_group": {"name": "x"},
            "security_group_rule": {"security_group_id": group, "direction": "ingress", "protocol": "tcp"},
            "subnetpool": {"name": "p", "prefixes": ["10.0.0.0/8"]},
            "address_scope": {"ip_version": 4},
            "policy": {"name": "p"},
        }
        made = await admin.make(kind, **bodies[kind])
        collection = {"policy": "qos/policies"}.get(kind, f"{kind.replace('_', '-')}s")
        path = f"/v2.0/{collection}/{made['id']}"
        shown = (await admin("GET", path)).json[kind]
        assert {**made, "tags": sorted(made.get("tags", ()))} == {**shown, "tags": shown.get("tags", [])}
        if kind != "security_group_rule":
            changed = (await admin("PUT", path, {kind: {"name": "y"} if kind != "floatingip" else {}})).json
            assert changed[kind] == (await admin("GET", path)).json[kind]

    tell(story, tmp_path)


def test_what_is_listed_as_an_extension_works(tmp_path: Path) -> None:
    """Those that promise one thing which no other test of this folder names by its alias."""

    async def story(api: Cloud) -> None:
        listed = (await api("GET", "/v2.0/extensions")).json["extensions"]
        aliases = [one["alias"] for one in listed]
        assert len(aliases) == len(set(aliases))
        for one in listed:
            assert (await api("GET", f"/v2.0/extensions/{one['alias']}")).json["extension"] == one
        works = {
            "agent_sort_key": "agents?sort_key=host&sort_dir=asc",
            "availability_zone_filter": "availability_zones?resource=router",
            "qos-rule-type-details": "qos/rule-types/bandwidth_limit",
            "qos-rule-type-filter": "qos/rule-types?all_supported=true",
            "security-groups-shared-filtering": "security-groups?shared=false",
            "standard-attr-tag": "networks?tags=x",
        }
        for alias, path in works.items():
            assert alias in aliases
            assert (await api.as_("admin")("GET", f"/v2.0/{path}")).status == 200, path
        refused(await api("GET", "/v2.0/networks?sort_key=x&sort_dir=asc"), 400, "HTTPBadRequest")
        network = (await api.make("network"))["id"]
        several = [{"network_id": network, "tags": [tag]} for tag in "ab"]
        made = (await api("POST", "/v2.0/ports", {"ports": several})).json["ports"]
        assert [one["tags"] for one in made] == [["a"], ["b"]]
        assert {"sort-key-validation", "tag-ports-during-bulk-creation", "quota-check-limit"} <= {*aliases}

    tell(story, tmp_path)
