"""Creating: one or several in one unit of work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from pileus.core.errors import Forbidden
from pileus.resource.declaration import Resource, Values
from pileus.store.event import asked_by
from pileus.store.tx import Tx
from pileus.web.crud.declared import Create, Crud
from pileus.web.crud.finding import crud_views, find_parents, one_reply
from pileus.web.parse import parse_create
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request


def create_handler(crud: Crud, status: int) -> Handler:
    """Make a handler of POST on the collection."""
    resource, unit = crud.resource, crud.create
    assert unit is not None

    def together(tx: Tx, asked: Sequence[tuple[Request, list[Values]]]) -> list[list[Values]]:
        return create_together(tx, asked, crud, unit)

    async def handler(request: Request) -> Reply:
        specs = parse_create(resource, request, typed="create" in crud.bodies)
        bulk = resource.bulk and resource.name not in request.json()
        if crud.judge is not None:
            for spec in specs:
                crud.judge(request, "create", spec)
        elif resource.targets is None:
            _may_create(request, resource, specs, resource.judged(None, request.context, specs))
        if crud.prepare is not None:
            for spec in specs:
                await crud.prepare(request, spec)
        if crud.joined and len(specs) == 1:
            made = await request.write_joined(resource.name, together, specs)
        else:
            (made,) = await request.write(together, [(request, specs)])
        views = crud_views(request, crud, made, "create")
        if bulk:
            return Reply.json({resource.plural: views}, status)
        reply = one_reply(resource, views[0], status)
        for name, text in crud.headers(request, views[0]).items() if crud.headers is not None else ():
            reply.header(name, text)
        return reply

    return handler


def create_together(
    tx: Tx, asked: Sequence[tuple[Request, list[Values]]], crud: Crud, unit: Create
) -> list[list[Values]]:
    """Run the unit once for requests of one caller, behind the policy where it has to look into the database.

    Returns each one's resources. The events name the requests that asked.
    """
    first, resource = asked[0][0], crud.resource
    specs = [spec for _, own in asked for spec in own]
    if crud.judge is None and resource.targets is not None:
        targets = iter(resource.judged(tx, first.context, specs))
        for request, own in asked:
            _may_create_there(tx, request, resource, own, list(islice(targets, len(own))))
    made = unit(tx, first.context, specs)
    if len(asked) > 1:
        requests = [request for request, own in asked for _ in own]
        pairs = zip(requests, made, strict=True)
        asked_by(tx.events, {one[resource.key]: request.context.request_id for request, one in pairs})
    rest = iter(made)
    return [list(islice(rest, len(own))) for _, own in asked]


def _may_create_there(
    tx: Tx, request: Request, resource: Resource, specs: list[Values], targets: Sequence[Mapping[str, Any]]
) -> None:
    try:
        _may_create(request, resource, specs, targets)
    except Forbidden:
        # Whoever may make none in a parent of his own is told so, whichever parent the path names.
        asked = specs if _may_in_own(tx, request, resource, specs) else [_given(spec) for spec in specs]
        find_parents(tx, request, resource, asked)
        raise


def _may_in_own(tx: Tx, request: Request, resource: Resource, specs: Sequence[Values]) -> bool:
    rule, project_id = resource.rule("create"), request.context.project_id
    for target in resource.judged(tx, request.context, specs):
        own = {name: project_id for name in target if name.endswith(":project_id")}
        if not request.access.allows(rule, {**target, **own}):
            return False
    return True


def _given(spec: Values) -> dict[str, Any]:
    return {name: spec[name] for name in spec.given}


def _may_create(
    request: Request, resource: Resource, specs: Sequence[Values], targets: Sequence[Mapping[str, Any]]
) -> None:
    rule = resource.rule("create")
    for spec, target in zip(specs, targets, strict=True):
        request.access.require(rule, target)
        request.access.require_attributes(resource, "create", spec, target)
