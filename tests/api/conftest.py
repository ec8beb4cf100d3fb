"""In all tests of the API: an operation that succeeds has asked the policy the rule that it names, and its
reply is of the type that it declares."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from tests.api.replies import Replies

from pileus.core.context import Context
from pileus.policy import Enforcer
from pileus.store import TALLY
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import ANYBODY, Route, Router

OTHERWISE: dict[str, frozenset[str]] = {
    # Roles of a domain have rules of their own.
    "GET /v3/roles": frozenset({"identity:list_domain_roles"}),
    "POST /v3/roles": frozenset({"identity:create_domain_role"}),
    "GET /v3/roles/{id}": frozenset({"identity:get_domain_role"}),
    "PATCH /v3/roles/{id}": frozenset({"identity:update_domain_role"}),
    "DELETE /v3/roles/{id}": frozenset({"identity:delete_domain_role"}),
    # The trusts of somebody may be listed by him.
    "GET /v3/OS-TRUST/trusts": frozenset(
        {"identity:list_trusts_for_trustor", "identity:list_trusts_for_trustee"}
    ),
    # The list of all that is below a project has a rule of its own.
    "GET /v3/role_assignments": frozenset({"identity:list_role_assignments_for_tree"}),
}
"""Rules that an operation may ask in the place of the one that it names."""

UNASKED = {
    # The quotas of one's own project are everybody's, as in Neutron.
    "GET /v2.0/quotas/{project_id}",
    "GET /v2.0/quotas/{project_id}/default",
    "GET /v2.0/quotas/{project_id}/details",
    "GET /v2.0/quotas/{project_id}/details.json",
    # A ticket stands for the rule: the server gave it to a node.
    "PUT /v2/images/{image_id}/file",
    "GET /v2/images/{image_id}/file",
}
"""Operations that may succeed without a look at the rule."""


REPLIES = Replies()


@pytest.fixture(autouse=True)
def _rules_are_asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    asked: dict[int, set[str]] = {}
    check, condition, add = Enforcer.check, Enforcer.condition, Router.add
    condition_kept = Enforcer.condition_kept

    def note(rule: str, context: Context) -> None:
        asked.setdefault(id(context), set()).add(rule)

    def checked(self: Enforcer, rule: str, context: Context, target: Any) -> Any:
        note(rule, context)
        return check(self, rule, context, target)

    def conditioned(self: Enforcer, rule: str, context: Context, columns: Any) -> Any:
        note(rule, context)
        return condition(self, rule, context, columns)

    def conditioned_once(self: Enforcer, rule: str, context: Context, *more: Any) -> Any:
        note(rule, context)
        return condition_kept(self, rule, context, *more)

    def watched(route: Route) -> Route:
        async def handler(request: Request) -> Reply:
            tally = TALLY.get()
            # A request may be forwarded to another service by one that is being answered.
            before, outer = tally.statements if tally else 0, asked.get(id(request.context), set())
            names = asked[id(request.context)] = set()
            try:
                reply = await route.handler(request)
            finally:
                asked[id(request.context)] = outer
            here = f"{route.method} {route.path}"
            answers = {route.rule} | OTHERWISE.get(here, frozenset())
            free = route.rule in (None, ANYBODY) or here in UNASKED
            asks = reply.status >= 400 or free or names & answers
            assert asks, f"{here} names {route.rule}, and asks {sorted(names)}"
            REPLIES.check(request, route, reply)
            if (
                route.statements is not None
                and reply.status < 400
                and request.parts.store.dialect == "sqlite"
            ):
                assert tally is not None
                taken = tally.statements - before
                assert taken <= route.statements, f"{here} takes {taken} statements"
            return reply

        return dataclasses.replace(route, handler=handler)

    def watching(self: Router, owner: Any, prefix: str, routes: Iterable[Route], **more: bool) -> None:
        add(self, owner, prefix, [watched(route) for route in routes], **more)

    monkeypatch.setattr(Enforcer, "check", checked)
    monkeypatch.setattr(Enforcer, "condition", conditioned)
    monkeypatch.setattr(Enforcer, "condition_kept", conditioned_once)
    monkeypatch.setattr(Router, "add", watching)
    yield
