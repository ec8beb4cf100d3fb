"""QoS rules of all kinds: made, refused, by alias, and told to the nodes that enforce them."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.network.cloud import P1, P2, Cloud, tell

from pileus.wire.qos import AddressQos, PacketRateLimit, PortQos, RateLimit

RULES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "bandwidth_limit_rule": (
        {"max_kbps": 3000, "direction": "ingress"},
        {"max_burst_kbps": 0},
        {"max_kbps": 4000, "max_burst_kbps": 400},
    ),
    "dscp_marking_rule": ({"dscp_mark": 46}, {}, {"dscp_mark": 18}),
    "minimum_bandwidth_rule": ({"min_kbps": 10}, {"direction": "egress"}, {"min_kbps": 20}),
    "minimum_packet_rate_rule": ({"min_kpps": 5, "direction": "any"}, {}, {"min_kpps": 6}),
    "packet_rate_limit_rule": (
        {"max_kpps": 7, "max_burst_kpps": 8},
        {"direction": "egress"},
        {"direction": "ingress"},
    ),
}
NOBODYS = "11111111-2222-3333-4444-555555555555"


async def rule(who: Cloud, policy: str, kind: str, **values: Any) -> dict[str, Any]:
    answer = await who("POST", f"/v2.0/qos/policies/{policy}/{kind}s", {kind: values})
    assert answer.status == 201, answer
    made: dict[str, Any] = answer.json[kind]
    return made


async def refusal(who: Cloud, policy: str, kind: str, **values: Any) -> tuple[int, str]:
    answer = await who("POST", f"/v2.0/qos/policies/{policy}/{kind}s", {kind: values})
    return answer.status, answer.error


@pytest.mark.parametrize("database", databases.KINDS)
def test_the_life_of_each_kind(database: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        manager, bob = api.as_("manager"), api.as_("bob")
        policy = (await manager.make("policy", name="all"))["id"]
        for kind, (asked, more, change) in RULES.items():
            below = f"/v2.0/qos/policies/{policy}/{kind}s"
            assert (await api("POST", below, {kind: asked})).status == 403
            made = await rule(manager, policy, kind, **asked)
            assert made == {"id": made["id"], **asked, **more}
            assert (await api("GET", f"{below}/{made['id']}")).json == {kind: made}
            assert (await api("GET", below)).json == {f"{kind}s": [made]}
            assert (await bob("GET", f"{below}/{made['id']}")).status == 404
            changed = await manager("PUT", f"{below}/{made['id']}", {kind: change})
            assert changed.json == {kind: {**made, **change}}
            missing = await manager("GET", f"{below}/{NOBODYS}")
            assert (missing.status, missing.error) == (404, "QosRuleNotFound")
            assert missing.json["NeutronError"]["message"] == (
                f"QoS rule {NOBODYS} for policy {policy} could not be found."
            )
        shown = (await api("GET", f"/v2.0/qos/policies/{policy}")).json["policy"]["rules"]
        assert [f"{one['type']}_rule" for one in shown] == [*RULES]
        assert all(one["qos_policy_id"] == policy for one in shown)
        assert shown[1] == {
            "id": shown[1]["id"], "qos_policy_id": policy, "type": "dscp_marking", "dscp_mark": 18
        }  # fmt: skip
        for one in shown:
            path = f"/v2.0/qos/policies/{policy}/{one['type']}_rules/{one['id']}"
            assert (await api("DELETE", path)).status == 403
            assert (await manager("DELETE", path)).status == 204
        assert (await api("GET", f"/v2.0/qos/policies/{policy}")).json["policy"]["rules"] == []

    tell(story, tmp_path, database)


def test_what_does_not_go_together(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        manager = api.as_("manager")
        policy = (await manager.make("policy"))["id"]
        limit = await rule(manager, policy, "bandwidth_limit_rule", max_kbps=1000)
        crossed = (409, "QoSRuleParameterConflict")
        assert await refusal(manager, policy, "minimum_bandwidth_rule", min_kbps=1001) == crossed
        least = await rule(manager, policy, "minimum_bandwidth_rule", min_kbps=1001, direction="ingress")
        assert (
            await refusal(manager, policy, "bandwidth_limit_rule", max_kbps=1000, direction="ingress")
            == crossed
        )
        base = f"/v2.0/qos/policies/{policy}"
        turned = await manager(
            "PUT", f"{base}/minimum_bandwidth_rules/{least['id']}",
            {"minimum_bandwidth_rule": {"direction": "egress"}},
        )  # fmt: skip
        assert (turned.status, turned.error) == crossed
        assert turned.json["NeutronError"]["message"] == (
            f"Unable to add the rule with value 1001 to the policy {policy} as the existing rule of type "
            "bandwidth_limit has value 1000."
        )
        lowered = {"bandwidth_limit_rule": {"max_kbps": 1}}
        assert (await manager("PUT", f"{base}/bandwidth_limit_rules/{limit['id']}", lowered)).status == 200
        same = (409, "QoSRulesConflict")
        assert await refusal(manager, policy, "bandwidth_limit_rule", max_kbps=5) == same
        await rule(manager, policy, "dscp_marking_rule", dscp_mark=0)
        assert await refusal(manager, policy, "dscp_marking_rule", dscp_mark=8) == same
        rate = await rule(manager, policy, "minimum_packet_rate_rule", min_kpps=1, direction="egress")
        assert (
            await refusal(manager, policy, "minimum_packet_rate_rule", min_kpps=1, direction="any") == crossed
        )
        alias = f"/v2.0/qos/alias_minimum_packet_rate_rules/{rate['id']}"
        anyway = {"alias_minimum_packet_rate_rule": {"direction": "any"}}
        assert (await manager("PUT", alias, anyway)).status == 200
        assert (
            await refusal(manager, policy, "minimum_packet_rate_rule", min_kpps=1, direction="ingress")
            == crossed
        )
        for kind, wrong in (
            ("dscp_marking_rule", {"dscp_mark": 1}),
            ("dscp_marking_rule", {"dscp_mark": 58}),
            ("minimum_bandwidth_rule", {}),
            ("minimum_bandwidth_rule", {"min_kbps": 1, "direction": "any"}),
            ("packet_rate_limit_rule", {"max_kpps": -1}),
            ("bandwidth_limit_rule", {"max_kbps": 2**31}),
        ):
            assert (await refusal(manager, policy, kind, **wrong))[0] == 400, wrong
        assert await refusal(manager, NOBODYS, "dscp_marking_rule", dscp_mark=8) == (404, "QosPolicyNotFound")

    tell(story, tmp_path)


def test_rules_by_alias(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        manager, bob = api.as_("manager"), api.as_("bob")
        policy = (await manager.make("policy"))["id"]
        for kind, (asked, _, change) in RULES.items():
            if kind == "packet_rate_limit_rule":  # Neutron has no alias of it
                continue
            made = await rule(manager, policy, kind, **asked)
            name = f"alias_{kind}"
            for spelled in (f"{name}s", f"{name}s".replace("_", "-")):
                path = f"/v2.0/qos/{spelled}/{made['id']}"
                assert (await api("GET", path)).json == {name: made}
                assert (await bob("GET", path)).status == 404
                assert (await api("PUT", path, {name: change})).status == 403
                made = (await manager("PUT", path, {name: change})).json[name]
            other = "dscp_marking" if kind != "dscp_marking_rule" else "minimum_bandwidth"
            answer = await manager("GET", f"/v2.0/qos/alias_{other}_rules/{made['id']}")
            assert (answer.status, answer.error) == (404, "QosRuleNotFound")
            assert (await manager("DELETE", path)).status == 204
            assert (await manager("DELETE", path)).status == 404

    tell(story, tmp_path)


def test_what_the_switch_is_told(tmp_path: Path) -> None:
    """A port's own policy goes before its network's; ports of the network's services have none of that."""

    async def story(api: Cloud) -> None:
        admin, manager = api.as_("admin"), api.as_("manager")
        own = (await manager.make("policy"))["id"]
        for kind, (asked, _, _) in RULES.items():
            await rule(manager, own, kind, **asked)
        of_network = (await manager.make("policy"))["id"]
        await rule(manager, of_network, "bandwidth_limit_rule", max_kbps=500)
        await rule(manager, of_network, "packet_rate_limit_rule", max_kpps=1, direction="ingress")
        await api.report("h1", tunneling_ip="192.0.2.1")
        network, _ = await api.a_network()
        port = await api.make("port", network_id=network)
        assert port["qos_network_policy_id"] is None
        await admin("PUT", f"/v2.0/ports/{port['id']}", {"port": {"binding:host_id": "h1"}})

        async def told() -> tuple[RateLimit | None, PortQos | None]:
            (device,) = (await api.switch("h1")).devices
            return device.rate_limit, device.qos

        assert await told() == (None, None)
        await api("PUT", f"/v2.0/networks/{network}", {"network": {"qos_policy_id": of_network}})
        assert await told() == (
            RateLimit(of_network, 500, 0), PortQos(ingress_packets=PacketRateLimit(1))
        )  # fmt: skip
        shown = (await api("GET", f"/v2.0/ports/{port['id']}")).json["port"]
        assert (shown["qos_policy_id"], shown["qos_network_policy_id"]) == (None, of_network)
        changed = await api("PUT", f"/v2.0/ports/{port['id']}", {"port": {"qos_policy_id": own}})
        assert changed.json["port"]["qos_network_policy_id"] == of_network
        assert await told() == (
            None,
            PortQos(
                ingress=RateLimit(own, 3000, 0),
                egress_packets=PacketRateLimit(7, 8),
                dscp_mark=46,
                egress_minimum_kbps=10,
            ),
        )
        assert (await api.make("port", network_id=network))["qos_network_policy_id"] == of_network

    tell(story, tmp_path)


