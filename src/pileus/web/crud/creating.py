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
            made = await request.write(create_several, request, crud, unit, specs)
        views = crud_views(request, crud, made, "create")
        if bulk:
            return Reply.json({resource.plural: views}, status)
        reply = one_reply(resource, views[0], status)
        for name, text in crud.headers(request, views[0]).items() if crud.headers is not None else ():
            reply.header(name, text)
        return reply

    return handler


def create_several(tx: Tx, request: Request, crud: Crud, unit: Create, specs: list[Values]) -> list[Values]:
    """Run the unit, behind the policy where the policy has to look into the database."""
    resource = crud.resource
    if crud.judge is None and resource.targets is not None:
        try:
            _may_create(request, resource, specs, resource.judged(tx, request.context, specs))
        except Forbidden:
            # Whoever may make none in a parent of his own is told so, whichever parent the path names.
            asked = specs if _may_in_own(tx, request, resource, specs) else [_given(spec) for spec in specs]
            find_parents(tx, request, resource, asked)
            raise
    return unit(tx, request.context, specs)


def create_together(
    tx: Tx, asked: Sequence[tuple[Request, list[Values]]], crud: Crud, unit: Create
) -> list[list[Values]]:
    """Run the unit once for requests of one caller; each one's resources. The events name their requests."""
    made = create_several(tx, asked[0][0], crud, unit, [spec for _, specs in asked for spec in specs])
    key = crud.resource.key
    requests = [request for request, specs in asked for _ in specs]
    asked_by(
        tx.events,
        {one[key]: request.context.request_id for request, one in zip(requests, made, strict=True)},
    )
    rest = iter(made)
    return [list(islice(rest, len(specs))) for _, specs in asked]


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
