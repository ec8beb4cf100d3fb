"""Address groups: their prefixes, what refers to them, and what nodes are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.network.cloud import Cloud, tell

from pileus.wire import scopes

PATH = "/v2.0/address-groups"


@pytest.mark.parametrize("kind", databases.KINDS)
def test_prefixes_come_and_go(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        group = await api.make(
            "address_group", name="offices", addresses=["192.168.0.10/24", "10.1.1.3/32", "2001:DB8::f00/64"]
        )
        assert group["addresses"] == ["10.1.1.3/32", "192.168.0.0/24", "2001:db8::/64"]
        assert group["tenant_id"] == group["project_id"] and group["revision_number"] == 1
        assert "tags" not in group and "shared" not in group
        one = f"{PATH}/{group['id']}"

        async def change(verb: str, *addresses: Any, status: int = 200) -> Any:
            answer = await api("PUT", f"{one}/{verb}", {"addresses": list(addresses)})
            assert answer.status == status, answer
            return answer.json["address_group"]["addresses"] if status == 200 else answer

        assert await change("add_addresses", "10.2.0.1/16") == [
            "10.1.1.3/32",
            "10.2.0.0/16",
            "192.168.0.0/24",
            "2001:db8::/64",
        ]
        again = await change("add_addresses", "10.2.0.9/16", "10.3.0.0/16", status=400)
        assert again.error == "AddressesAlreadyExist"
        assert again.message == f"Addresses ['10.2.0.0/16'] already exist in the address group {group['id']}."
        assert await change("remove_addresses", "192.168.0.77/24", "10.1.1.3") == [
            "10.2.0.0/16",
            "2001:db8::/64",
        ]
        absent = await change("remove_addresses", "10.2.0.0/16", "10.9.0.1", status=404)
        assert absent.message == f"Addresses ['10.9.0.1/32'] not found in the address group {group['id']}."
        seen = (await api("GET", one)).json["address_group"]
        assert seen["addresses"] == ["10.2.0.0/16", "2001:db8::/64"] and seen["revision_number"] == 3
        for verb in ("add_addresses", "remove_addresses"):
            assert (await change(verb, "no address", status=400)).error == "AddrFormatError"
            assert (await change(verb, 7, status=400)).error == "AddrFormatError"
            for body in ({}, [], {"addresses": "10.0.0.0/8"}):
                assert (await api("PUT", f"{one}/{verb}", body)).status == 400
        renamed = await api("PUT", one, {"address_group": {"name": "places", "description": "ours"}})
        assert renamed.json["address_group"]["addresses"] == seen["addresses"]
        fixed = await api("PUT", one, {"address_group": {"addresses": []}})
        assert (fixed.status, fixed.message) == (400, "Cannot update read-only attribute addresses")
        (listed,) = (await api("GET", f"{PATH}?name=places")).json["address_groups"]
        assert listed == (await api("GET", one)).json["address_group"]
        assert (await api("DELETE", one)).status == 204
        gone = await api("GET", one)
        assert (gone.status, gone.message) == (404, f"Address group {group['id']} could not be found.")

    tell(story, tmp_path, kind)


def test_what_is_no_prefix_is_refused(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        for bad, why in (
            (["10.20.30.40"], "'10.20.30.40' is not a valid IP subnet"),
            (["nothing"], "'nothing' is not a valid IP subnet"),
            (["10.0.0.0/8", "10.0.0.0/8"], "Duplicate items in the list: '10.0.0.0/8'"),
            ("10.0.0.0/8", "'10.0.0.0/8' is not a list"),
        ):
            answer = await api("POST", PATH, {"address_group": {"addresses": bad}})
            assert (answer.status, answer.message) == (400, f"Invalid input for addresses. Reason: {why}.")
        alike = await api.make("address_group", addresses=["10.0.0.1/24", "10.0.0.2/24"])
        assert alike["addresses"] == ["10.0.0.0/24"]
        assert (await api.make("address_group", addresses=None))["addresses"] == []

    tell(story, tmp_path)


def test_only_its_project_uses_it(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        bob = api.as_("bob")
        group = await api.make("address_group", addresses=["10.0.0.0/8"])
        one = f"{PATH}/{group['id']}"
        assert (await bob("GET", one)).status == 404
        assert (await bob("PUT", f"{one}/add_addresses", {"addresses": ["10.0.0.0/9"]})).status == 404
        assert (await bob("GET", PATH)).json == {"address_groups": []}
        theirs = await bob.make("security_group", name="theirs")
        rule = {
            "security_group_id": theirs["id"],
            "direction": "ingress",
            "remote_address_group_id": group["id"],
        }
        answer = await bob("POST", "/v2.0/security-group-rules", {"security_group_rule": rule})
        assert (answer.status, answer.error) == (404, "AddressGroupNotFound")
        reader = await api.as_("reader")("PUT", f"{one}/add_addresses", {"addresses": ["10.0.0.0/9"]})
        assert (reader.status, reader.error) == (403, "PolicyNotAuthorized")

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_rules_refer_to_it(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        group = await api.make("address_group", addresses=["10.0.0.0/8"])
        web = await api.make("security_group", name="web")
        base = {"security_group_id": web["id"], "direction": "ingress", "protocol": "tcp"}
        rule = await api.make("security_group_rule", **base, remote_address_group_id=group["id"])
        assert rule["remote_address_group_id"] == group["id"] and rule["remote_ip_prefix"] is None
        anyone = await api.make("security_group_rule", **base)
        assert anyone["remote_address_group_id"] is None, "another rule than the one for the group"
        for double in (
            {"remote_group_id": web["id"]},
            {"remote_ip_prefix": "10.0.0.0/8"},
        ):
            body = {"security_group_rule": {**base, "remote_address_group_id": group["id"], **double}}
            answer = await api("POST", "/v2.0/security-group-rules", body)
            assert (answer.status, answer.error) == (400, "SecurityGroupMultipleRemoteEntites")
        same = {"security_group_rule": {**base, "remote_address_group_id": group["id"]}}
        again = await api("POST", "/v2.0/security-group-rules", same)
        assert (again.status, again.error) == (409, "SecurityGroupRuleExists")
        found = await api("GET", f"/v2.0/security-group-rules?remote_address_group_id={group['id']}")
        assert [one["id"] for one in found.json["security_group_rules"]] == [rule["id"]]
        used = await api("DELETE", f"{PATH}/{group['id']}")
        assert (used.status, used.error) == (409, "AddressGroupInUse")
        assert (await api("DELETE", f"/v2.0/security-group-rules/{rule['id']}")).status == 204
        assert (await api("DELETE", f"{PATH}/{group['id']}")).status == 204

    tell(story, tmp_path, kind)


def test_a_node_is_told_of_the_groups_that_its_rules_name(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        await api.report("h1")
        network, _ = await api.a_network()
        group = await api.make("address_group", addresses=["10.0.0.0/8"])
        empty = await api.make("address_group", name="empty")
        await api.make("address_group", name="unused", addresses=["10.9.0.0/16"])
        web = await api.make("security_group", name="web")
        for one in (group, empty):
            await api.make(
                "security_group_rule",
                security_group_id=web["id"],
                direction="ingress",
                remote_address_group_id=one["id"],
            )
        port = await api.make("port", network_id=network, security_groups=[web["id"]])
        assert (await api.switch("h1")).address_groups == ()
        await admin("PUT", f"/v2.0/ports/{port['id']}", {"port": {"binding:host_id": "h1"}})
        state = await api.switch("h1")
        told = {one.address_group_id: one.addresses for one in state.address_groups}
        assert told == {group["id"]: ("10.0.0.0/8",), empty["id"]: ()}
        (rules,) = [one.rules for one in state.security_groups if one.security_group_id == web["id"]]
        assert {one.remote_address_group_id for one in rules} == {None, group["id"], empty["id"]}
        # A prefix more wakes those who listen to the group, and nobody else.
        seen: dict[str, set[str]] = {}
        unsubscribe = await api.listen(
            lambda published: seen.update({event.kind: set(event.scopes) for event in published.events})
        )
        await api("PUT", f"{PATH}/{group['id']}/add_addresses", {"addresses": ["172.16.0.0/12"]})
        assert seen == {"address_group.update": {scopes.address_group(group["id"])}}
        await api("PUT", f"{PATH}/{group['id']}", {"address_group": {"name": "another"}})
        assert seen == {"address_group.update": set()}
        unsubscribe()
        only = await api.switch(
            "h1", devices=(), networks=(), security_groups=(), address_groups=(group["id"],)
        )
        assert [one.addresses for one in only.address_groups] == [("10.0.0.0/8", "172.16.0.0/12")]
        assert only.security_groups == ()

    tell(story, tmp_path)
