"""Allocation candidates. Source: Placement API reference, "Allocation candidates"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pileus.resource import types
from pileus.resource.replies import COUNT, TEXTS, UUID, UUID_OR_NULL, always
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.compute.config import ComputeConfig
from pileus.services.compute.placement.api import (
    answering,
    check_query,
    enforce,
    landscape_now,
    refuse_query,
    shown,
    since,
)
from pileus.services.compute.placement.errors import (
    BadParameter,
    BadRequest,
    DoubleParameter,
    MissingParameter,
)
from pileus.services.compute.placement.policy import PREFIX, rules
from pileus.services.compute.placement.queries import (
    known_classes,
    known_traits,
    members_of,
    resources_of,
    traits_in,
    traits_of,
    tree_of,
)
from pileus.services.compute.rules.candidates import Candidate, Group, Question, candidates, summarised
from pileus.services.compute.rules.providers import Landscape, Provider
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import ByVersion, Route

PATH = "/allocation_candidates"
_AMOUNTS = types.dict_of({}, additional=COUNT)
_TRAITS, _TREES = Version(1, 17), Version(1, 29)


def _reply(version: Version) -> Type:
    if version < Version(1, 12):
        listed = always({"resource_provider": always({"uuid": UUID}), "resources": _AMOUNTS})
        request: dict[str, Type] = {"allocations": types.list_of(listed)}
    else:
        request = {"allocations": types.dict_of({}, additional=always({"resources": _AMOUNTS}))}
    if version >= Version(1, 34):
        request["mappings"] = types.dict_of({}, additional=TEXTS)
    capacity = always({"capacity": types.integer(), "used": COUNT})
    summary: dict[str, Type] = {"resources": types.dict_of({}, additional=capacity)}
    if version >= _TRAITS:
        summary["traits"] = TEXTS
    if version >= _TREES:
        summary |= {"parent_provider_uuid": UUID_OR_NULL, "root_provider_uuid": UUID}
    return always(
        {
            "allocation_requests": types.list_of(always(request)),
            "provider_summaries": types.dict_of({}, additional=always(summary)),
        }
    )


def _group_key(request: Request) -> str:
    """The pattern of a group's suffix."""
    if not since(request, "1.25"):
        return ""
    return "([a-zA-Z0-9_-]{1,64})?" if since(request, "1.33") else "([1-9][0-9]*)?"


def question_from(request: Request) -> Question:
    """The question that the query asks. Raises BadRequest and the like."""
    kinds = ["resources"]
    for name, first in (("required", "1.17"), ("member_of", "1.21"), ("in_tree", "1.31")):
        if since(request, first):
            kinds.append(name)
    known = [
        name
        for name, first in (
            ("limit", "1.16"),
            ("group_policy", "1.25"),
            ("root_required", "1.35"),
            ("same_subtree", "1.36"),
        )
        if since(request, first)
    ]
    pattern = f"({'|'.join(kinds)}){_group_key(request)}"
    check_query(request, *known, patterns=pattern)
    if not since(request, "1.25") and request.parameter("resources") is None:
        refuse_query(request, "'resources' is a required property")
    groups = _groups(request, re.compile(pattern), {*known})
    subtrees = _subtrees(request)
    _judge_groups(request, groups, subtrees)
    policy = _first(request, "group_policy")
    if policy is not None and policy not in ("none", "isolate"):
        refuse_query(request, f"{policy!r} is not one of ['none', 'isolate']")
    with_suffix = [one for one in groups.values() if one.suffix and one.resources]
    if len(with_suffix) > 1 and policy is None:
        raise BadRequest(
            'The "group_policy" parameter is required when specifying more than one "resources{N}" parameter.'
        )
    required, forbidden = _of_root(request)
    return Question(
        groups=tuple(groups.values()),
        isolate=policy == "isolate",
        root_required=required,
        root_forbidden=forbidden,
        same_subtree=subtrees,
    )


def _groups(request: Request, pattern: re.Pattern[str], others: set[str]) -> dict[str, Group]:
    groups: dict[str, Group] = {}
    for key, text in request.query:
        found = pattern.fullmatch(key) if key not in others else None
        if found is None:
            continue
        kind, suffix = found[1], key.removeprefix(found[1])
        group = groups.get(suffix, Group(suffix=suffix))
        if kind == "resources":
            group = resources_of(text, group)
        elif kind == "required":
            group = traits_of(request, group)
        elif kind == "member_of":
            group = members_of(request, group)
        else:
            group = tree_of(request, text, group)
        groups[suffix] = group
    return groups


def _subtrees(request: Request) -> tuple[frozenset[str], ...]:
    found = []
    for name, text in request.query:
        if name == "same_subtree":
            suffixes = frozenset(one.strip() for one in text.split(","))
            if "" in suffixes:
                raise BadParameter("Empty string (unsuffixed group) can not be specified in `same_subtree` ")
            found.append(suffixes)
    return tuple(found)


