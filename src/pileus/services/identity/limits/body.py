"""Bodies that make several at once, and never one by its own name."""

from __future__ import annotations

import dataclasses

from pileus.services.identity.common.errors import SchemaValidationError
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route


def several(route: Route) -> Route:
    """The route, taking ``{plural: [...]}`` with one item at least and nothing else. Raises 400 before
    anything is asked."""
    resource, make = route.resource, route.handler
    assert resource is not None
    plural = resource.plural

    async def handler(request: Request) -> Reply:
        body = request.json()
        if not isinstance(body, dict):
            raise resource.wording.no_object(resource, body)
        if plural not in body:
            raise SchemaValidationError(f"{plural!r} is a required property")
        others = sorted(body.keys() - {plural})
        if others:
            raise resource.wording.unknown(resource, others, body)
        if not isinstance(body[plural], list):
            raise SchemaValidationError(
                f"Invalid input for field '{plural}': {body[plural]!r} is not of type 'array'"
            )
        if not body[plural]:
            raise SchemaValidationError(f"Invalid input for field '{plural}': [] is too short")
        return await make(request)

    return dataclasses.replace(route, handler=handler)
