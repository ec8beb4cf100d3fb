"""The rule language by example: messages, field checks, override files."""

import datetime as dt
import json

import pytest
from sqlalchemy import Boolean, Column, MetaData, String, Table, create_engine, select

from pileus.core.context import Context
from pileus.policy import Enforcer, Policies, PolicyError, Rule, load_policy, parse_overrides

MEMBER = Context(now=dt.datetime(2026, 1, 1), user_id="u1", project_id="p1", roles=("member", "reader"))
ADMIN = Context(now=dt.datetime(2026, 1, 1), project_id="p0", roles=("admin",), is_admin=True)

RULES = [
    Rule("context_is_admin", "role:admin"),
    Rule("admin_or_owner", "rule:context_is_admin or project_id:%(project_id)s"),
    Rule("shared", "field:networks:shared=True"),
    Rule("get_network", "rule:admin_or_owner or rule:shared"),
    Rule("update_network", "role:member and project_id:%(project_id)s or rule:context_is_admin"),
    Rule("network_device", "field:port:device_owner=~^network:"),
    Rule("create_port:device_owner", "not rule:network_device or rule:context_is_admin"),
    Rule("anybody", ""),
]


def test_a_refusal_names_the_clause_that_failed():
    enforcer = Enforcer(RULES, {})
    assert enforcer.check("get_network", MEMBER, {"project_id": "p2", "shared": False}).reason == (
        "get_network: the caller lacks the role 'admin' and the caller's project_id is not "
        "the target's project_id and the target's shared is not 'True'."
    )
    assert enforcer.check("update_network", MEMBER, {"project_id": "p2"}).reason == (
        "update_network: the caller's project_id is not the target's project_id and "
        "the caller lacks the role 'admin'."
    )
    assert enforcer.check(
        "create_port:device_owner", MEMBER, {"device_owner": "network:dhcp"}
    ).reason.startswith("create_port:device_owner: the target's device_owner is '~^network:'")


@pytest.mark.parametrize(
    ("rule", "context", "target", "allowed"),
    [
        ("get_network", MEMBER, {"project_id": "p1", "shared": False}, True),
        ("get_network", MEMBER, {"project_id": "p2", "shared": True}, True),
        ("get_network", MEMBER, {"project_id": "p2", "shared": None}, False),
        ("get_network", MEMBER, {}, False),
        ("get_network", ADMIN, {"project_id": "p2"}, True),
        ("create_port:device_owner", MEMBER, {"device_owner": "compute:nova"}, True),
        ("create_port:device_owner", MEMBER, {"device_owner": "network:dhcp"}, False),
        ("create_port:device_owner", ADMIN, {"device_owner": "network:dhcp"}, True),
        ("create_port:device_owner", MEMBER, {"device_owner": None}, True),
        ("anybody", MEMBER, {}, True),
    ],
)
def test_check(rule, context, target, allowed):
    assert Enforcer(RULES, {}).check(rule, context, target).allowed is allowed


def test_needs_target_is_seen_through_references():
    enforcer = Enforcer(RULES, {})
    assert not enforcer.needs_target("context_is_admin")
    assert not enforcer.needs_target("anybody")
    assert enforcer.needs_target("get_network")
    assert enforcer.needs_target("create_port:device_owner")


def test_overrides_replace_and_add():
    enforcer = Enforcer(RULES, {"anybody": "rule:mine", "mine": "role:operator"})
    assert not enforcer.check("anybody", MEMBER, {}).allowed
    assert "mine" in enforcer and "yours" not in enforcer


def test_field_conditions_select_the_rows_that_check_allows():
    table = Table(
        "nets",
        MetaData(),
        Column("project_id", String(36)),
        Column("shared", Boolean),
        Column("device_owner", String(36)),
    )
    engine = create_engine("sqlite://")
    table.create(engine)
    rows = [
        {"project_id": project, "shared": shared, "device_owner": owner}
        for project in ("p1", "p2")
        for shared in (True, False, None)
        for owner in ("network:dhcp", "compute:nova", "Network:x", "", None)
    ]
    enforcer = Enforcer(
        [
            *RULES,
            Rule("digits", "field:ports:device_owner=~.*:[a-z]{4}$"),
            Rule("nova", "field:ports:device_owner=compute:nova"),
            Rule("not_nova", "not rule:nova and not rule:shared"),
        ],
        {},
    )
    with engine.begin() as connection:
        connection.execute(table.insert(), rows)
        for name in ("get_network", "create_port:device_owner", "network_device", "digits", "not_nova"):
            condition = enforcer.condition(name, MEMBER, dict(table.c))
            selected = sorted(connection.execute(select(table).where(condition)).all(), key=repr)
            expected = sorted(
                (tuple(row.values()) for row in rows if enforcer.check(name, MEMBER, row).allowed), key=repr
            )
            assert [tuple(row) for row in selected] == expected
    assert enforcer.condition("get_network", ADMIN, dict(table.c)) is True
    assert enforcer.condition("context_is_admin", MEMBER, dict(table.c)) is False


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rule:gone", "Policy rule 'r', column 1: there is no rule 'gone'."),
        ("@ and rule:gone", "Policy rule 'r', column 7: there is no rule 'gone'."),
        ("rule:r", "Policy rule 'r', column 1: the rule refers to itself: r → r."),
        ("role:a role:b", "Policy rule 'r', column 8: 'and' or 'or' expected before 'role:b'."),
        ("role:a and", "Policy rule 'r', column 11: a check is missing at the end."),
        ("(role:a", "Policy rule 'r', column 8: the parenthesis of column 1 is not closed."),
        ("(role:a role:b)", "Policy rule 'r', column 9: the parenthesis of column 1 is not closed."),
        ("role:a )", "Policy rule 'r', column 8: 'and' or 'or' expected before ')'."),
        ("or role:a", "Policy rule 'r', column 1: a check expected before 'or'."),
        ("admin", "Policy rule 'r', column 1: 'admin' is not a check: 'kind:match', '@' or '!' expected."),
        ("   ", "Policy rule 'r', column 4: a check is missing at the end."),
        ("user_id:%(x)d", "Policy rule 'r', column 9: '%(key)s' or '%%' expected after '%'."),
        ("field:networks:shared", "Policy rule 'r', column 7: 'networks:shared' is not of the form "),
        ("field:port:x=~(", "Policy rule 'r', column 7: '(' is not a regular expression: "),
        ("http://host/%(x)s", "Policy rule 'r', column 1: checks that ask a web server are not supported."),
        ("@x:y", "Policy rule 'r', column 1: '@x' is neither a literal nor an attribute of the caller."),
    ],
)
def test_a_broken_rule_is_refused_with_its_place(text, message):
    with pytest.raises(PolicyError) as caught:
        Enforcer([Rule("r", text)], {})
    assert str(caught.value).startswith(message)


