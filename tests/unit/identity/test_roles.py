"""Which roles follow from which, by example and by property."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pileus.services.identity.assignments import Assignment, effective_assignments
from pileus.services.identity.grants import Grant
from pileus.services.identity.rules.roles import RoleGraph, RoleRef, closure, effective

GRAPH = RoleGraph(
    {"1": "admin", "2": "member", "3": "reader", "9": "local"},
    frozenset({"9"}),
    {"1": ("2",), "2": ("3",), "9": ("3",)},
)


def test_a_chain_is_followed_and_sorted_by_name():
    assert effective(GRAPH, ["1"]) == (RoleRef("1", "admin"), RoleRef("2", "member"), RoleRef("3", "reader"))
    assert effective(GRAPH, []) == ()
    assert effective(GRAPH, ["gone"]) == ()


def test_a_role_of_a_domain_brings_what_it_implies_and_not_itself():
    assert effective(GRAPH, ["9"]) == (RoleRef("3", "reader"),)


IDS = st.sampled_from("abcdef")
GRAPHS = st.dictionaries(IDS, st.lists(IDS, max_size=3).map(tuple)).map(
    lambda implied: RoleGraph({role: role for role in "abcde"}, frozenset(), implied)
)


@given(graph=GRAPHS, granted=st.sets(IDS))
def test_the_closure_is_the_smallest_set_that_is_closed(graph, granted):
    found = closure(graph, granted)
    assert {role for role, prior in found.items() if prior is None} == granted & set(graph.names)
    for role in found:
        assert set(graph.implications.get(role, ())) & set(graph.names) <= set(found)
    for role, prior in found.items():
        assert prior is None or role in graph.implications[prior]


def test_effective_assignments_expand_groups_and_implications_once():
    direct = [
        Assignment(Grant("user", "u", "project", "p", "2")),
        Assignment(Grant("group", "g", "project", "p", "1")),
        Assignment(Grant("group", "g", "system", "system", "9")),
    ]
    found = {
        (one.grant.actor_id, one.grant.target_id, one.grant.role_id): (one.via_group, one.prior_role)
        for one in effective_assignments(direct, {"g": ["u", "v"]}, GRAPH)
    }
    assert found == {
        ("u", "p", "2"): (None, None),
        ("u", "p", "3"): (None, "2"),
        ("u", "p", "1"): ("g", None),
        ("v", "p", "1"): ("g", None),
        ("v", "p", "2"): ("g", "1"),
        ("v", "p", "3"): ("g", "2"),
        ("u", "system", "3"): ("g", "9"),
        ("v", "system", "3"): ("g", "9"),
    }
