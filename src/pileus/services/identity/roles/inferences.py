"""``/v3/roles/{id}/implies`` and ``/v3/role_inferences``: implied roles as the API shows them."""

from __future__ import annotations

from typing import Any

from pileus.resource import types
from pileus.resource.declaration import Values
from pileus.services.identity.common.replies import LINKS, TEXT, own_link, shape
from pileus.services.identity.roles.implied import (
    ImpliedRoleNotFound,
    implied_role_create,
    implied_role_delete,
    implied_roles_read,
)
from pileus.services.identity.roles.resource import ROLE
from pileus.services.identity.rules.roles import RoleGraph
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Route
from pileus.web.view import show


async def list_all(request: Request) -> Reply:
    """GET /v3/role_inferences"""
    request.authorise("identity:list_role_inference_rules")
    known, graph = await request.read(implied_roles_read)
    rules = [
        {"prior_role": _role(request, known[prior]), "implies": _implied(request, known, graph, prior)}
        for prior in graph.implications
    ]
    return Reply.json({"role_inferences": rules, "links": own_link(request)})


async def list_implied(request: Request) -> Reply:
    """GET /v3/roles/{id}/implies"""
    known, graph = await _judged(request, "list_implied_roles")
    prior = request.path["id"]
    rule = {"prior_role": _role(request, known[prior]), "implies": _implied(request, known, graph, prior)}
    return Reply.json({"role_inference": rule, "links": own_link(request)})


async def imply(request: Request) -> Reply:
    """PUT /v3/roles/{id}/implies/{implied_id}"""
    await _judged(request, "create_implied_role")
    prior, implied = request.path["id"], request.path["implied_id"]
    await request.write(implied_role_create, request.context, prior, implied)
    return _inference(request, *await request.read(implied_roles_read), 201)


async def show_implied(request: Request) -> Reply:
    """GET /v3/roles/{id}/implies/{implied_id}"""
    return _inference(request, *await _judged(request, "get_implied_role"))


async def check_implied(request: Request) -> Reply:
    """HEAD /v3/roles/{id}/implies/{implied_id}"""
    _inference(request, *await _judged(request, "check_implied_role"))
    return Reply.empty()


async def remove_implied(request: Request) -> Reply:
    """DELETE /v3/roles/{id}/implies/{implied_id}"""
    await _judged(request, "delete_implied_role")
    prior, implied = request.path["id"], request.path["implied_id"]
    await request.write(implied_role_delete, request.context, prior, implied)
    return Reply.empty()


async def _judged(request: Request, rule: str) -> tuple[dict[str, Values], RoleGraph]:
    """All roles, after the policy was asked. Raises NotFound for those of the path, then Forbidden."""
    known, graph = await request.read(implied_roles_read)
    for name in ("id", "implied_id"):
        if name in request.path and request.path[name] not in known:
            raise ROLE.not_found(request.path[name])
    request.authorise(f"identity:{rule}")
    return known, graph


def _inference(request: Request, known: dict[str, Values], graph: RoleGraph, status: int = 200) -> Reply:
    prior, implied = request.path["id"], request.path["implied_id"]
    if implied not in graph.implications.get(prior, ()):
        raise ImpliedRoleNotFound(prior=prior, implied=implied)
    rule = {"prior_role": _role(request, known[prior]), "implies": _role(request, known[implied])}
    return Reply.json({"role_inference": rule, "links": own_link(request)}, status)


def _implied(
    request: Request, known: dict[str, Values], graph: RoleGraph, prior: str
) -> list[dict[str, Any]]:
    return [_role(request, known[key]) for key in graph.implications.get(prior, ())]


def _role(request: Request, role: Values) -> dict[str, Any]:
    view = show(request, ROLE, [role])[0]
    return {"id": view["id"], "name": view["name"], "links": view["links"]}


def _links(request: Request) -> dict[str, str]:
    return {"self": request.path_url}


_ROLE = shape({"id": TEXT, "name": TEXT, "links": LINKS})
_ONE_OF_MANY = shape({"prior_role": _ROLE, "implies": types.list_of(_ROLE)})
_ALL_REPLY = shape({"role_inferences": types.list_of(_ONE_OF_MANY), "links": LINKS})
_OF_ROLE_REPLY = shape({"role_inference": _ONE_OF_MANY, "links": LINKS})
_ONE_REPLY = shape({"role_inference": shape({"prior_role": _ROLE, "implies": _ROLE}), "links": LINKS})
_OF_ROLE, _ONE = "/v3/roles/{id}/implies", "/v3/roles/{id}/implies/{implied_id}"

INFERENCE_ROUTES = (
    Route(
        "GET",
        _OF_ROLE,
        list_implied,
        rule="identity:list_implied_roles",
        reply=_OF_ROLE_REPLY,
        summary="List the roles that a role implies",
    ),
    Route(
        "PUT",
        _ONE,
        imply,
        status=201,
        rule="identity:create_implied_role",
        body=NO_BODY,
        reply=_ONE_REPLY,
        summary="Have a role imply another",
    ),
    Route(
        "GET",
        _ONE,
        show_implied,
        rule="identity:get_implied_role",
        reply=_ONE_REPLY,
        summary="Show an implied role",
    ),
    Route(
        "HEAD",
        _ONE,
        check_implied,
        status=204,
        rule="identity:check_implied_role",
        summary="Check an implied role",
    ),
    Route(
        "DELETE",
        _ONE,
        remove_implied,
        status=204,
        rule="identity:delete_implied_role",
        summary="Have a role imply another no longer",
    ),
    Route(
        "GET",
        "/v3/role_inferences",
        list_all,
        rule="identity:list_role_inference_rules",
        reply=_ALL_REPLY,
        summary="List all implied roles",
    ),
)
