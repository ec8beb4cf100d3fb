"""Every operation of every service names its rule, and has the types of its bodies."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.api.test_every_route import whole_server

from pileus.web.routes import Route
from pileus.web.service import Service

LACKING = {"identity": 0, "network": 0, "image": 0, "compute": 0, "block-storage": 0, "placement": 0}
"""How many operations of a service may still lack something: to be 0."""


def test_each_operation_says_all_of_itself(tmp_path: Path) -> None:
    async def story() -> dict[str, list[str]]:
        async with whole_server(tmp_path) as api:
            return {service.type: _lacking(service) for service in api.server._app.services}

    found = asyncio.run(story())
    for kind, lines in found.items():
        assert len(lines) <= LACKING[kind], f"{kind}: {len(lines)}\n" + "\n".join(lines)


def _lacking(service: Service) -> list[str]:
    return [
        f"{route.method} {route.path} lacks {', '.join(words)}"
        for route in service.routes
        if (words := _lacks(route))
    ]


def _lacks(route: Route) -> list[str]:
    words = []
    declared = route.resource is not None and bool(route.action)
    if route.authenticated and route.rule is None and not route.actions:
        words.append("a rule")
    if any(action.rule is None for action in route.actions.values()):
        words.append("the rule of an action")
    takes = route.method in ("POST", "PUT", "PATCH") and not (route.stream or route.actions)
    if takes and not declared and route.body is None:
        words.append("a body")
    gives = route.status != 204 and route.method != "HEAD" and not (route.stream or route.actions)
    if gives and not declared and route.reply is None:
        words.append("a reply")
    return words
