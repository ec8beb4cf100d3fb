"""Requests about the subports of a trunk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pileus.core.context import Context
from pileus.resource.declaration import Values
from pileus.resource.revision import check_revision
from pileus.resource.types import BadValue, Type
from pileus.services.network.common.bodies import body_of
from pileus.services.network.common.errors import InvalidInput
from pileus.services.network.config import NetworkConfig
from pileus.services.network.trunks.resource import SUBPORTS, TRUNK, parse_subports
from pileus.services.network.trunks.work import subports_add, subports_remove
from pileus.store.tx import Tx
from pileus.web.crud import find, target_of
from pileus.web.precondition import wanted_revision
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request
from pileus.web.routes import Route
from pileus.web.view import show

Unit = Callable[[Tx, Context, Values, Sequence[Mapping[str, Any]], NetworkConfig], Values]


def _parse_body(body: Any) -> list[dict[str, Any]]:
    if not isinstance(body, dict) or "sub_ports" not in body:
        raise BadValue("Unable to find 'sub_ports' in request body", value=body)
    try:
        return parse_subports(body["sub_ports"])
    except BadValue as bad:
        raise InvalidInput(bad.text) from None


_BODY = Type(
    "subports of a trunk",
    _parse_body,
    {"type": "object", "properties": {"sub_ports": SUBPORTS.schema}, "required": ["sub_ports"]},
)


def _handler(rule: str, unit: Unit, config: NetworkConfig) -> Handler:
    async def handler(request: Request) -> Reply:
        wanted = body_of(request)
        changed = await request.write(_change, request, rule, unit, wanted, config)
        return Reply.json(show(request, TRUNK, [changed])[0])

    return handler


def _change(
    tx: Tx,
    request: Request,
    rule: str,
    unit: Unit,
    wanted: Sequence[Mapping[str, Any]],
    config: NetworkConfig,
) -> Values:
    trunk = find(tx, request, TRUNK)
    request.access.require(rule, target_of(tx, request, TRUNK, trunk))
    check_revision(TRUNK, trunk, wanted_revision(request))
    return unit(tx, request.context, trunk, wanted, config)


async def _get_subports(request: Request) -> Reply:
    trunk = await request.read(_look, request)
    return Reply.json({"sub_ports": trunk["sub_ports"]})


def _look(tx: Tx, request: Request) -> Values:
    trunk = find(tx, request, TRUNK, lock=False)
    request.access.require("get_subports", target_of(tx, request, TRUNK, trunk))
    return trunk


def subport_routes(path: str, config: NetworkConfig) -> tuple[Route, ...]:
    """The routes below one trunk's path."""
    changes: tuple[tuple[str, Unit, str], ...] = (
        ("add_subports", subports_add, "Add subports to a trunk"),
        ("remove_subports", subports_remove, "Remove subports from a trunk"),
    )
    return (
        Route(
            "GET",
            f"{path}/{{id}}/get_subports",
            _get_subports,
            rule="get_subports",
            resource=TRUNK,
            action="get",
            summary="List subports of a trunk",
        ),
        *(
            Route(
                "PUT",
                f"{path}/{{id}}/{verb}",
                _handler(verb, unit, config),
                rule=verb,
                body=_BODY,
                resource=TRUNK,
                action="update",
                summary=summary,
            )
            for verb, unit, summary in changes
        ),
    )
