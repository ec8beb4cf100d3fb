"""Random rules, callers and targets: Pileus and oslo.policy give the same answer, and so does SQL."""

import datetime as dt

from hypothesis import given, settings
from hypothesis import strategies as st
from oslo_config import cfg
from oslo_policy import policy as oslo
from sqlalchemy import Boolean, Column, Integer, MetaData, String, Table, create_engine, select

from pileus.core.context import Context
from pileus.policy import Enforcer, Rule

NAMES = st.sampled_from(["a", "b", "c", "None", "True", "admin"])
KEYS = ["project_id", "user_id", "network:project_id", "target.user.id", "shared", "size"]

CONTEXTS = st.builds(
    Context,
    now=st.just(dt.datetime(2026, 1, 1)),
    user_id=st.none() | NAMES,
    project_id=st.none() | NAMES,
    domain_id=st.none() | NAMES,
    project_domain_id=NAMES,
    system_scope=st.booleans(),
    is_admin=st.booleans(),
    roles=st.lists(st.sampled_from(["Admin", "member", "reader", "a"]), max_size=3).map(tuple),
)

VALUES = {
    "project_id": st.none() | NAMES,
    "user_id": st.none() | NAMES,
    "network:project_id": NAMES,
    "target.user.id": st.none() | NAMES,
    "shared": st.none() | st.booleans(),
    "size": st.none() | st.integers(-1, 2),
}
ROWS = st.fixed_dictionaries(VALUES)
TARGETS = st.fixed_dictionaries({}, optional=VALUES)

TEMPLATES = st.one_of(
    st.sampled_from(KEYS).map(lambda key: f"%({key})s"),
    st.sampled_from(KEYS).map(lambda key: f"a%({key})s"),
    st.just("%(project_id)s%(size)s"),
    st.just("%(gone)s"),
    st.sampled_from(["a", "all", "True", "False", "None", "50%%", "0", "1"]),
)
ATTRIBUTES = (
    "user_id",
    "project_id",
    "tenant_id",
    "domain_id",
    "system_scope",
    "is_admin",
    "roles",
    "unknown",
)
OF_TOKEN = ("token.domain.id", "token.project.domain.id", "token.user.id", "token.gone")
LITERALS = ("'a'", '"aa"', "None", "True", "False", "0", "1", "-1", "'aNone'", "'None1'")
LEFT = st.sampled_from([*ATTRIBUTES, *OF_TOKEN, *LITERALS, "user.id"])
LEAVES = st.one_of(
    st.sampled_from(["@", "!", "rule:base", "rule:other", "system_scope:all", "is_admin:True"]),
    st.sampled_from(["role:admin", "role:ADMIN", "role:member", "role:nobody", "role:%(user_id)s"]),
    st.builds("{}:{}".format, LEFT, TEMPLATES),
)
RULES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds("{} and {}".format, inner, inner),
        st.builds("{} or {}".format, inner, inner),
        st.builds("{} OR {} And {}".format, inner, inner, inner),
        inner.map("( {})".format),
        inner.map("(({} ) )".format),
        LEAVES.map("not {}".format),
        inner.map("not ({})".format),
        inner.map("not not ({})".format),
    ),
    max_leaves=8,
)


def texts(rule: str, base: str, other: str) -> dict[str, str]:
    return {"the": rule, "base": base, "other": other}


OTHERS = st.sampled_from(["role:admin", "is_admin:True or project_id:%(project_id)s", "", "not user_id:b"])


def ours(rules: dict[str, str]) -> Enforcer:
    return Enforcer([Rule(name, text) for name, text in rules.items()], {})


def theirs(rules: dict[str, str]) -> oslo.Enforcer:
    enforcer = oslo.Enforcer(
        cfg.ConfigOpts(), rules=oslo.Rules.from_dict(rules), use_conf=False, default_rule="none"
    )
    enforcer.load_rules = lambda force_reload=False: None  # never look for files
    return enforcer


def credentials(context: Context) -> dict[str, object]:
    token = {
        "user": {"id": context.user_id},
        "domain": {"id": context.domain_id},
        "project": {"id": context.project_id, "domain": {"id": context.project_domain_id}},
    }
    # Keystone's tokens lack what their scope lacks.
    token = {name: part for name, part in token.items() if part["id"] is not None}
    return context.credentials() | {"roles": list(context.roles), "token": token}


@settings(max_examples=600, deadline=None)
@given(rule=RULES, base=OTHERS, other=OTHERS, context=CONTEXTS, target=TARGETS)
def test_check_agrees_with_oslo_policy(rule, base, other, context, target):
    rules = texts(rule, base, other)
    decision = ours(rules).check("the", context, target)
    checks = oslo.Rules.from_dict(rules)
    expected = checks["the"](target, credentials(context), theirs(rules))
    assert decision.allowed is bool(expected)
    assert bool(decision.reason) is not decision.allowed


@settings(max_examples=300, deadline=None)
@given(rule=RULES, base=OTHERS, other=OTHERS, context=CONTEXTS, target=TARGETS, another=TARGETS)
def test_a_rule_that_needs_no_target_ignores_it(rule, base, other, context, target, another):
    enforcer = ours(texts(rule, base, other))
    if not enforcer.needs_target("the"):
        assert enforcer.check("the", context, target) == enforcer.check("the", context, another)


metadata = MetaData()
table = Table(
    "things",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("project_id", String(36)),
    Column("user_id", String(36)),
    Column("network_project_id", String(36)),
    Column("target_user_id", String(36)),
    Column("shared", Boolean),
    Column("size", Integer),
)
COLUMNS = {key: table.c[key.replace(":", "_").replace(".", "_")] for key in KEYS}
engine = create_engine("sqlite://")
metadata.create_all(engine)


@settings(max_examples=400, deadline=None)
@given(rule=RULES, base=OTHERS, other=OTHERS, context=CONTEXTS, rows=st.lists(ROWS, min_size=1, max_size=12))
def test_the_condition_selects_the_rows_that_check_allows(rule, base, other, context, rows):
    enforcer = ours(texts(rule, base, other))
    expected = {n for n, row in enumerate(rows) if enforcer.check("the", context, row).allowed}
    condition = enforcer.condition("the", context, COLUMNS)
    if isinstance(condition, bool):
        assert expected == (set(range(len(rows))) if condition else set())
        return
    with engine.begin() as connection:
        connection.execute(
            table.insert(),
            [{COLUMNS[k].name: v for k, v in row.items()} | {"number": n} for n, row in enumerate(rows)],
        )
        selected = set(connection.execute(select(table.c.number).where(condition)).scalars())
        connection.rollback()
    assert selected == expected
