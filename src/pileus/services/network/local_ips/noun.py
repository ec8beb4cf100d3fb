"""Local IPs as a part of the API."""

from __future__ import annotations

from functools import partial
from typing import Any

from pileus.resource import types
from pileus.resource.declaration import Extension, Values
from pileus.resource.types import BadValue, Type
from pileus.services.network.common.bodies import body_of
from pileus.services.network.common.view_lists import views_reply, views_type
from pileus.services.network.config import NetworkConfig
from pileus.services.network.local_ips import work
from pileus.services.network.local_ips.resource import LOCAL_IP, RULES
from pileus.store.tx import Tx
from pileus.web.crud import crud, find, target_of
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

PATH = "/v2.0/local_ips/{id}/port_associations"

_FILTERS = ("local_ip_id", "local_ip_address", "fixed_port_id", "fixed_ip", "host")
_VIEW = types.dict_of({name: types.string() for name in _FILTERS})
_ONE = types.dict_of({"port_association": _VIEW})
_KNOWN = {
    "fixed_port_id": types.uuid,
    "fixed_ip": types.nullable(types.ip_address),
    "project_id": types.string(36),
    "tenant_id": types.string(36),
}


def _parse(body: Any) -> dict[str, Any]:
    asked = body.get("port_association") if isinstance(body, dict) else None
    if not isinstance(asked, dict):
        raise BadValue("Unable to find 'port_association' in request body", value=body)
    if "fixed_port_id" not in asked:
        raise BadValue(
            "Failed to parse request. Required attribute 'fixed_port_id' not specified", value=body
        )
    unknown = sorted(asked.keys() - _KNOWN.keys())
    if unknown:
        raise BadValue(f"Unrecognized attribute(s) '{', '.join(unknown)}'", value=body)
    found = {}
    for name, value in asked.items():
        try:
            found[name] = _KNOWN[name].parse(value)
        except BadValue as bad:
            raise BadValue(f"Invalid input for {name}. Reason: {bad.text}.", value=body) from None
    return found


_BODY = Type(
    "port association",
    _parse,
    types.dict_of(
        {"port_association": types.dict_of(_KNOWN, required=("fixed_port_id",))},
        required=("port_association",),
    ).schema,
)


def _parent(tx: Tx, request: Request, rule: str, *, lock: bool = True) -> Values:
    local_ip = find(tx, request, LOCAL_IP, lock=lock)
    target = {
        **target_of(tx, request, LOCAL_IP, local_ip),
        "ext_parent:project_id": local_ip["project_id"],
    }
    request.access.require(rule, target)
    return local_ip


def _list(tx: Tx, request: Request) -> list[dict[str, Any]]:
    return work.associations_of(tx, _parent(tx, request, "get_local_ip_port_association", lock=False)["id"])


def _show(tx: Tx, request: Request) -> dict[str, Any]:
    local_ip = _parent(tx, request, "get_local_ip_port_association", lock=False)
    return work.association_of(tx, local_ip["id"], request.path["fixed_port_id"])


def _create(tx: Tx, request: Request, wanted: dict[str, Any]) -> dict[str, Any]:
    local_ip = _parent(tx, request, "create_local_ip_port_association")
    return work.association_create(
        tx, request.context, local_ip, wanted["fixed_port_id"], wanted.get("fixed_ip")
    )


def _delete(tx: Tx, request: Request) -> None:
    local_ip = _parent(tx, request, "delete_local_ip_port_association")
    work.association_delete(tx, request.context, local_ip, request.path["fixed_port_id"])


async def list_associations(request: Request) -> Reply:
    """List the ports that a local IP leads to."""
    found = await request.read(_list, request)
    return views_reply(request, "port_associations", found, "fixed_port_id", _FILTERS)


async def show_association(request: Request) -> Reply:
    """Show one of them."""
    return Reply.json({"port_association": await request.read(_show, request)})


async def create_association(request: Request) -> Reply:
    """Lead it to a port."""
    made = await request.write(_create, request, body_of(request))
    return Reply.json({"port_association": made}, 201)


async def delete_association(request: Request) -> Reply:
    """Lead it there no more."""
    await request.write(_delete, request)
    return Reply.empty()


def _routes() -> tuple[Route, ...]:
    one, get = f"{PATH}/{{fixed_port_id}}", "get_local_ip_port_association"
    several = views_type("port_associations", _VIEW)
    return (
        Route("GET", PATH, list_associations, rule=get, reply=several, summary="List ports of a local IP"),
        Route(
            "POST",
            PATH,
            create_association,
            status=201,
            rule="create_local_ip_port_association",
            body=_BODY,
            reply=_ONE,
            summary="Associate a local IP with a port",
        ),
        Route("GET", one, show_association, rule=get, reply=_ONE, summary="Show a port of a local IP"),
        Route(
            "DELETE",
            one,
            delete_association,
            status=204,
            rule="delete_local_ip_port_association",
            summary="Disassociate a local IP from a port",
        ),
    )


def noun(config: NetworkConfig) -> Noun:
    """Make the noun; its units decide with ``config``."""
    return Noun(
        name="local_ip",
        routes=(
            *crud(
                LOCAL_IP,
                "/v2.0/local-ips",
                create=partial(work.local_ip_create, config=config),
                update=work.local_ip_update,
                delete=partial(work.local_ip_delete, config=config),
            ),
            *_routes(),
        ),
        rules=RULES,
        quotas=(work.LOCAL_IP_QUOTA,),
        extensions=(
            Extension("local_ip", "Local IP", "Support Node Local Virtual IP", "2021-07-26T10:00:00-00:00"),
        ),
    )
