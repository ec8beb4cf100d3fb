"""Requests that change the prefixes of a pool (extension ``subnetpool-prefix-ops``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pileus.resource import types
from pileus.resource.declaration import Extension, Values
from pileus.resource.revision import check_revision
from pileus.resource.types import BadValue, Type
from pileus.services.network.common.attributes import MOST
from pileus.services.network.common.bodies import body_of
from pileus.services.network.common.policy import ADMIN_OR_MEMBER, rules
from pileus.services.network.subnetpools.prefix_work import prefixes_add, prefixes_remove
from pileus.services.network.subnetpools.resource import SUBNETPOOL
from pileus.store.tx import Tx
from pileus.web.crud import find, target_of
from pileus.web.precondition import wanted_revision
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

PATH = "/v2.0/subnetpools/{id}"
RULES = rules(dict.fromkeys(("add_prefixes", "remove_prefixes"), ADMIN_OR_MEMBER))
EXTENSIONS = (
    Extension(
        "subnetpool-prefix-ops",
        "Subnet Pool Prefix Operations",
        "Provides support for adjusting the prefix list of subnet pools",
        "2019-02-08T10:00:00-00:00",
    ),
)

_PREFIXES = types.list_of(types.cidr, maximum=MOST)


def _parse_prefixes(body: Any) -> list[str]:
    several = body.get("prefixes") if isinstance(body, dict) else None
    if not several or not isinstance(several, list):
        raise BadValue("Request body contains invalid data", value=body)
    found: list[str] = _PREFIXES.parse(several)
    return found


_BODY = Type(
    "prefixes", _parse_prefixes, types.dict_of({"prefixes": _PREFIXES}, required=("prefixes",)).schema
)


def pool_named(tx: Tx, request: Request, rule: str) -> Values:
    """The pool that the path names, after the policy was asked about it."""
    pool = find(tx, request, SUBNETPOOL)
    request.access.require(rule, target_of(tx, request, SUBNETPOOL, pool))
    check_revision(SUBNETPOOL, pool, wanted_revision(request))
    return pool


def _prefix_route(rule: str, unit: Callable[..., list[str]], summary: str) -> Route:
    def change(tx: Tx, request: Request, several: list[str]) -> list[str]:
        return unit(tx, request.context, pool_named(tx, request, rule), several)

    async def handler(request: Request) -> Reply:
        return Reply.json({"prefixes": await request.write(change, request, body_of(request))})

    return Route(
        "PUT",
        f"{PATH}/{rule}",
        handler,
        rule=rule,
        body=_BODY,
        reply=types.dict_of({"prefixes": _PREFIXES}),
        summary=summary,
    )


ROUTES = (
    _prefix_route("add_prefixes", prefixes_add, "Add prefixes to a subnet pool"),
    _prefix_route("remove_prefixes", prefixes_remove, "Remove prefixes from a subnet pool"),
)
