"""Bindings of ports as a part of the API."""

from __future__ import annotations

from typing import Any

from pileus.resource import types
from pileus.resource.declaration import Extension, Values
from pileus.resource.types import BadValue, Type
from pileus.services.network.common.bodies import body_of
from pileus.services.network.common.policy import ADMIN_OR_SERVICE, SERVICE, rules
from pileus.services.network.common.view_lists import views_reply, views_type
from pileus.services.network.config import NetworkConfig
from pileus.services.network.port_bindings.work import (
    ACTIVE,
    INACTIVE,
    binding_activate,
    binding_create,
    binding_delete,
    binding_on,
    binding_update,
    bindings_of,
)
from pileus.services.network.ports.resource import PORT, VNIC_TYPES
from pileus.store.tx import Tx
from pileus.web.crud import find, target_of
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

PATH = "/v2.0/ports/{id}/bindings"

_HOST = types.line(255, minimum=1)
_PROFILE = types.nullable(types.dict_of({}, additional=types.anything))
_WISH = {"host": _HOST, "vnic_type": types.enum(*VNIC_TYPES), "profile": _PROFILE}
_TOLD = {"project_id": types.string(36), "tenant_id": types.string(36)}
_VIEW = types.dict_of(
    {
        "host": types.string(),
        "vnic_type": types.string(),
        "profile": types.anything,
        "vif_type": types.string(),
        "vif_details": types.anything,
        "status": types.enum(ACTIVE, INACTIVE),
    }
)
_ONE = types.dict_of({"binding": _VIEW})


def _body(*, required: tuple[str, ...]) -> Type:
    """A body with a binding in it; the refusals are those of Neutron's attributes."""
    known: dict[str, Type] = {**_WISH, **_TOLD}

    def parse(body: Any) -> dict[str, Any]:
        asked = body.get("binding") if isinstance(body, dict) else None
        if not isinstance(asked, dict):
            raise BadValue("Unable to find 'binding' in request body", value=body)
        for name in required:
            if name not in asked:
                raise BadValue(
                    f"Failed to parse request. Required attribute '{name}' not specified", value=body
                )
        unknown = sorted(asked.keys() - known.keys())
        if unknown:
            raise BadValue(f"Unrecognized attribute(s) '{', '.join(unknown)}'", value=body)
        found = {}
        for name, value in asked.items():
            try:
                found[name] = known[name].parse(value)
            except BadValue as bad:
                raise BadValue(f"Invalid input for {name}. Reason: {bad.text}.", value=body) from None
        return {name: found[name] for name in _WISH if name in found}

    inner = types.dict_of(known, required=required).schema
    return Type(
        "binding", parse, {"type": "object", "properties": {"binding": inner}, "required": ["binding"]}
    )


_CREATE = _body(required=("host",))
_UPDATE = _body(required=())

RULES = rules(
    {
        "get_port_binding": ADMIN_OR_SERVICE,
        "create_port_binding": SERVICE,
        "update_port_binding": SERVICE,
        "delete_port_binding": SERVICE,
        "activate": SERVICE,
    }
)


def _port(tx: Tx, request: Request, rule: str, *, lock: bool = True) -> Values:
    port = find(tx, request, PORT, lock=lock)
    request.access.require(rule, target_of(tx, request, PORT, port))
    return port


def _list(tx: Tx, request: Request) -> list[dict[str, Any]]:
    return bindings_of(tx, _port(tx, request, "get_port_binding", lock=False))


def _show(tx: Tx, request: Request) -> dict[str, Any]:
    return binding_on(tx, _port(tx, request, "get_port_binding", lock=False), request.path["host"])


async def list_bindings(request: Request) -> Reply:
    """List the bindings of a port."""
    found = await request.read(_list, request)
    return views_reply(request, "bindings", found, "host", ("host", "vif_type", "vnic_type", "status"))


async def show_binding(request: Request) -> Reply:
    """Show one binding."""
    return Reply.json({"binding": await request.read(_show, request)})


class _Handlers:
    """The requests that change something; their units decide with ``config``."""

    def __init__(self, config: NetworkConfig) -> None:
        self._config = config

    def _create(self, tx: Tx, request: Request, wanted: dict[str, Any]) -> dict[str, Any]:
        port = _port(tx, request, "create_port_binding")
        wish = {"vnic_type": "normal", "profile": {}, **wanted}
        return binding_create(tx, request.context, port, wish, self._config)

    def _update(self, tx: Tx, request: Request, wanted: dict[str, Any]) -> dict[str, Any]:
        port = _port(tx, request, "update_port_binding")
        return binding_update(tx, request.context, port, request.path["host"], wanted, self._config)

    def _activate(self, tx: Tx, request: Request) -> dict[str, Any]:
        port = _port(tx, request, "activate")
        return binding_activate(tx, request.context, port, request.path["host"], self._config)

    def _delete(self, tx: Tx, request: Request) -> None:
        port = _port(tx, request, "delete_port_binding")
        binding_delete(tx, request.context, port, request.path["host"], self._config)

    async def create(self, request: Request) -> Reply:
        """Bind the port to one host more."""
        made = await request.write(self._create, request, body_of(request))
        return Reply.json({"binding": made}, 201)

    async def update(self, request: Request) -> Reply:
        """Change a binding."""
        return Reply.json({"binding": await request.write(self._update, request, body_of(request))})

    async def activate(self, request: Request) -> Reply:
        """Make a binding the active one."""
        return Reply.json({"binding": await request.write(self._activate, request)})

    async def delete(self, request: Request) -> Reply:
        """Delete a binding."""
        await request.write(self._delete, request)
        return Reply.empty()


def _routes(config: NetworkConfig) -> tuple[Route, ...]:
    on_host, get, change = f"{PATH}/{{host}}", "get_port_binding", _Handlers(config)
    several = views_type("bindings", _VIEW)
    return (
        Route("GET", PATH, list_bindings, rule=get, reply=several, summary="List bindings of a port"),
        Route(
            "POST",
            PATH,
            change.create,
            status=201,
            rule="create_port_binding",
            body=_CREATE,
            reply=_ONE,
            summary="Bind a port to one host more",
        ),
        Route("GET", on_host, show_binding, rule=get, reply=_ONE, summary="Show binding of a port"),
        Route(
            "PUT",
            on_host,
            change.update,
            rule="update_port_binding",
            body=_UPDATE,
            reply=_ONE,
            summary="Update binding of a port",
        ),
        Route(
            "DELETE",
            on_host,
            change.delete,
            status=204,
            rule="delete_port_binding",
            summary="Delete binding of a port",
        ),
        Route(
            "PUT",
            f"{on_host}/activate",
            change.activate,
            rule="activate",
            body=types.anything,  # none is needed, and none is looked at
            reply=_ONE,
            summary="Activate binding of a port",
        ),
    )


def noun(config: NetworkConfig) -> Noun:
    """Make the noun; its units decide with ``config``."""
    return Noun(
        name="port_binding",
        routes=_routes(config),
        rules=RULES,
        extensions=(
            Extension(
                "binding-extended",
                "Port Bindings Extended",
                "Expose port bindings of a virtual port to external application",
                "2017-07-17T10:00:00-00:00",
            ),
        ),
    )
