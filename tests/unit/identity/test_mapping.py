"""Keystone's mapping language, by the examples of its guide and by what must not work."""

from __future__ import annotations

from typing import Any

import pytest

from pileus.services.identity.rules.mapping import BadMapping, Mapped, NotMapped, mapping_apply, mapping_check

LOCAL_USER: Any = {"user": {"name": "{0}"}}


def apply(rules: list[dict[str, Any]], version: str = "1.0", **claims: Any) -> Mapped:
    mapping_check(rules, version)
    return mapping_apply(rules, version, {name: _list(value) for name, value in claims.items()})


def _list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def rule(*remote: dict[str, Any], local: Any = None) -> dict[str, Any]:
    return {"local": local if local is not None else [LOCAL_USER], "remote": list(remote)}


NAME = {"type": "UserName"}


def test_a_user_by_name_and_mail():
    local = [{"user": {"name": "{0} {1}", "email": "{2}"}}, {"group": {"id": "0cd5e9"}}]
    rules = [rule({"type": "FirstName"}, {"type": "LastName"}, {"type": "Email"}, local=local)]
    found = apply(rules, FirstName="John", LastName="Smith", Email="jsmith@example.com")
    assert found.user == {"name": "John Smith", "email": "jsmith@example.com", "type": "ephemeral"}
    assert found.group_ids == ("0cd5e9",)


def test_no_condition_needs_values():
    with pytest.raises(NotMapped):
        apply([rule(NAME)], Other="x")
    with pytest.raises(NotMapped):
        apply([rule(NAME, {"type": "Missing"})], UserName="x")


@pytest.mark.parametrize(
    ("condition", "values", "holds"),
    [
        ({"any_one_of": ["Contractor", "SubContractor"]}, ["Contractor"], True),
        ({"any_one_of": ["Contractor", "SubContractor"]}, ["Employee"], False),
        ({"any_one_of": ["Contractor"]}, ["Employee", "Contractor"], True),
        ({"not_any_of": ["Contractor", "Guest"]}, ["Employee"], True),
        ({"not_any_of": ["Contractor", "Guest"]}, ["Employee", "Guest"], False),
        ({"any_one_of": [".*@example.com$"], "regex": True}, ["a@example.com"], True),
        ({"any_one_of": [".*@example.com$"], "regex": True}, ["a@example.org"], False),
        ({"any_one_of": ["mid"], "regex": True}, ["in the middle"], True),
        ({"any_one_of": [".*@yeah.com$"], "regex": False}, ["a@yeah.com"], False),
        ({"not_any_of": ["^\\w*@evil"], "regex": True}, ["a@evil.com"], False),
        ({"not_any_of": ["^\\w*@evil"], "regex": True}, ["a@good.com"], True),
    ],
)
def test_conditions(condition: dict[str, Any], values: list[str], holds: bool):
    rules = [rule(NAME, {"type": "kind", **condition})]
    if holds:
        assert apply(rules, UserName="x", kind=values).user["name"] == "x"
    else:
        with pytest.raises(NotMapped):
            apply(rules, UserName="x", kind=values)


def test_conditions_that_judge_take_no_number():
    judged = {"type": "kind", "any_one_of": ["a"]}
    rules = [rule(judged, NAME)]
    assert apply(rules, UserName="x", kind="a").user["name"] == "x"


GROUPS: Any = [LOCAL_USER, {"groups": "{1}", "domain": {"name": "d"}}]


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ({}, ["a", "b", "c"]),
        ({"whitelist": ["a", "z"]}, ["a"]),
        ({"blacklist": ["a", "z"]}, ["b", "c"]),
        ({"whitelist": ["^[bc]"], "regex": True}, ["b", "c"]),
        ({"blacklist": ["^[bc]"], "regex": True}, ["a"]),
        ({"whitelist": ["z"]}, []),
    ],
)
def test_groups_by_name_are_picked(condition: dict[str, Any], names: list[str]):
    rules = [rule(NAME, {"type": "groups", **condition}, local=GROUPS)]
    found = apply(rules, UserName="x", groups=["a", "b", "c"])
    assert [one["name"] for one in found.groups] == names
    assert all(one["domain"] == {"name": "d"} for one in found.groups)


def test_groups_in_all_forms():
    local = [
        LOCAL_USER,
        {"group": {"id": "i1"}},
        {"group": {"name": "n1", "domain": {"id": "d"}}},
        {"group": {"name": "n1", "domain": {"id": "d"}}},
        {"group_ids": "['i2', 'i3']"},
        {"group_ids": "i1"},
        {"groups": "['n2', 'n3']", "domain": {"id": "d"}},
        {"groups": "n4", "domain": {"id": "d"}},
    ]
    found = apply([rule(NAME, local=local)], UserName="x")
    assert found.group_ids == ("i1", "i2", "i3")
    assert [one["name"] for one in found.groups] == ["n1", "n2", "n3", "n4"]


def test_rules_add_up_and_the_first_user_counts():
    second = rule(
        {"type": "kind", "any_one_of": ["a"]}, local=[{"user": {"name": "other"}}, {"group": {"id": "g"}}]
    )
    found = apply([rule(NAME), second, rule({"type": "no"})], UserName="x", kind="a")
    assert found.user["name"] == "x" and found.group_ids == ("g",)


def test_a_claim_is_one_text_whatever_stands_in_it():
    rules = [rule(NAME, {"type": "groups"}, local=GROUPS)]
    for text in ("a;admins", "['admins']", "{0}", "{2}", "JSON:[]"):
        found = apply(rules, UserName=text, groups=[text])
        assert found.user["name"] == text
        assert [one["name"] for one in found.groups] == [text]


