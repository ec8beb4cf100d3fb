"""Which roles follow from which, by example and by property."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pileus.services.identity.assignments.work import Assignment, effective_assignments
from pileus.services.identity.rules.projects import children_of, subtree
from pileus.services.identity.rules.roles import RoleGraph, RoleRef, closure, effective
from pileus.services.identity.standing.grants import Grant

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
        for one in effective_assignments(direct, {"g": ["u", "v"]}, GRAPH, {})
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


def test_an_inherited_grant_counts_below_and_not_where_it_is():
    inherited = Grant("user", "u", "domain", "d", "2", inherited=True)
    direct = Grant("user", "u", "project", "b", "3")
    found = effective_assignments(
        [Assignment(inherited), Assignment(direct)], {}, GRAPH, {"d": ["a"], "a": ["b", "c"]}
    )
    assert {(one.grant.target_id, one.grant.role_id): one.origin for one in found} == {
        ("a", "2"): inherited,
        ("a", "3"): inherited,
        ("b", "2"): inherited,
        ("b", "3"): None,
        ("c", "2"): inherited,
        ("c", "3"): inherited,
    }


def test_a_subtree_is_all_below_and_nothing_else():
    children = children_of([("a", "d"), ("b", "a"), ("c", "a"), ("e", "b"), ("x", "y"), ("d", None)])
    assert subtree(children, "d") == ["a", "b", "c", "e"]
    assert subtree(children, "b") == ["e"]
    assert subtree(children, "e") == []