def test_a_longer_circle_is_shown():
    with pytest.raises(PolicyError, match="the rule refers to itself: a → b → c → a"):
        Enforcer([Rule("a", "rule:b"), Rule("b", "@ or rule:c"), Rule("c", "rule:a")], {})


def test_override_files(tmp_path):
    expected = {"admin_required": "role:admin", "identity:list_users": "rule:admin_required or @", "open": ""}
    as_json = tmp_path / "policy.json"
    as_json.write_text(json.dumps(expected))
    assert load_policy(str(as_json), "") == {"": expected}
    as_yaml = tmp_path / "policy.yaml"
    as_yaml.write_text(
        "---\n# ours\n"
        '"admin_required": "role:admin"\n\n'
        "'identity:list_users':  rule:admin_required or @   # everyone\n"
        '#"identity:get_user": "!"\nopen: \'\'\n'
    )
    assert load_policy(str(as_yaml), "") == {"": expected}
    assert load_policy("", "") == {}


def test_override_files_by_service(tmp_path):
    every = tmp_path / "policy.yaml"
    every.write_text('open: "@"\nnetwork:  # Neutron\n  get_port: role:reader\n\nlast: "!"\n')
    folder = tmp_path / "policy.d"
    folder.mkdir()
    (folder / "network.json").write_text('{"get_port": "role:own", "network": {"get_network": "@"}}')
    (folder / "identity.yaml").write_text('"identity:get_user": "role:manager"\n')
    (folder / "README").write_text("not a policy")
    assert load_policy(str(every), str(folder)) == {
        "": {"open": "@", "last": "!"},
        "network": {"get_port": "role:own", "get_network": "@"},
        "identity": {"identity:get_user": "role:manager"},
    }
    (folder / "identity.yaml").write_text('network:\n  get_port: "@"\n')
    with pytest.raises(PolicyError, match="another service than identity"):
        load_policy("", str(folder))


def test_each_service_has_rules_of_its_own():
    owner = {
        "network": [Rule("owner", "project_id:%(project_id)s"), Rule("get_port", "rule:owner")],
        "volume": [Rule("owner", "user_id:%(user_id)s"), Rule("volume:get", "rule:owner")],
    }
    mine, others = {"project_id": MEMBER.project_id, "user_id": "x"}, {"project_id": "x", "user_id": "x"}
    policies = Policies(owner, {})
    assert policies.of("network").check("get_port", MEMBER, mine).allowed
    assert not policies.of("volume").check("volume:get", MEMBER, mine).allowed
    assert "volume:get" not in policies.of("network")
    # What is for every service replaces rules wherever they are declared; helpers come along.
    common = {"owner": "rule:helper", "helper": "@", "unasked": "rule:nowhere"}
    policies = Policies(owner, {"": common, "volume": {"owner": "!"}})
    assert policies.of("network").check("get_port", MEMBER, others).allowed
    assert not policies.of("volume").check("volume:get", MEMBER, others).allowed
    assert "helper" in policies.of("network") and "unasked" not in policies.of("network")
    # A service's own rule may refer to a helper that is for all.
    policies = Policies(owner, {"": common, "volume": {"owner": "rule:helper and role:x"}})
    assert "helper" in policies.of("volume")
    with pytest.raises(PolicyError, match="no such service"):
        Policies(owner, {"volumes": {"owner": "!"}})


@pytest.mark.parametrize("text", ['{"a": ["role:x"]}', '{"a": ', "a\n", '"a" "b"\n', "a:\n  - role:x\n"])
def test_an_override_file_that_cannot_be_read_is_refused(text):
    with pytest.raises(PolicyError):
        parse_overrides(text)


def test_one_name_has_one_meaning() -> None:
    same = Rule("owner", "project_id:%(project_id)s")
    assert "owner" in Enforcer([same, Rule("owner", same.check_str, "said again")], {})
    with pytest.raises(PolicyError, match=r"'owner'.*differently"):
        Enforcer([same, Rule("owner", "user_id:%(user_id)s")], {})
