"""Quotas of the network API: limits, their administration, and how many there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from pileus.core.errors import Invalid
from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.resource.quota import (
    UNLIMITED,
    Quota,
    quota_limits,
    quota_read,
    quota_reset,
    quota_set,
    quota_usage,
)
from pileus.resource.types import BadValue, Type
from pileus.resource.wordings.neutron import NEUTRON, HTTPBadRequest
from pileus.services.network.common.attributes import number
from pileus.services.network.common.bodies import body_of, object_named
from pileus.services.network.common.policy import ADMIN, ADMIN_OR_MANAGER, rules
from pileus.services.network.common.quotas import SERVICE
from pileus.services.network.common.view_lists import views_reply, views_type
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request
from pileus.web.routes import ANYBODY, Route

EXTENSIONS = (
    Extension(
        "quotas",
        "Quota management support",
        "Expose functions for quotas management per project",
        "2012-07-29T10:00:00-00:00",
    ),
    Extension(
        "quota_details",
        "Quota details management support",
        "Expose functions for quotas usage statistics per project",
        "2017-02-10T10:00:00-00:00",
    ),
    Extension(
        "quota-check-limit",
        "Quota engine limit check",
        "Support for checking the resource usage before applying a new quota limit",
        "2021-09-08T16:00:00-00:00",
    ),
    Extension(
        "quota-check-limit-default",
        "Quota engine limit check by default",
        "By default, the resource usage is checked before applying a new quota limit",
        "2024-08-21T16:00:00-00:00",
    ),
)
_LIMIT = number(-1)
_BESIDES = ("tenant_id", "project_id", "force", "check_limit")
_TEXT = types.string(36)
_BODY = object_named("quota", types.dict_of(dict.fromkeys(_BESIDES, types.anything), additional=_LIMIT))
_LIMITS = types.dict_of({}, additional=_LIMIT)
_SHOWN = types.dict_of({"quota": _LIMITS})
_LIST = views_type("quotas", types.dict_of({"project_id": _TEXT, "tenant_id": _TEXT}, additional=_LIMIT))
_DETAILS = types.dict_of(
    {
        "quota": types.dict_of(
            {},
            additional=types.dict_of(
                {"limit": _LIMIT, "used": types.integer(0), "reserved": types.integer(0)}
            ),
        )
    }
)

RULES = rules({"get_quota": ADMIN_OR_MANAGER, "update_quota": ADMIN, "delete_quota": ADMIN})


class QuotaMissingTenant(Invalid):
    message = "Tenant-id was missing from quota request."


async def list_quotas(request: Request) -> Reply:
    """List projects that have limits of their own."""
    request.authorise("update_quota")
    limits = await request.read(_all_limits, request.service.quotas)
    return views_reply(request, "quotas", limits, "project_id", ("project_id", "tenant_id"))


async def show_quota(request: Request) -> Reply:
    """Show the limits of one project."""
    project_id = _readable(request)
    limits = await request.read(quota_read, [project_id], request.service.quotas)
    return Reply.json({"quota": limits[project_id]})


def _own(word: str) -> Type:
    return types.dict_of({word: types.dict_of({f"{word}_id": _TEXT})})


def _show_own(word: str) -> Handler:
    """Make a handler of ``tenant`` or ``project`` in place of an id: whose limits would be shown."""

    async def show_own(request: Request) -> Reply:
        if not request.context.project_id:
            raise QuotaMissingTenant()
        return Reply.json({word: {f"{word}_id": request.context.project_id}})

    return show_own


async def show_default(request: Request) -> Reply:
    """Show the limits of a project that was given none of its own."""
    _readable(request)
    nobody = ""
    limits = await request.read(quota_read, [nobody], request.service.quotas)
    return Reply.json({"quota": limits[nobody]})


async def show_details(request: Request) -> Reply:
    """Show limits, and how much of them is used."""
    project_id = _readable(request)
    return Reply.json({"quota": await request.read(_details, project_id, request.service.quotas)})


async def update_quota(request: Request) -> Reply:
    """Set limits of one project; not below what it has, unless ``force`` says so."""
    project_id = _authorised(request, "update_quota")
    wanted, forced = _parse(request)
    quotas = request.service.quotas
    return Reply.json({"quota": await request.write(_set_limits, project_id, wanted, forced, quotas)})


async def delete_quota(request: Request) -> Reply:
    """Reset the limits of a project to the defaults."""
    project_id = _authorised(request, "delete_quota")
    await request.write(quota_reset, project_id, SERVICE)
    return Reply.empty()


def _authorised(request: Request, rule: str) -> str:
    project_id = request.path["project_id"]
    request.authorise(rule, {"project_id": project_id, "tenant_id": project_id})
    return project_id


def _readable(request: Request) -> str:
    """Everybody reads the limits of the project that he is in."""
    if request.path["project_id"] == request.context.project_id:
        return request.path["project_id"]
    return _authorised(request, "get_quota")


def _parse(request: Request) -> tuple[dict[str, int], bool]:
    """The limits asked for, and whether they hold whatever is in use."""
    asked = body_of(request)["quota"]
    known = {quota.resource for quota in request.service.quotas}
    wanted = {}
    for name, value in asked.items():
        if name in _BESIDES:
            continue
        if name not in known:
            raise HTTPBadRequest(f"Unrecognized attribute(s) '{name}'")
        try:
            wanted[name] = _LIMIT.parse(value)
        except BadValue as bad:
            raise NEUTRON.bad_value(name, value, bad) from None
    return wanted, asked.get("force") is True


def _all_limits(tx: Tx, quotas: Sequence[Quota]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    defaults = {quota.resource: quota.default for quota in quotas}
    for row in tx.rows(select(quota_limits).where(quota_limits.c.service == SERVICE)):
        limits = found.setdefault(
            row.project_id, {**defaults, "project_id": row.project_id, "tenant_id": row.project_id}
        )
        if row.resource in defaults:
            limits[row.resource] = row.hard_limit
    return [found[project_id] for project_id in sorted(found)]


def _details(tx: Tx, project_id: str, quotas: Sequence[Quota]) -> dict[str, dict[str, int]]:
    limits = quota_read(tx, [project_id], quotas)[project_id]
    used = quota_usage(tx, project_id, quotas)
    return {name: {"limit": limits[name], "used": used[name], "reserved": 0} for name in limits}


def _set_limits(
    tx: Tx, project_id: str, wanted: dict[str, int], forced: bool, quotas: Sequence[Quota]
) -> dict[str, int]:
    if not forced:
        _check_used(tx, project_id, wanted, quotas)
    quota_set(tx, project_id, SERVICE, wanted)
    return quota_read(tx, [project_id], quotas)[project_id]


def _check_used(tx: Tx, project_id: str, wanted: dict[str, int], quotas: Sequence[Quota]) -> None:
    bounded = [quota for quota in quotas if wanted.get(quota.resource, UNLIMITED) != UNLIMITED]
    for resource, used in quota_usage(tx, project_id, bounded).items():
        if used > wanted[resource]:
            raise HTTPBadRequest(
                f"Quota limit {wanted[resource]} for {resource} must be greater than or equal to already "
                f"used {used}"
            )


def _route(method: str, path: str, handler: Handler, rule: str, reply: Type | None, summary: str) -> Route:
    return Route(
        method,
        f"/v2.0/quotas{path}",
        handler,
        rule=rule,
        body=_BODY if method == "PUT" else None,
        reply=reply,
        status=200 if reply else 204,
        summary=summary,
    )


NOUN = Noun(
    name="quota",
    routes=(
        _route("GET", "", list_quotas, "update_quota", _LIST, "List quotas that were set"),
        _route("GET", "/tenant", _show_own("tenant"), ANYBODY, _own("tenant"), "Show whose quotas are shown"),
        _route(
            "GET", "/project", _show_own("project"), ANYBODY, _own("project"), "Show whose quotas are shown"
        ),
        _route("GET", "/{project_id}", show_quota, "get_quota", _SHOWN, "Show quotas"),
        _route("PUT", "/{project_id}", update_quota, "update_quota", _SHOWN, "Set quotas"),
        _route("DELETE", "/{project_id}", delete_quota, "delete_quota", None, "Reset quotas"),
        _route("GET", "/{project_id}/default", show_default, "get_quota", _SHOWN, "Show default quotas"),
        _route("GET", "/{project_id}/details", show_details, "get_quota", _DETAILS, "Show quotas and use"),
        _route(
            "GET", "/{project_id}/details.json", show_details, "get_quota", _DETAILS, "Show quotas and use"
        ),
    ),
    rules=RULES,
    extensions=EXTENSIONS,
)
