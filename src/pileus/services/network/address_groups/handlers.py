"""Requests that put prefixes into an address group, or take them out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement

from pileus.core.addresses import parse_interface
from pileus.core.context import Context
from pileus.core.errors import Invalid
from pileus.resource import types
from pileus.resource.declaration import Values
from pileus.resource.revision import check_revision
from pileus.resource.types import BadValue, Type
from pileus.services.network.address_groups.resource import ADDRESS_GROUP, ADDRESSES
from pileus.services.network.address_groups.tables import address_groups
from pileus.services.network.address_groups.work import addresses_add, addresses_remove
from pileus.services.network.common.attributes import MOST
from pileus.services.network.common.bodies import body_of
from pileus.store.tx import Tx
from pileus.web.crud import Crud, shown_reply, target_of
from pileus.web.crud.finding import find_seen
from pileus.web.precondition import wanted_revision
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request
from pileus.web.routes import Route

Unit = Callable[[Tx, Context, Values, Sequence[str]], Values]

_LIST = types.list_of(types.anything, maximum=MOST)


class AddrFormatError(Invalid):
    """The text is no prefix; the name is that of the library that Neutron reads them with."""

    message = "invalid IPNetwork {address}"


def _parse_body(body: Any) -> list[str]:
    """The prefixes in their normal form, each once; an address alone is a prefix of full length."""
    if not isinstance(body, dict) or "addresses" not in body:
        raise BadValue("Unable to find 'addresses' in request body", value=body)
    try:
        listed = _LIST.parse(body["addresses"])
    except BadValue as bad:
        raise BadValue(f"Invalid input for addresses. Reason: {bad.text}.", value=body) from None
    found = set()
    for text in listed:
        try:
            found.add(str(parse_interface(text).network))
        except ValueError:
            raise AddrFormatError(address=text) from None
    return sorted(found)


_BODY = Type(
    "addresses",
    _parse_body,
    {"type": "object", "properties": {"addresses": ADDRESSES.schema}, "required": ["addresses"]},
)


def changeable(request: Request) -> Sequence[ColumnElement[bool]]:
    """The groups that a request may be about: whoever would change one that is only shared with him is told,
    as by Neutron, that there is none."""
    if request.method == "GET" or request.context.is_admin:
        return ()
    return (address_groups.c.project_id == (request.context.project_id or ""),)


_CHANGED = Crud(resource=ADDRESS_GROUP, visible=changeable)


def _handler(rule: str, unit: Unit) -> Handler:
    async def handler(request: Request) -> Reply:
        wanted = body_of(request)
        changed = await request.write(_change, request, rule, unit, wanted)
        return shown_reply(request, ADDRESS_GROUP, changed)

    return handler


def _change(tx: Tx, request: Request, rule: str, unit: Unit, wanted: Sequence[str]) -> Values:
    group = find_seen(tx, request, _CHANGED)
    request.access.require(rule, target_of(tx, request, ADDRESS_GROUP, group))
    check_revision(ADDRESS_GROUP, group, wanted_revision(request))
    return unit(tx, request.context, group, wanted)


def address_routes(path: str) -> tuple[Route, ...]:
    """The routes below one group's path."""
    return tuple(
        Route(
            "PUT",
            f"{path}/{{id}}/{verb}",
            _handler(verb, unit),
            rule=verb,
            body=_BODY,
            resource=ADDRESS_GROUP,
            action="update",
            summary=summary,
        )
        for verb, unit, summary in (
            ("add_addresses", addresses_add, "Add addresses to an address group"),
            ("remove_addresses", addresses_remove, "Remove addresses from an address group"),
        )
    )
