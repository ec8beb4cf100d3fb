"""Models of limits: pure checks of new limits against those above and below them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

UNLIMITED = -1

ModelName = Literal["flat", "strict_two_level"]

DESCRIPTIONS: Mapping[ModelName, str] = {
    "flat": "Limit enforcement and validation does not take project hierarchy into consideration.",
    "strict_two_level": "This model requires project hierarchy never exceeds a depth of two",
}


class Owned(msgspec.Struct, frozen=True):
    """A limit: of which project or domain (``owner_id``), of which registered limit, how much."""

    owner_id: str
    registered_limit_id: str
    amount: int


class Facts(msgspec.Struct, frozen=True):
    """The surroundings of new limits: the parents of owners (a domain's is None), the children of domains,
    limits that are there by owner and registered limit, and the defaults of registered limits."""

    parents: Mapping[str, str | None]
    children: Mapping[str, Sequence[str]]
    present: Mapping[tuple[str, str], int]
    defaults: Mapping[str, int]


def exceeds(amount: int, bound: int) -> bool:
    """Whether a limit is larger than another; -1 is larger than all, and as large as itself."""
    return bound != UNLIMITED and (amount == UNLIMITED or amount > bound)


def first_misfit(new: Sequence[Owned], facts: Facts) -> Owned | None:
    """The first of new limits that breaks the strict model of two levels: larger than that of its domain
    (or the default), or smaller than one of the domain's projects'."""
    after: dict[tuple[str, str], int] = dict(facts.present)
    after.update({(one.owner_id, one.registered_limit_id): one.amount for one in new})

    def of(owner_id: str, one: Owned) -> int | None:
        return after.get((owner_id, one.registered_limit_id))

    for one in new:
        parent = facts.parents.get(one.owner_id)
        if parent is not None:
            above = of(parent, one)
            bound = facts.defaults[one.registered_limit_id] if above is None else above
            if exceeds(one.amount, bound):
                return one
        else:
            below = (of(child, one) for child in facts.children.get(one.owner_id, ()))
            if any(amount is not None and exceeds(amount, one.amount) for amount in below):
                return one
    return None


def too_deep(parents: Mapping[str, str | None], domains: Iterable[str]) -> list[str]:
    """The projects that are deeper than directly below a domain, sorted."""
    tops = frozenset(domains)
    return sorted(key for key, parent in parents.items() if parent is not None and parent not in tops)


def description_of(values: Mapping[str, Any]) -> str:
    """The sentence of a limit that does not fit into its tree."""
    level = "project_id" if values.get("project_id") else "domain_id"
    return (
        f"The resource limit ({level}: {values.get(level)}, resource_name: {values['resource_name']}, "
        f"resource_limit: {values['resource_limit']}, service_id: {values['service_id']}, "
        f"region_id: {values['region_id']}) doesn't satisfy current hierarchy model."
    )