def test_places_are_numbers_only():
    local = [{"user": {"name": "{0}", "email": "{0.__class__} {x} {{0}} {}"}}]
    found = apply([rule(NAME, local=local)], UserName="x")
    assert found.user["email"] == "{0.__class__} {x} {x} {}"
    with pytest.raises(NotMapped):
        apply([rule(NAME, local=[{"user": {"name": "{1}"}}])], UserName="x")


def test_several_values_in_a_name():
    assert apply([rule(NAME)], UserName=["x", "y"]).user["name"] == "['x', 'y']"


def test_local_users_and_domains():
    local = [{"user": {"name": "{0}", "type": "local", "domain": {"id": "d"}}}]
    assert apply([rule(NAME, local=local)], UserName="x").user["type"] == "local"
    local = [{"user": {"name": "{0}"}, "domain": {"name": "{1}"}}]
    rules = [rule(NAME, {"type": "org"}, local=local)]
    assert "domain" not in apply(rules, UserName="x", org="o").user
    assert apply(rules, "2.0", UserName="x", org="o").user["domain"] == {"name": "o"}


def test_projects():
    projects = [{"name": "Development for {0}", "roles": [{"name": "admin"}]}]
    rules = [rule(NAME, local=[LOCAL_USER, {"projects": projects}])]
    assert apply(rules, UserName="x").projects == (
        {"name": "Development for x", "roles": [{"name": "admin"}]},
    )
    rules = [rule(NAME, local=[LOCAL_USER, {"projects": projects, "domain": {"id": "d"}}])]
    assert apply(rules, "2.0", UserName="x").projects[0]["domain"] == {"id": "d"}


def test_projects_that_the_provider_names():
    local = [LOCAL_USER, {"projects_json": "{1}", "domain": {"id": "d"}}]
    rules = [rule(NAME, {"type": "projects"}, local=local)]
    text = '[{"name": "p", "roles": [{"name": "reader"}]}]'
    found = apply(rules, "3.0", UserName="x", projects=text)
    assert found.projects == ({"domain": {"id": "d"}, "name": "p", "roles": [{"name": "reader"}]},)
    for bad in ("x", "[1]", '[{"name": "p"}]', '[{"name": "p", "roles": "admin"}]', "[" * 5000):
        with pytest.raises(NotMapped):
            apply(rules, "3.0", UserName="x", projects=bad)


@pytest.mark.parametrize(
    ("rules", "version"),
    [
        ([], "1.0"),
        ("x", "1.0"),
        ([{}], "1.0"),
        ([rule()], "1.0"),
        ([{**rule(NAME), "x": 1}], "1.0"),
        ([rule({"any_one_of": []})], "1.0"),
        ([rule({"type": "a", "any_one_of": "a"})], "1.0"),
        ([rule({"type": "a", "any_one_of": [1]})], "1.0"),
        ([rule({"type": "a", "any_one_of": ["("], "regex": True})], "1.0"),
        ([rule({"type": "a", "any_one_of": ["(?=a)"], "regex": True})], "1.0"),
        ([rule({"type": "a", "whitelist": [], "blacklist": []})], "1.0"),
        ([rule({"type": "a", "regex": True})], "1.0"),
        ([rule(NAME, local=[{"user": {"name": 1}}])], "1.0"),
        ([rule(NAME, local=[{"user": {"type": "other"}}])], "1.0"),
        ([rule(NAME, local=[{"group": {"name": "x"}}])], "1.0"),
        ([rule(NAME, local=[{"group": {}}])], "1.0"),
        ([rule(NAME, local=[{"other": {}}])], "1.0"),
        ([rule(NAME, local=[{"projects": [{"name": "x"}]}])], "1.0"),
        ([rule(NAME, local=[{"projects": [{"name": "x", "roles": [], "domain": {}}]}])], "1.0"),
        ([rule(NAME, local=[{"projects_json": "{0}"}])], "2.0"),
        ([rule(NAME)], "4.0"),
    ],
)
def test_mappings_of_another_form_are_refused(rules: Any, version: str):
    with pytest.raises(BadMapping):
        mapping_check(rules, version)


def test_groups_need_a_domain():
    with pytest.raises(NotMapped):
        apply([rule(NAME, local=[LOCAL_USER, {"groups": "x"}])], UserName="x")


def test_expressions_are_linear():
    rules = [rule(NAME, {"type": "x", "any_one_of": ["^(a+)+$"], "regex": True})]
    with pytest.raises(NotMapped):
        apply(rules, UserName="x", x="a" * 50_000 + "b")


def test_groups_with_domains_of_their_own_are_json_where_the_rule_has_no_domain():
    rule = {
        "local": [{"user": {"name": "{0}"}}, {"groups": "{1}"}],
        "remote": [{"type": "UserName"}, {"type": "Groups"}],
    }
    one = 'JSON:{"name":"g1","domain":{"name":"Default"}}'
    two = 'JSON:{"name":"g2","domain":{"id":"d"}}'
    found = mapping_apply([rule], "1.0", {"UserName": ["ann"], "Groups": [one, two]})
    assert list(found.groups) == [
        {"name": "g1", "domain": {"name": "Default"}},
        {"name": "g2", "domain": {"id": "d"}},
    ]
    for wrong in ("g1", "JSON:", "JSON:[]", 'JSON:{"name":"g1"}', 'JSON:{"name":"g","domain":{}}'):
        with pytest.raises(NotMapped):
            mapping_apply([rule], "1.0", {"UserName": ["ann"], "Groups": [wrong]})
    rule["local"][1] = {"groups": "{1}", "domain": {"id": "mine"}}
    named = mapping_apply([rule], "1.0", {"UserName": ["ann"], "Groups": [two]})
    assert list(named.groups) == [{"name": two, "domain": {"id": "mine"}}], "no claim chooses the domain"
