"""Routes whose body names an action: ``POST /servers/{id}/action`` with ``{"os-stop": null}``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pileus.core.errors import Invalid
from pileus.resource.types import BadValue
from pileus.resource.versions import within
from pileus.web.body import body_type
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Action, Route


def action_route(path: str, actions: Mapping[str, Action], *, summary: str, status: int = 202) -> Route:
    """The one route of some actions; ``status`` is that of most of them.

    For the handler of an action, ``request.route`` is the action's own: its rule, its argument as the body.
    """

    async def act(request: Request) -> Reply:
        body = request.json()
        if not isinstance(body, dict) or not body:
            raise Invalid("Malformed request body")
        if len(body) > 1:
            raise Invalid("Multiple actions in the body")
        ((name, given),) = body.items()
        action = actions.get(name)
        if action is None or not within(action.versions, request.version):
            raise Invalid(f"There is no such action: {name}")
        request.route = replace(
            route,
            actions={},
            body=action.argument,
            reply=action.reply,
            rule=action.rule,
            status=action.status,
            versions=action.versions,
        )
        try:
            argument = request.dialect.parse(request, body_type(request), given)
        except BadValue as bad:
            raise request.dialect.bad_value(name, given, bad) from None
        return await action.handler(request, argument)

    route = Route("POST", path, act, status=status, summary=summary, actions=actions)
    return route
