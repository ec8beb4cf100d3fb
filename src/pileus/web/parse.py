"""Bodies of requests, read against a declaration."""

from __future__ import annotations

from typing import Any

from pileus.resource.check import check_create, check_update
from pileus.resource.declaration import Resource, Values
from pileus.web.body import declared_body
from pileus.web.request import Request


def parse_create(resource: Resource, request: Request, *, typed: bool = False) -> list[Values]:
    """Parse the body of a create request: one Values, or several where the body holds the plural. Raises
    Invalid.

    ``typed``: the route's type of the body knows which attributes each microversion takes.
    """
    wording = resource.wording
    parent = parent_values(resource, request)
    if typed:
        return [check_create(resource, request.context, _typed(resource, request), parent)]
    body = request.json()
    if not wording.wrapped:
        objects = [body]
    elif isinstance(body, dict) and resource.name in body:
        objects = [body[resource.name]]
    elif isinstance(body, dict) and resource.bulk and resource.plural in body:
        objects = body[resource.plural]
        if not isinstance(objects, list) or not objects:
            raise wording.no_object(resource, body)
        # each of a bulk may stand under its name again, as Neutron takes it
        objects = [
            one[resource.name] if isinstance(one, dict) and set(one) == {resource.name} else one
            for one in objects
        ]
    else:
        raise wording.no_object(resource, body)
    if not all(isinstance(one, dict) for one in objects):
        raise wording.no_object(resource, body)
    return [check_create(resource, request.context, one, parent, request.version) for one in objects]


def _typed(resource: Resource, request: Request) -> Any:
    """The object in a body that the type of its route has checked."""
    body = declared_body(request)
    return body[resource.name] if resource.wording.wrapped else body


def parse_update(
    resource: Resource, request: Request, *, typed: bool = False, may_be_empty: bool = False
) -> Values:
    """Parse the body of an update request; ``may_be_empty``: it may change nothing. Raises Invalid.

    ``typed``: the route's type of the body knows which attributes each microversion takes.
    """
    wording = resource.wording
    if typed:
        return _changing(resource, check_update(resource, _typed(resource, request)), may_be_empty)
    body = request.json()
    if wording.wrapped:
        if not isinstance(body, dict) or resource.name not in body:
            raise wording.no_object(resource, body)
        body = body[resource.name]
    if not isinstance(body, dict):
        raise wording.no_object(resource, {resource.name: body})
    if wording.takes_key and resource.key in body:
        if body[resource.key] != request.path[resource.key]:
            raise wording.changed_key(resource)
        body = {name: value for name, value in body.items() if name != resource.key}
    return _changing(resource, check_update(resource, body, request.version), may_be_empty)


def _changing(resource: Resource, changes: Values, may_be_empty: bool) -> Values:
    nothing = None if changes or may_be_empty else resource.wording.changes_nothing(resource)
    if nothing is not None:
        raise nothing
    return changes


def parent_values(resource: Resource, request: Request) -> dict[str, str]:
    """The values that the path gives: those of parameters named as attributes, other than the key."""
    return {
        name: value
        for name, value in request.path.items()
        if name != resource.key and name in resource.attributes
    }