def _judge_groups(request: Request, groups: dict[str, Group], subtrees: Sequence[frozenset[str]]) -> None:
    empty = sorted(suffix for suffix, one in groups.items() if not one.resources)
    if since(request, "1.36"):
        if len(empty) == len(groups):
            raise MissingParameter("There must be at least one resources or resources[$S] parameter.")
        named = frozenset[str]().union(*subtrees)
        lost = [suffix for suffix in empty if suffix not in named]
        if lost:
            raise BadParameter(
                "Resourceless suffixed group request should be specified in `same_subtree` query param: "
                f"bad group(s) - {lost}."
            )
        strange = sorted(named - groups.keys())
        if strange:
            raise BadParameter(
                f"Real suffixes should be specified in `same_subtree`: {strange} not found in {list(groups)}."
            )
    else:
        traits = [f"required{suffix}" for suffix in empty if groups[suffix].required]
        if traits:
            raise BadRequest(
                "All traits parameters must be associated with resources.  Found the following orphaned "
                f"traits keys: {', '.join(traits)}"
            )
        members = [
            f"member_of{suffix}"
            for suffix in empty
            if groups[suffix].member_of or groups[suffix].not_member_of
        ]
        if members:
            raise BadRequest(
                "All member_of parameters must be associated with resources. Found the following orphaned "
                f"member_of keys: {', '.join(members)}"
            )
        if empty:
            raise BadRequest("All request groups must specify resources.")
        if not groups:
            raise BadRequest("At least one request group (`resources` or `resources{$S}`) is required.")
    conflicts = [
        f"required{suffix}: ({', '.join(sorted(any_of))})"
        for suffix, one in groups.items()
        for any_of in one.required
        if any_of <= one.forbidden
    ]
    if conflicts:
        raise BadRequest(
            "Conflicting required and forbidden traits found in the following traits keys: "
            f"{', '.join(sorted(conflicts))}"
        )


def _of_root(request: Request) -> tuple[frozenset[str], frozenset[str]]:
    texts = [text for name, text in request.query if name == "root_required"]
    if not texts:
        return frozenset(), frozenset()
    if len(texts) > 1:
        raise DoubleParameter("Query parameter 'root_required' may be specified only once.")
    several, forbidden = traits_in(request, texts[0], "root_required", forbidden=True)
    required = frozenset[str]().union(*several)
    both = required & forbidden
    if both:
        raise BadParameter(
            f"Conflicting required and forbidden traits found in root_required: {', '.join(sorted(both))}"
        )
    return required, frozenset(forbidden)


def _first(request: Request, name: str) -> str | None:
    """The first value of a parameter: that is the one which counts here."""
    return next((text for key, text in request.query if key == name), None)


def _limit(request: Request) -> int | None:
    text = _first(request, "limit")
    if text is None:
        return None
    if not re.fullmatch("[1-9][0-9]*", text):
        refuse_query(request, f"{text!r} does not match '^[1-9][0-9]*$'")
    return int(text[:9])


class CandidateHandlers:
    """Handlers that know the settings by which hosts count."""

    def __init__(self, config: ComputeConfig) -> None:
        self._config = config

    def _answers(
        self, tx: Tx, request: Request, question: Question, limit: int | None
    ) -> tuple[Landscape, list[Candidate]]:
        for group in question.groups:
            known_classes(
                tx, group, "Invalid resource class in resources parameter: No such resource class {}."
            )
            known_traits(tx, group, "Invalid trait(s) in request: No such trait(s): {}.")
        roots = Group(required=(question.root_required,), forbidden=question.root_forbidden)
        known_traits(tx, roots, "Invalid trait(s) in request: No such trait(s): {}.")
        landscape = landscape_now(tx, self._config, request.context.now)
        found = candidates(landscape, question)
        if not since(request, "1.29"):
            found = [one for one in found if _is_flat(landscape, one)]
        return landscape, found if limit is None else found[:limit]

    async def list(self, request: Request) -> Reply:
        """List the ways in which providers can give what is asked."""
        enforce(request)
        question, limit = question_from(request), _limit(request)
        landscape, found = await request.read(self._answers, request, question, limit)
        nested = since(request, "1.29")
        given = {key for one in found for key in one.amounts}
        summaries = {
            one.id: _summary(request, one, question)
            for one in summarised(landscape, found)
            if nested or one.id in given
        }
        document = {
            "allocation_requests": [_allocation(request, one) for one in found],
            "provider_summaries": summaries,
        }
        return shown(request, document)


def _is_flat(landscape: Landscape, one: Candidate) -> bool:
    """Whether no two providers of one tree give something, as clients that know no trees expect."""
    roots = [landscape.providers[key].root_id for key in one.amounts]
    return len(set(roots)) == len(roots)


def _allocation(request: Request, one: Candidate) -> dict[str, Any]:
    told: dict[str, Any]
    if since(request, "1.12"):
        told = {"allocations": {key: {"resources": amounts} for key, amounts in one.amounts.items()}}
    else:
        told = {
            "allocations": [
                {"resource_provider": {"uuid": key}, "resources": amounts}
                for key, amounts in one.amounts.items()
            ]
        }
    if since(request, "1.34"):
        told["mappings"] = one.mappings
    return told


def _summary(request: Request, one: Provider, question: Question) -> dict[str, Any]:
    asked = {name for group in question.groups for name in group.resources}
    told: dict[str, Any] = {
        "resources": {
            name: {"capacity": inventory.capacity, "used": one.used.get(name, 0)}
            for name, inventory in one.inventories.items()
            if name in asked or since(request, "1.27")
        }
    }
    if since(request, "1.17"):
        told["traits"] = sorted(one.traits)
    if since(request, "1.29"):
        told |= {"parent_provider_uuid": one.parent_id, "root_provider_uuid": one.root_id}
    return told


def candidates_noun(config: ComputeConfig) -> Noun:
    """The noun, of a cloud with these settings."""
    handlers = CandidateHandlers(config)
    text = types.string(None)
    names = (
        "resources",
        "required",
        "member_of",
        "in_tree",
        "limit",
        "group_policy",
        "root_required",
        "same_subtree",
    )
    return Noun(
        name="allocation_candidate",
        rules=rules("allocation_candidates:list"),
        routes=(
            Route(
                "GET",
                PATH,
                answering(handlers.list),
                rule=f"{PREFIX}allocation_candidates:list",
                reply=ByVersion(_reply),
                versions=("1.10", ""),
                query=dict.fromkeys(names, text),
                summary="List allocation candidates",
            ),
        ),
    )
