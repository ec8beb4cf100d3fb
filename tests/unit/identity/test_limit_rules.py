"""Limits in a tree of two levels."""

from __future__ import annotations

import pytest

from pileus.services.identity.rules.limits import Facts, Owned, exceeds, first_misfit, too_deep


@pytest.mark.parametrize(
    ("amount", "bound", "wanted"),
    [
        (5, 5, False),
        (6, 5, True),
        (0, 0, False),
        (-1, 5, True),
        (5, -1, False),
        (-1, -1, False),
        (1, 0, True),
    ],
)
def test_unlimited_is_more_than_everything(amount, bound, wanted):
    assert exceeds(amount, bound) is wanted


FACTS = Facts(
    parents={"web": "acme", "acme": None, "lone": None},
    children={"acme": ["web", "db"]},
    present={("acme", "r"): 10, ("db", "r"): 7},
    defaults={"r": 5},
)


@pytest.mark.parametrize(
    ("new", "misfit"),
    [
        ([Owned("web", "r", 10)], None),
        ([Owned("web", "r", 11)], 0),
        ([Owned("web", "r", -1)], 0),
        ([Owned("acme", "r", 7)], None),
        ([Owned("acme", "r", 6)], 0),
        ([Owned("acme", "r", -1)], None),
        # of one request both count, in either order
        ([Owned("acme", "r", 20), Owned("web", "r", 20)], None),
        ([Owned("web", "r", 21), Owned("acme", "r", 20)], 0),
        ([Owned("lone", "r", 0)], None),
    ],
)
def test_the_first_that_does_not_fit(new, misfit):
    wanted = None if misfit is None else new[misfit]
    assert first_misfit(new, FACTS) == wanted


def test_a_project_is_bounded_by_the_default_where_its_domain_has_no_limit():
    facts = Facts(parents={"web": "acme"}, children={}, present={}, defaults={"r": 5})
    assert first_misfit([Owned("web", "r", 5)], facts) is None
    assert first_misfit([Owned("web", "r", 6)], facts) == Owned("web", "r", 6)


def test_projects_below_projects_are_too_deep():
    parents = {"web": "acme", "test": "web", "unit": "test"}
    assert too_deep(parents, ["acme"]) == ["test", "unit"]
