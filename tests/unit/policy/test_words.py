"""The words of each service's policy are OpenStack's, and saying one anew says it for all that use it."""

from __future__ import annotations

import pytest

from pileus.core.clock import ManualClock
from pileus.core.context import Context
from pileus.policy import Enforcer, Rule
from pileus.services.compute import policy as compute
from pileus.services.identity.common import policy as identity

TARGET = {"project_id": "p", "user_id": "u"}


def caller(*roles: str, project_id: str = "p") -> Context:
    return Context(now=ManualClock().now(), user_id="u", project_id=project_id, roles=roles)


@pytest.mark.parametrize(
    ("check", "word"),
    [
        (compute.ADMIN_OR_READER, "project_reader_or_admin"),
        (compute.ADMIN_OR_READER, "project_reader_api"),
        (compute.ADMIN_OR_MANAGER, "project_manager_or_admin"),
    ],
)
def test_novas_words_count_where_they_are_said_anew(check, word):
    role = "manager" if "manager" in word else "reader"
    usual = Enforcer([*compute.BASE_RULES, Rule("x", check)], {})
    changed = Enforcer([*compute.BASE_RULES, Rule("x", check)], {word: "role:auditor"})
    assert usual.check("x", caller(role), TARGET).allowed
    assert not usual.check("x", caller(role, project_id="q"), TARGET).allowed
    assert not usual.check("x", caller("auditor"), TARGET).allowed
    assert not changed.check("x", caller(role), TARGET).allowed
    assert changed.check("x", caller("auditor"), TARGET).allowed


def test_keystones_owner_counts_where_it_is_said_anew():
    rules = [*identity.BASE_RULES, Rule("x", identity.OWNER_OR_READ), Rule("y", "rule:admin_or_owner")]
    usual, changed = Enforcer(rules, {}), Enforcer(rules, {"owner": "!"})
    for name in "xy":
        assert usual.check(name, caller("member"), TARGET).allowed
        assert not changed.check(name, caller("member"), TARGET).allowed
        assert changed.check(name, caller("admin"), TARGET).allowed
