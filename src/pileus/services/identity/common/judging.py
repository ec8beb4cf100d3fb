"""Ask the policy as Keystone does: about a target's named parts, before it is told whether it exists."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement

from pileus.resource.declaration import Resource, Values
from pileus.web.crud import Judge
from pileus.web.request import Request

Target = Callable[[Mapping[str, Any] | None], dict[str, Any]]
"""The keys that rules name (``target.user.domain_id``) for values; none for what does not exist."""

Rules = Callable[[str, Mapping[str, Any]], Sequence[str]]
"""The rules of an action on one whose values decide it."""


def judging(resource: Resource, target: Target, rules: Rules | None = None) -> Judge:
    """Make the judge of a resource. Without ``rules`` an action asks its own rule."""

    def judge(request: Request, action: str, values: Values | None) -> None:
        asked = rules(action, values) if rules and values is not None else (resource.rule(action),)
        seen = target(values)
        if action == "create" and values is not None and "domain_id" not in values.given:
            # Only who may make them in any domain may leave it out: the policy does not see the default.
            seen = {key: value for key, value in seen.items() if not key.endswith("domain_id")}
        for rule in asked:
            request.authorise(rule, seen)

    return judge


def in_tokens_domain(column: ColumnElement[Any]) -> Callable[[Request], Sequence[ColumnElement[bool]]]:
    """Keep a list to the domain of a token that is a domain's, whatever its roles are."""

    def conditions(request: Request) -> Sequence[ColumnElement[bool]]:
        domain_id = request.context.domain_id
        return () if domain_id is None else (column == domain_id,)

    return conditions
