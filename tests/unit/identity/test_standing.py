"""Who stands above whom."""

from __future__ import annotations

import pytest

from pileus.services.identity.rules.roles import RoleGraph
from pileus.services.identity.rules.standing import Caller, Held, is_above
from pileus.services.identity.seed import CLASSIC_ROLES, IMPLICATIONS, MODERN_ROLES

OWN, OTHER = "own", "other"
NAMES = (*MODERN_ROLES, *CLASSIC_ROLES, "chief", "boss", "clerk", "Admin")
IMPLIED: dict[str, tuple[str, ...]] = {}
for prior, implied in (*IMPLICATIONS, ("chief", "manager"), ("boss", "itsec")):
    IMPLIED[prior] = (*IMPLIED.get(prior, ()), implied)
GRAPH = RoleGraph({name: name for name in NAMES}, frozenset(), IMPLIED)
MANAGER = ("manager", "member", "reader")
ADMIN = ("admin", *MANAGER)


@pytest.mark.parametrize(
    ("role", "domain_id", "above"),
    [
        ("reader", OWN, False),
        ("member", OWN, False),
        ("manager", OWN, False),
        ("manager", OTHER, False),
        ("developer", OWN, False),
        ("projectmanager", OWN, False),
        ("clerk", OWN, False),
        ("admin", OWN, True),
        ("admin", OTHER, True),
        ("Admin", OWN, True),
        ("service", OWN, True),
        ("itsec", OWN, True),
        ("boss", OWN, True),
        ("chief", OWN, True),
        ("reader", None, True),
        ("admin", None, True),
    ],
)
def test_a_manager_of_a_domain(role, domain_id, above):
    assert is_above(GRAPH, Caller(MANAGER, OWN), Held(role, domain_id)) is above


@pytest.mark.parametrize(
    ("role", "domain_id", "above"),
    [
        ("admin", OWN, False),
        ("manager", OTHER, False),
        ("admin", OTHER, True),
        ("itsec", OTHER, True),
        ("service", OWN, True),
        ("reader", None, True),
        ("admin", None, True),
    ],
)
def test_an_administrator_of_a_domain(role, domain_id, above):
    assert is_above(GRAPH, Caller(ADMIN, OWN), Held(role, domain_id)) is above


@pytest.mark.parametrize(
    "caller", [Caller(ADMIN, unbounded=True), Caller(ADMIN, system=True, unbounded=True)]
)
@pytest.mark.parametrize("domain_id", [OWN, None])
def test_nobody_is_above_an_administrator_of_the_cloud(caller, domain_id):
    assert not any(is_above(GRAPH, caller, Held(role, domain_id)) for role in NAMES)


def test_a_project_manager_is_below_administrators_only():
    caller = Caller(("projectmanager", "member", "reader"))
    above = {role for role in NAMES if is_above(GRAPH, caller, Held(role, OWN))}
    assert above == {"admin", "Admin", "service", "itsec", "boss"}


@pytest.mark.parametrize(
    ("role", "above"), [("clerk", False), ("reader", True), ("chief", True), ("boss", True)]
)
def test_a_role_on_the_system_that_no_rule_names(role, above):
    caller = Caller(MANAGER, OWN)
    assert is_above(GRAPH, caller, Held(role, None))
    assert is_above(GRAPH, caller, Held(role, None), named_only=True) is above
