"""Replies of the compute API, held against the types that its routes declare."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import jsonschema

from pileus.resource.types import Type, binary
from pileus.resource.versions import Version
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, ByVersion, Route
from pileus.web.service import Service

_validators: dict[int, tuple[Type, jsonschema.Draft202012Validator]] = {}


def held(service: Service, wrong: list[str]) -> Service:
    """The service, where ``wrong`` takes what replies have that their routes do not declare."""

    def watched(route: Route) -> Route:
        async def handler(request: Request) -> Reply:
            reply = await route.handler(request)
            # an action has put its own route there
            try:
                check(request.route, request.version, reply)
            except AssertionError as error:
                wrong.append(str(error))
            return reply

        return dataclasses.replace(route, handler=handler)

    def watched_noun(noun: Noun) -> Noun:
        return dataclasses.replace(noun, routes=[watched(route) for route in noun.routes])

    return dataclasses.replace(service, nouns=[watched_noun(noun) for noun in service.nouns])


def check(route: Route, version: Version | None, reply: Reply) -> None:
    """AssertionError where a successful reply has no body that it should, or another."""
    assert isinstance(reply.body, bytes | list)
    if route.reply is binary:
        return
    body = reply.body if isinstance(reply.body, bytes) else b"".join(reply.body)
    kind, place = route.reply, f"{route.method} {route.path} {route.rule} at {version}"
    if isinstance(kind, ByVersion):
        assert version is not None
        kind = kind.of(version)
    if kind is None or kind is NO_BODY:
        assert not body, f"{place} declares no body, and answers {body[:200]!r}"
        return
    wrong = _wrong(kind, json.loads(body))
    assert not wrong, f"{place}: " + "; ".join(wrong)


def _wrong(kind: Type, value: Any) -> list[str]:
    known = _validators.get(id(kind))
    if known is None:
        known = _validators[id(kind)] = (kind, jsonschema.Draft202012Validator(kind.schema))
    return [
        f"{'/'.join(map(str, error.absolute_path))}: {error.message}"[:400]
        for error in known[1].iter_errors(value)
    ]
