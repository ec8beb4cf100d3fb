"""Security groups: the default one on first need, rules and their doubles, what is in use."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.network.cloud import P1, Cloud, tell


@pytest.mark.parametrize("kind", databases.KINDS)
def test_the_default_group_is_made_once(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        answers = await asyncio.gather(*(api("GET", "/v2.0/security-groups") for _ in range(8)))
        ids = {group["id"] for answer in answers for group in answer.json["security_groups"]}
        assert len(ids) == 1
        (group,) = (await api("GET", "/v2.0/security-groups?name=default")).json["security_groups"]
        assert group["project_id"] == P1 and group["stateful"] is True
        rules = {
            (one["direction"], one["ethertype"], one["remote_group_id"])
            for one in group["security_group_rules"]
        }
        assert rules == {
            ("egress", "IPv4", None),
            ("egress", "IPv6", None),
            ("ingress", "IPv4", group["id"]),
            ("ingress", "IPv6", group["id"]),
        }
        path = f"/v2.0/security-groups/{group['id']}"
        assert (await api("DELETE", path)).error == "SecurityGroupCannotRemoveDefault"
        renamed = await api("PUT", path, {"security_group": {"name": "other"}})
        assert (renamed.status, renamed.error) == (409, "SecurityGroupCannotUpdateDefault")
        described = await api("PUT", path, {"security_group": {"description": "all of us"}})
        assert described.json["security_group"]["description"] == "all of us"
        second = await api("POST", "/v2.0/security-groups", {"security_group": {"name": "Default"}})
        assert (second.status, second.error) == (409, "SecurityGroupDefaultAlreadyExists")
        assert (await api.as_("admin")("DELETE", path)).status == 204
        (again,) = (await api("GET", "/v2.0/security-groups")).json["security_groups"]
        assert again["id"] != group["id"]

    tell(story, tmp_path, kind)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_rules(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        group = await api.make("security_group", name="web")
        assert len(group["security_group_rules"]) == 2
        base: dict[str, Any] = {"security_group_id": group["id"], "direction": "ingress"}
        rule = await api.make(
            "security_group_rule", **base, protocol="tcp", port_range_min=80, port_range_max=80
        )
        assert rule["ethertype"] == "IPv4" and rule["normalized_cidr"] is None

        async def refused(status: int, error: str, *rules: dict[str, Any]) -> None:
            body: dict[str, Any] = {"security_group_rules": [{**base, **one} for one in rules]}
            if len(rules) == 1:
                body = {"security_group_rule": {**base, **rules[0]}}
            answer = await api("POST", "/v2.0/security-group-rules", body)
            assert (answer.status, answer.error) == (status, error)
            if error == "SecurityGroupRuleExists":
                assert rule["id"] in answer.json["NeutronError"]["message"]

        web = {"protocol": "6", "port_range_min": 80, "port_range_max": 80}
        await refused(409, "SecurityGroupRuleExists", web)
        await refused(409, "SecurityGroupRuleExists", {"protocol": "udp"}, web)
        await refused(409, "DuplicateSecurityGroupRuleInPost", {"protocol": "udp"}, {"protocol": "UDP"})
        await refused(400, "SecurityGroupInvalidPortRange", {**web, "port_range_min": 90})
        await refused(
            404, "SecurityGroupNotFound", {"remote_group_id": "11111111-2222-3333-4444-555555555555"}
        )
        await refused(
            404, "SecurityGroupNotFound", {"security_group_id": "11111111-2222-3333-4444-555555555555"}
        )
        await refused(400, "HTTPBadRequest", {"direction": "sideways"})
        await refused(400, "HTTPBadRequest", {"colour": "red"})
        await refused(400, "SecurityGroupRuleInvalidProtocol", {"protocol": {"a": 1}})
        other = await api.make("security_group", name="other")
        await refused(
            400, "SecurityGroupNotSingleGroupRules", {"protocol": "udp"}, {"security_group_id": other["id"]}
        )
        many = [
            {**base, "protocol": "tcp", "port_range_min": n, "port_range_max": n} for n in range(1000, 1050)
        ]
        before = api.store.statements
        answer = await api("POST", "/v2.0/security-group-rules", {"security_group_rules": many})
        assert answer.status == 201 and len(answer.json["security_group_rules"]) == 50
        assert kind != "sqlite" or api.store.statements - before <= 16
        seen = (await api("GET", f"/v2.0/security-groups/{group['id']}")).json["security_group"]
        assert len(seen["security_group_rules"]) == 53 and seen["revision_number"] == 3
        assert (await api.as_("bob")("GET", f"/v2.0/security-group-rules/{rule['id']}")).status == 404
        assert (await api("DELETE", f"/v2.0/security-group-rules/{rule['id']}")).status == 204
        gone = await api("GET", f"/v2.0/security-group-rules/{rule['id']}")
        assert (gone.status, gone.error) == (404, "SecurityGroupRuleNotFound")

    tell(story, tmp_path, kind)


def test_a_group_in_use_stays(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        network, _ = await api.a_network()
        group = await api.make("security_group", name="web")
        friend = await api.make("security_group", name="friend")
        await api.make(
            "security_group_rule",
            security_group_id=friend["id"],
            direction="ingress",
            remote_group_id=group["id"],
        )
        port = await api.make("port", network_id=network, security_groups=[group["id"]])
        path = f"/v2.0/security-groups/{group['id']}"
        used = await api("DELETE", path)
        assert (used.status, used.error) == (409, "SecurityGroupInUse")
        stateless = await api("PUT", path, {"security_group": {"stateful": False}})
        assert (stateless.status, stateless.error) == (409, "SecurityGroupInUse")
        stranger = await api.as_("bob")("POST", "/v2.0/networks", {"network": {}})
        theirs = {"network_id": stranger.json["network"]["id"], "security_groups": [group["id"]]}
        answer = await api.as_("bob")("POST", "/v2.0/ports", {"port": theirs})
        assert (answer.status, answer.error) == (404, "SecurityGroupNotFound")
        assert (await api("DELETE", f"/v2.0/ports/{port['id']}")).status == 204
        assert (await api("DELETE", path)).status == 204
        left = (await api("GET", f"/v2.0/security-groups/{friend['id']}")).json["security_group"]
        assert len(left["security_group_rules"]) == 2

    tell(story, tmp_path)


def test_a_port_has_groups_of_one_kind(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.report("h1")
        network, _ = await api.a_network()
        free = await api.make("security_group", name="free", stateful=False)
        kept = await api.make("security_group", name="kept")
        assert (free["stateful"], kept["stateful"]) == (False, True)
        for word, group in (("False", free), ("true", kept)):
            found = await api("GET", f"/v2.0/security-groups?stateful={word}")
            ids = {one["id"] for one in found.json["security_groups"]}
            assert group["id"] in ids and not ids >= {free["id"], kept["id"]}
        both = {"network_id": network, "security_groups": [free["id"], kept["id"]]}
        refused = await api("POST", "/v2.0/ports", {"port": both})
        assert (refused.status, refused.error) == (409, "SecurityGroupConflict")
        assert refused.message == (
            "Error Cannot apply both stateful and stateless security groups on the same port at the same "
            "time while attempting the operation."
        )
        port = await api.make("port", network_id=network, security_groups=[free["id"]])
        path = f"/v2.0/ports/{port['id']}"
        changed = await api("PUT", path, {"port": {"security_groups": both["security_groups"]}})
        assert (changed.status, changed.error) == (409, "SecurityGroupConflict")
        await api.as_("admin")("PUT", path, {"port": {"binding:host_id": "h1"}})
        (told,) = (await api.switch("h1")).security_groups
        assert (told.security_group_id, told.stateful) == (free["id"], False)
        assert (await api("PUT", path, {"port": {"security_groups": [kept["id"]]}})).status == 200
        (told,) = (await api.switch("h1")).security_groups
        assert (told.security_group_id, told.stateful) == (kept["id"], True)
        # Not in use any more, it may become one of the other kind.
        body = {"security_group": {"stateful": True}}
        assert (await api("PUT", f"/v2.0/security-groups/{free['id']}", body)).status == 200

    tell(story, tmp_path)


def test_group_quota(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        answers = [
            await api("POST", "/v2.0/security-groups", {"security_group": {"name": f"g{n}"}})
            for n in range(10)
        ]
        # The default group is one of the ten.
        assert [one.status for one in answers] == [201] * 9 + [409]
        assert answers[-1].error == "OverQuota"

    tell(story, tmp_path)


def test_a_network_administrator_handles_firewall_rules_and_no_ports(tmp_path: Path) -> None:
    """Seed 001: netadmin assigns addresses, and makes and changes firewall rules."""

    async def story(api: Cloud) -> None:
        netadmin = api.as_("netadmin")
        network, _ = await api.a_network()
        made = await netadmin("POST", "/v2.0/security-groups", {"security_group": {"name": "web"}})
        assert made.status == 201
        group = made.json["security_group"]["id"]
        rule = {"security_group_id": group, "direction": "ingress", "protocol": "tcp"}
        assert (
            await netadmin("POST", "/v2.0/security-group-rules", {"security_group_rule": rule})
        ).status == 201
        assert (await netadmin("DELETE", f"/v2.0/security-groups/{group}")).status == 204
        assert (await netadmin("POST", "/v2.0/ports", {"port": {"network_id": network}})).status == 403
        reader = api.as_("reader")
        assert (await reader("POST", "/v2.0/security-groups", {"security_group": {}})).status == 403

    tell(story, tmp_path)