def test_requests_for_resources(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin, manager = api.as_("admin"), api.as_("manager")
        policy = (await manager.make("policy"))["id"]
        out = await rule(manager, policy, "minimum_bandwidth_rule", min_kbps=1000)
        rate = await rule(manager, policy, "minimum_packet_rate_rule", min_kpps=5, direction="any")
        tunnelled = (await api.make("network", qos_policy_id=policy))["id"]
        flat = await admin.make(
            "network",
            project_id=P1,
            **{"provider:network_type": "vlan", "provider:physical_network": "physnet1"},
        )
        one = await admin.make("port", network_id=tunnelled)

        def groups(port: str, *traits: str) -> dict[str, Any]:
            ids = [str(uuid.uuid5(uuid.UUID(port), each["id"])) for each in (out, rate)]
            kind = "CUSTOM_VNIC_TYPE_NORMAL"
            return {
                "request_groups": [
                    {
                        "id": ids[0],
                        "required": [*traits, kind],
                        "resources": {"NET_BW_EGR_KILOBIT_PER_SEC": 1000},
                    },
                    {
                        "id": ids[1],
                        "required": [kind],
                        "resources": {"NET_PACKET_RATE_KILOPACKET_PER_SEC": 5},
                    },
                ],
                "same_subtree": ids,
            }

        assert one["resource_request"] == groups(one["id"], "CUSTOM_NETWORK_TUNNEL_PROVIDER")
        assert (await admin("GET", f"/v2.0/ports/{one['id']}")).json["port"] == one
        two = await admin.make("port", network_id=flat["id"])
        assert two["resource_request"] is None
        body = {"port": {"qos_policy_id": policy}}
        changed = (await admin("PUT", f"/v2.0/ports/{two['id']}", body)).json["port"]
        assert changed["resource_request"] == groups(two["id"], "CUSTOM_PHYSNET_PHYSNET1")
        listed = (await admin("GET", "/v2.0/ports")).json["ports"]
        assert {port["id"]: port["resource_request"] for port in listed} == {
            one["id"]: one["resource_request"], two["id"]: changed["resource_request"]
        }  # fmt: skip
        mine = (await api.make("port", network_id=tunnelled))["id"]
        assert "resource_request" not in (await api("GET", f"/v2.0/ports/{mine}")).json["port"]

    tell(story, tmp_path)


def test_floating_ips_and_gateways(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin, manager, bob = api.as_("admin"), api.as_("manager"), api.as_("bob")
        mine = (await manager.make("policy"))["id"]
        await rule(manager, mine, "bandwidth_limit_rule", max_kbps=700, max_burst_kbps=70)
        outer = (await admin.make("policy", shared=True))["id"]
        await rule(admin, outer, "bandwidth_limit_rule", max_kbps=900, direction="ingress")
        theirs = (await admin.make("policy", project_id=P2))["id"]
        outside, _ = await admin.an_outside()
        network, subnet = await api.a_network()
        await api.node("h1", "L3 agent")
        info = {"network_id": outside}
        router = await api.make("router", external_gateway_info={**info, "qos_policy_id": mine})
        assert router["external_gateway_info"]["qos_policy_id"] == mine
        path = f"/v2.0/routers/{router['id']}"
        assert (await api("PUT", f"{path}/add_router_interface", {"subnet_id": subnet})).status == 200
        port = await api.make("port", network_id=network)
        floating = await api.make(
            "floatingip", floating_network_id=outside, port_id=port["id"], qos_policy_id=mine
        )
        assert (floating["qos_policy_id"], floating["qos_network_policy_id"]) == (mine, None)
        limit = {"egress": RateLimit(mine, 700, 70)}

        gateway = router["external_gateway_info"]["external_fixed_ips"][0]["ip_address"]
        held = {"gateway": gateway, "floating": floating["floating_ip_address"]}

        async def told(**wanted: dict[str, RateLimit]) -> bool:
            """Whether the router's node is told just these limits of its gateway and of its floating IP."""
            (found,) = (await api.routing("h1")).routers
            limits = {AddressQos(held[name], **limits) for name, limits in wanted.items()}
            return {*found.limits} == limits

        assert await told(gateway=limit, floating=limit)
        used = await manager("DELETE", f"/v2.0/qos/policies/{mine}")
        assert (used.status, used.error) == (409, "QosPolicyInUse")
        assert f"is used by fip {floating['id']}" in used.json["NeutronError"]["message"]
        refused = await api(
            "PUT", f"/v2.0/floatingips/{floating['id']}", {"floatingip": {"qos_policy_id": theirs}}
        )
        assert (refused.status, refused.error) == (404, "QosPolicyNotFound")
        await api("PUT", f"/v2.0/floatingips/{floating['id']}", {"floatingip": {"qos_policy_id": None}})
        assert await told(gateway=limit)
        used = await manager("DELETE", f"/v2.0/qos/policies/{mine}")
        assert f"is used by router {router['id']}" in used.json["NeutronError"]["message"]
        await admin("PUT", f"/v2.0/networks/{outside}", {"network": {"qos_policy_id": outer}})
        of_outside = {"ingress": RateLimit(outer, 900, 0)}
        assert await told(gateway=limit, floating=of_outside)
        shown = (await api("GET", f"/v2.0/floatingips/{floating['id']}")).json["floatingip"]
        assert (shown["qos_policy_id"], shown["qos_network_policy_id"]) == (None, outer)

        async def put(asked: dict[str, Any] | None) -> Any:
            return await api("PUT", path, {"router": {"external_gateway_info": asked}})

        kept = await put(info)
        assert kept.json["router"]["external_gateway_info"]["qos_policy_id"] == mine
        wrong = await put({**info, "qos_policy_id": theirs})
        assert (wrong.status, wrong.error) == (404, "QosPolicyNotFound")
        cleared = await put({**info, "qos_policy_id": None})
        assert cleared.json["router"]["external_gateway_info"]["qos_policy_id"] is None
        assert await told(gateway=of_outside, floating=of_outside)
        assert (await bob("GET", f"/v2.0/qos/policies/{mine}")).status == 404
        assert (await manager("DELETE", f"/v2.0/qos/policies/{mine}")).status == 204
        assert (await put({**info, "qos_policy_id": outer})).status == 200
        assert (await api("DELETE", f"/v2.0/floatingips/{floating['id']}")).status == 204
        assert (await put(None)).json["router"]["external_gateway_info"] is None
        assert (await put(info)).json["router"]["external_gateway_info"]["qos_policy_id"] is None

    tell(story, tmp_path)


def test_ports_that_no_driver_serves(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        manager = api.as_("manager")
        policy = (await manager.make("policy"))["id"]
        empty = (await manager.make("policy"))["id"]
        limit = await rule(manager, policy, "bandwidth_limit_rule", max_kbps=700)
        network, _ = await api.a_network()
        odd = {"network_id": network, "binding:vnic_type": "baremetal"}
        answer = await api("POST", "/v2.0/ports", {"port": {**odd, "qos_policy_id": policy}})
        assert (answer.status, answer.error) == (409, "QosRuleNotSupported")
        port = await api.make("port", **odd, qos_policy_id=empty)
        changed = await api("PUT", f"/v2.0/ports/{port['id']}", {"port": {"qos_policy_id": policy}})
        assert (changed.status, changed.error) == (409, "QosRuleNotSupported")
        assert await refusal(manager, empty, "dscp_marking_rule", dscp_mark=8) == (409, "QosRuleNotSupported")
        await api("PUT", f"/v2.0/ports/{port['id']}", {"port": {"qos_policy_id": None}})
        whole = await api("PUT", f"/v2.0/networks/{network}", {"network": {"qos_policy_id": policy}})
        assert whole.json["NeutronError"]["message"] == (
            f"Rule bandwidth_limit is not supported by port {port['id']}"
        )
        path = f"/v2.0/qos/policies/{policy}/bandwidth_limit_rules/{limit['id']}"
        assert (await manager("DELETE", path)).status == 204
        assert (
            await api("PUT", f"/v2.0/networks/{network}", {"network": {"qos_policy_id": policy}})
        ).status == 200

    tell(story, tmp_path)
