"""Which providers can give what is asked together: Placement's allocation candidates. Pure.

A question has groups. One without a suffix may be served by several providers of a tree, and by those that
share with it; one with a suffix by a single provider. All are served from one tree and what shares with it.
Source: Placement's API reference, "Allocation candidates", and its guide "Modeling with provider trees".
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from pileus.services.compute.rules.providers import Amounts, Landscape, Provider

MOST_TRIED = 100_000
"""Combinations that are tried for one question: those of a few groups on wide trees are more than atoms."""


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """One group of what is asked. Each of ``required`` is a set of traits of which one must be there, each of
    ``member_of`` a set of aggregates likewise. ``with_root``: the root counts as giving something."""

    suffix: str = ""
    resources: Amounts = msgspec.field(default_factory=dict)
    required: tuple[frozenset[str], ...] = ()
    forbidden: frozenset[str] = frozenset()
    member_of: tuple[frozenset[str], ...] = ()
    not_member_of: frozenset[str] = frozenset()
    in_tree: str | None = None
    with_root: bool = False


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """All that is asked together. ``isolate``: groups with a suffix are served by different providers."""

    groups: tuple[Group, ...]
    isolate: bool = False
    root_required: frozenset[str] = frozenset()
    root_forbidden: frozenset[str] = frozenset()
    same_subtree: tuple[frozenset[str], ...] = ()


class Candidate(NamedTuple):
    """An answer: how much of which provider, and which providers serve which group."""

    root_id: str
    amounts: Mapping[str, Amounts]
    mappings: Mapping[str, tuple[str, ...]]


class _Served(NamedTuple):
    """One way to serve one group: the provider of each class; for no class, the provider that is as asked."""

    group: Group
    givers: tuple[tuple[str, Provider], ...]
    providers: tuple[str, ...]


def candidates(
    landscape: Landscape, question: Question, roots: Iterable[str] | None = None
) -> list[Candidate]:
    """All answers of some trees (None: of all), each once."""
    found: dict[object, Candidate] = {}
    tried = 0
    for root_id in landscape.trees if roots is None else roots:
        if not _root_fits(landscape, root_id, question):
            continue
        ways = [_ways(landscape, root_id, group) for group in question.groups]
        for several in itertools.product(*ways) if all(ways) else ():
            tried += 1
            if tried > MOST_TRIED:
                return list(found.values())
            one = _together(landscape, root_id, question, several)
            if one is not None:
                found.setdefault(_key(one), one)
    return list(found.values())


def _key(one: Candidate) -> object:
    amounts = frozenset((key, frozenset(several.items())) for key, several in one.amounts.items())
    return (amounts, frozenset((suffix, frozenset(ids)) for suffix, ids in one.mappings.items()))


def _root_fits(landscape: Landscape, root_id: str, question: Question) -> bool:
    root = landscape.providers.get(root_id)
    return (
        root is not None
        and question.root_required <= root.traits
        and not question.root_forbidden & root.traits
    )


def _ways(landscape: Landscape, root_id: str, group: Group) -> list[_Served]:
    near = [*landscape.trees[root_id], *landscape.sharing.get(root_id, ())]
    if group.in_tree is not None:
        tree = landscape.providers.get(group.in_tree)
        near = [one for one in near if tree is not None and one.root_id == tree.root_id]
    near = [one for one in near if _is_member(landscape, one, group)]
    return _of_several(landscape, root_id, near, group) if not group.suffix else _of_one(near, group)


def _is_member(landscape: Landscape, one: Provider, group: Group) -> bool:
    """Whether a provider is in the aggregates that are asked for. A root's count for all of its tree where
    several providers may serve the group."""
    mine = one.aggregates
    if not group.suffix and one.root_id in landscape.providers:
        mine |= landscape.providers[one.root_id].aggregates
    return all(mine & any_of for any_of in group.member_of) and not mine & group.not_member_of


def _of_one(near: Sequence[Provider], group: Group) -> list[_Served]:
    return [
        _Served(group, tuple((name, one) for name in group.resources), (one.id,))
        for one in near
        if all(any_of & one.traits for any_of in group.required)
        and not group.forbidden & one.traits
        and all(one.gives(name, amount) for name, amount in group.resources.items())
    ]


def _of_several(landscape: Landscape, root_id: str, near: Sequence[Provider], group: Group) -> list[_Served]:
    choices = [
        [(name, one) for one in near if one.gives(name, amount) and not group.forbidden & one.traits]
        for name, amount in sorted(group.resources.items())
    ]
    root = landscape.providers[root_id]
    if group.with_root and group.forbidden & root.traits:
        return []
    found = []
    for givers in itertools.islice(itertools.product(*choices), MOST_TRIED):
        traits = frozenset[str]().union(*(one.traits for _, one in givers))
        if group.with_root:
            traits |= root.traits
        if all(any_of & traits for any_of in group.required):
            found.append(_Served(group, givers, tuple(sorted({one.id for _, one in givers}))))
    return found


def _together(
    landscape: Landscape, root_id: str, question: Question, several: Sequence[_Served]
) -> Candidate | None:
    """The answer that some ways make together, or None where they don't go together."""
    if question.isolate:
        lonely = [one.providers[0] for one in several if one.group.suffix]
        if len(set(lonely)) < len(lonely):
            return None
    amounts: dict[str, dict[str, int]] = {}
    for one in several:
        for name, giver in one.givers:
            mine = amounts.setdefault(giver.id, {})
            mine[name] = mine.get(name, 0) + one.group.resources[name]
    for provider_id, wanted in amounts.items():
        for name, amount in wanted.items():
            provider = landscape.providers[provider_id]
            if amount > provider.room(name) or amount > provider.inventories[name].max_unit:
                return None
    mappings = {one.group.suffix: one.providers for one in several if one.providers}
    for suffixes in question.same_subtree:
        ids = {key for suffix in suffixes for key in mappings.get(suffix, ())}
        if not any(all(landscape.is_below(key, top) for key in ids) for top in ids):
            return None
    return Candidate(root_id, amounts, mappings)


def summarised(landscape: Landscape, answers: Iterable[Candidate]) -> Iterator[Provider]:
    """The providers of all trees that give something."""
    given = {key for one in answers for ids in (one.amounts, *one.mappings.values()) for key in ids}
    roots = {landscape.providers[key].root_id for key in given} | {one.root_id for one in answers}
    for one in landscape.providers.values():
        if one.root_id in roots:
            yield one


def lacking(landscape: Landscape, root_id: str, question: Question) -> str:
    """Say why a tree has no answer, with numbers."""
    near = [*landscape.trees[root_id], *landscape.sharing.get(root_id, ())]
    traits = frozenset[str]().union(*(one.traits for one in near))
    for group in question.groups:
        for name, amount in group.resources.items():
            having = [one for one in near if name in one.inventories]
            if not having:
                return f"{amount} of {name} wanted, it has none"
            if not any(one.gives(name, amount) for one in having):
                left = max(one.room(name) for one in having)
                return f"{amount} of {name} wanted, {max(0, left)} are left"
        for any_of in group.required:
            if not any_of & traits:
                return f"the trait {' or '.join(sorted(any_of))} is required"
        forbidden = group.forbidden & landscape.providers[root_id].traits
        if forbidden:
            return f"the trait {min(forbidden)} is forbidden"
    return "what is asked for together is not to be had together here"
