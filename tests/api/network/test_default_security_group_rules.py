"""Default security group rules: what new groups begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.network.cloud import Cloud, tell

from pileus.services.network.rules import security
from pileus.services.network.security_groups.templates import template_rules

PATH = "/v2.0/default-security-group-rules"


def legs(rules: list[dict[str, Any]], own: str) -> set[tuple[Any, ...]]:
    return {
        (
            one["direction"],
            one["ethertype"],
            one["protocol"],
            "own" if one["remote_group_id"] in (own, "PARENT") else one["remote_group_id"],
        )
        for one in rules
    }


LEGACY = {
    (direction, ethertype, None, other)
    for direction, other in (("egress", None), ("ingress", "own"))
    for ethertype in ("IPv4", "IPv6")
}


@pytest.mark.parametrize("kind", databases.KINDS)
def test_new_groups_begin_with_them(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        listed = (await api.as_("reader")("GET", PATH)).json["default_security_group_rules"]
        assert legs(listed, "") == LEGACY
        assert {(one["direction"], one["used_in_non_default_sg"]) for one in listed} == {
            ("egress", True),
            ("ingress", False),
        }
        assert all(one["used_in_default_sg"] for one in listed)
        assert "project_id" not in listed[0] and "digest" not in listed[0]
        ssh = {"direction": "ingress", "protocol": "tcp", "port_range_min": 22, "port_range_max": 22}
        both = {"used_in_default_sg": True, "used_in_non_default_sg": True}
        made = await admin.make("default_security_group_rule", **ssh, **both, remote_ip_prefix="10.0.0.7/8")
        assert made["remote_ip_prefix"] == "10.0.0.7/8"
        assert (await api("GET", f"{PATH}/{made['id']}")).json["default_security_group_rule"] == made
        own = await admin.make(
            "default_security_group_rule",
            direction="ingress",
            protocol="udp",
            remote_group_id="PARENT",
            used_in_default_sg=False,
        )
        assert own["remote_group_id"] == "PARENT" and own["used_in_non_default_sg"] is True
        found = await api("GET", f"{PATH}?remote_group_id=PARENT&used_in_default_sg=false")
        assert [one["id"] for one in found.json["default_security_group_rules"]] == [own["id"]]
        group = await api.make("security_group", name="web")
        assert legs(group["security_group_rules"], group["id"]) == {
            ("egress", "IPv4", None, None),
            ("egress", "IPv6", None, None),
            ("ingress", "IPv4", "tcp", None),
            ("ingress", "IPv4", "udp", "own"),
        }
        (first,) = (await api("GET", "/v2.0/security-groups?name=default")).json["security_groups"]
        assert legs(first["security_group_rules"], first["id"]) == {
            *LEGACY,
            ("ingress", "IPv4", "tcp", None),
        }
        (copy,) = [one for one in first["security_group_rules"] if one["protocol"] == "tcp"]
        assert (copy["remote_ip_prefix"], copy["normalized_cidr"]) == ("10.0.0.7/8", "10.0.0.0/8")
        # What is there already stays as it is.
        for one in (await admin("GET", PATH)).json["default_security_group_rules"]:
            assert (await admin("DELETE", f"{PATH}/{one['id']}")).status == 204
        assert (await api("GET", f"/v2.0/security-groups/{group['id']}")).json["security_group"] == group
        assert (await api.make("security_group", name="bare"))["security_group_rules"] == []
        gone = await api("GET", f"{PATH}/{made['id']}")
        assert (gone.status, gone.error) == (404, "DefaultSecurityGroupRuleNotFound")

    tell(story, tmp_path, kind)


def test_one_kind_of_group_begins_with_a_rule_once(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        rule: dict[str, Any] = {"direction": "ingress", "protocol": "tcp"}
        made = await admin.make("default_security_group_rule", **rule, used_in_default_sg=True)
        for again in (
            {"used_in_default_sg": True, "used_in_non_default_sg": False},
            {"used_in_default_sg": False, "used_in_non_default_sg": True, "protocol": "6"},
            {},
        ):
            answer = await admin("POST", PATH, {"default_security_group_rule": {**rule, **again}})
            assert (answer.status, answer.error) == (409, "DefaultSecurityGroupRuleExists")
            assert made["id"] in answer.message
        udp = {**rule, "protocol": "udp"}
        for used in (True, False):
            kinds = {"used_in_default_sg": used, "used_in_non_default_sg": not used}
            await admin.make("default_security_group_rule", **udp, **kinds)

    tell(story, tmp_path)


def test_they_are_checked_like_other_rules(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        nobody = "11111111-2222-3333-4444-555555555555"
        for values, status, error in (
            (
                {"protocol": "tcp", "port_range_min": 9, "port_range_max": 8},
                400,
                "SecurityGroupInvalidPortRange",
            ),
            ({"remote_ip_prefix": "::/0"}, 400, "SecurityGroupRuleParameterConflict"),
            ({"remote_group_id": nobody}, 404, "SecurityGroupNotFound"),
            ({"remote_address_group_id": nobody}, 404, "AddressGroupNotFound"),
            (
                {"remote_group_id": "PARENT", "remote_ip_prefix": "10.0.0.0/8"},
                400,
                "SecurityGroupMultipleRemoteEntites",
            ),
            ({"direction": "sideways"}, 400, "HTTPBadRequest"),
        ):
            body = {"default_security_group_rule": {"direction": "ingress", **values}}
            answer = await admin("POST", PATH, body)
            assert (answer.status, answer.error) == (status, error), values
        mine = {"default_security_group_rule": {"direction": "ingress", "protocol": "tcp"}}
        assert (await api("POST", PATH, mine)).status == 403

    tell(story, tmp_path)


def test_what_a_rule_names_may_go(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        group = await admin.make("security_group", name="shared services")
        prefixes = await admin.make("address_group", addresses=["10.0.0.0/8"])
        await admin.make("default_security_group_rule", direction="ingress", remote_group_id=group["id"])
        kept = await admin.make(
            "default_security_group_rule", direction="ingress", remote_address_group_id=prefixes["id"]
        )
        used = await admin("DELETE", f"/v2.0/address-groups/{prefixes['id']}")
        assert (used.status, used.error) == (409, "AddressGroupInUse")
        assert (await admin("DELETE", f"/v2.0/security-groups/{group['id']}")).status == 204
        made = await api.make("security_group", name="web")
        assert {one["remote_address_group_id"] for one in made["security_group_rules"]} == {
            None,
            prefixes["id"],
        }
        assert len(made["security_group_rules"]) == 3
        assert (await admin("DELETE", f"{PATH}/{kept['id']}")).status == 204

    tell(story, tmp_path)


def test_the_first_rules_are_known_by_what_they_match(tmp_path: Path) -> None:
    """A migration has written their digests."""

    async def story(api: Cloud) -> None:
        templates = await api.store.read(lambda tx: template_rules(tx, of_default_groups=True))
        assert len(templates) == 4
        assert all(one["digest"] == security.key(security.normalise(one)) for one in templates)

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_rules_of_default_groups_are_told_apart(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        (first,) = (await api("GET", "/v2.0/security-groups?name=default")).json["security_groups"]
        other = await api.make("security_group", name="web")
        made = {
            group["id"]: await api.make(
                "security_group_rule", security_group_id=group["id"], direction="ingress", protocol="tcp"
            )
            for group in (first, other)
        }
        assert made[first["id"]]["belongs_to_default_sg"] is True
        assert made[other["id"]]["belongs_to_default_sg"] is False
        for word, group in (("true", first), ("False", other)):
            found = await api("GET", f"/v2.0/security-group-rules?belongs_to_default_sg={word}")
            rules = found.json["security_group_rules"]
            assert {one["security_group_id"] for one in rules} == {group["id"]}
            assert {one["belongs_to_default_sg"] for one in rules} == {group is first}
            shown = (await api("GET", f"/v2.0/security-groups/{group['id']}")).json["security_group"]
            assert {one["belongs_to_default_sg"] for one in shown["security_group_rules"]} == {group is first}

    tell(story, tmp_path, kind)


def test_an_operator_locks_the_default_groups(tmp_path: Path) -> None:
    """With a rule of Neutron's documentation: members change rules of groups that are no default."""

    async def story(api: Cloud) -> None:
        (first,) = (await api("GET", "/v2.0/security-groups?name=default")).json["security_groups"]
        other = await api.make("security_group", name="web")
        for group, status in ((first, 403), (other, 201)):
            rule = {"security_group_id": group["id"], "direction": "ingress", "protocol": "tcp"}
            answer = await api("POST", "/v2.0/security-group-rules", {"security_group_rule": rule})
            assert answer.status == status
        path = f"/v2.0/security-group-rules/{first['security_group_rules'][0]['id']}"
        assert (await api("DELETE", path)).status == 403
        assert (await api.as_("admin")("DELETE", path)).status == 204

    member = "role:member and rule:sg_owner and not rule:rule_default_sg"
    tell(
        story,
        tmp_path,
        rules={
            f"{verb}_security_group_rule": f"rule:admin_only or ({member})" for verb in ("create", "delete")
        },
    )
