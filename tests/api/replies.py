"""Check a reply against the type that its operation declares."""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft202012Validator

from pileus.resource.types import binary
from pileus.web.openapi import reply_schema
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Route

CHECKED = {"identity", "image"}
"""The services whose replies are checked. It only gets longer."""


class Replies:
    """The schemas of replies, each made once."""

    def __init__(self) -> None:
        self._known: dict[Any, Draft202012Validator | None] = {}

    def check(self, request: Request, route: Route, reply: Reply) -> None:
        """Fail for a successful reply that is not of its declared type."""
        if (
            request.service.type not in CHECKED
            or reply.status >= 400
            or not isinstance(reply.body, bytes | list)
        ):
            return
        body = reply.body if isinstance(reply.body, bytes) else b"".join(reply.body)
        here = f"{route.method} {route.path}"
        if route.reply is NO_BODY or reply.status == 204 or request.method == "HEAD":
            assert not body, f"{here} declares no body, and replies {body[:200]!r}"
            return
        if route.reply is binary:
            return
        validator = self._validator(request, route)
        assert validator is not None, f"{here} declares no reply"
        error = next(validator.iter_errors(json.loads(body)), None)
        assert error is None, f"{here}: {error.message} at {error.json_path} in {body[:500]!r}"

    def _validator(self, request: Request, route: Route) -> Draft202012Validator | None:
        key = (request.service.type, route.method, route.path, request.version)
        if key not in self._known:
            schema = reply_schema(request.service, route, request.version)
            self._known[key] = None if schema is None else Draft202012Validator(schema)
        return self._known[key]
