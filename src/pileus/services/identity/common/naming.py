"""The things that the path of an association names: judged first, then found, in the order of the path."""

from __future__ import annotations

from collections.abc import Mapping

from pileus.resource.declaration import Resource, Values
from pileus.resource.rows import fetch
from pileus.store.tx import Tx
from pileus.web.request import Request

Named = Mapping[str, Resource]
"""The parameters of a path by what they name: ``{"policy_id": POLICY}``, in the order of the search."""


def authorised(request: Request) -> None:
    """Ask the rule of the route, about nothing in particular. Raises Forbidden."""
    rule = request.route.rule
    assert rule is not None
    request.authorise(rule)


def named_find(tx: Tx, request: Request, named: Named) -> list[Values]:
    """Those that the path names. Raises the NotFound of the first that is not there."""
    return [named_one(tx, resource, request.path[parameter]) for parameter, resource in named.items()]


def named_one(tx: Tx, resource: Resource, key: str) -> Values:
    """The one with that key. Raises the resource's NotFound."""
    found = fetch(tx, resource, [key])
    if not found or found[0][resource.key] != key:
        raise resource.not_found(key)
    return found[0]
