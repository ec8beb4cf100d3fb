"""Quota sets of projects and users. Source: Compute API reference, "Quota Sets"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete

from pileus.core.context import Context
from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.resource.quota import UNLIMITED, quota_limits, quota_reset, quota_set
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.compute.api import at_least, enforce
from pileus.services.compute.errors import BadRequest
from pileus.services.compute.policy import ADMIN, ADMIN_OR_READER, EVERYBODY, rules
from pileus.services.compute.quotas.counting import (
    DEFAULTS,
    SERVICE,
    USER_SERVICE,
    class_limits,
    limits_of,
    usage_with_groups,
    user_service,
)
from pileus.services.compute.replies import COUNT, INTEGER, TEXT, always, named
from pileus.store.tx import Tx
from pileus.web.body import declared_body
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, ByVersion, Route

NETWORK = frozenset({"floating_ips", "fixed_ips", "security_groups", "security_group_rules"})
FILES = frozenset({"injected_files", "injected_file_content_bytes", "injected_file_path_bytes"})
LIMIT = types.integer(-1, 2**31 - 1)


def _shown(version: Version | None) -> list[str]:
    """The limits that a microversion has."""
    assert version is not None
    hidden = NETWORK if at_least(version, "2.36") else frozenset()
    if at_least(version, "2.57"):
        hidden |= FILES
    return [name for name in DEFAULTS if name not in hidden]


def _update_body(version: Version) -> Type:
    fields = dict.fromkeys(_shown(version), LIMIT)
    return types.dict_of(
        {"quota_set": types.dict_of({**fields, "force": types.boolean, "tenant_id": types.string()})},
        required=("quota_set",),
    )


def _reply(version: Version) -> Type:
    return named("quota_set", always({"id": TEXT, **dict.fromkeys(_shown(version), INTEGER)}))


def _update_reply(version: Version) -> Type:
    return named("quota_set", always(dict.fromkeys(_shown(version), INTEGER)))


def _detail_reply(version: Version) -> Type:
    detail = always({"limit": INTEGER, "in_use": COUNT, "reserved": COUNT})
    return named("quota_set", always({"id": TEXT, **dict.fromkeys(_shown(version), detail)}))


def _project(request: Request) -> str:
    """The project that the path names, if the caller may do this to it."""
    project_id = request.path["project_id"]
    enforce(request, {"project_id": project_id})
    return project_id


def _user(request: Request) -> str | None:
    return request.parameter("user_id") or None


def _view(request: Request, limits: Mapping[str, Any], project_id: str | None = None) -> dict[str, Any]:
    view = {name: limits[name] for name in _shown(request.version)}
    return view if project_id is None else {"id": project_id, **view}


async def show_quota(request: Request) -> Reply:
    """Show a project's limits, or those of one user of it."""
    project_id = _project(request)
    limits = await request.read(limits_of, project_id, _user(request))
    return Reply.json({"quota_set": _view(request, limits, project_id)})


async def show_default(request: Request) -> Reply:
    """Show the limits of a project that has none of its own."""
    project_id = _project(request)
    return Reply.json({"quota_set": _view(request, await request.read(class_limits), project_id)})


def _details(tx: Tx, project_id: str, user_id: str | None) -> dict[str, dict[str, int]]:
    limits = limits_of(tx, project_id, user_id)
    used = usage_with_groups(tx, project_id, user_id)._asdict()
    return {
        name: {"limit": limit, "in_use": used.get(name, 0), "reserved": 0} for name, limit in limits.items()
    }


async def show_detail(request: Request) -> Reply:
    """Show limits, and how much of them is used."""
    project_id = _project(request)
    details = await request.read(_details, project_id, _user(request))
    return Reply.json({"quota_set": _view(request, details, project_id)})


def quota_update(
    tx: Tx, context: Context, project_id: str, user_id: str | None, wanted: dict[str, int], force: bool
) -> dict[str, int]:
    """Set limits of a project, or of one user of it: below what is used only with ``force``, and a user's
    never above his project's."""
    used = usage_with_groups(tx, project_id, user_id)._asdict()
    most = limits_of(tx, project_id) if user_id is not None else {}
    for name, limit in wanted.items():
        if not force and limit != UNLIMITED and used.get(name, 0) > limit:
            raise BadRequest(
                f"Quota limit {limit} for {name} must be greater than or equal to already used "
                f"and reserved {used[name]}."
            )
        bound = most.get(name, UNLIMITED)
        if bound != UNLIMITED and (limit == UNLIMITED or limit > bound):
            raise BadRequest(f"Quota limit {limit} for {name} must be less than or equal to {bound}.")
    quota_set(tx, project_id, _service(user_id), wanted)
    return limits_of(tx, project_id, user_id)


def _service(user_id: str | None) -> str:
    return SERVICE if user_id is None else user_service(user_id)


async def update_quota(request: Request) -> Reply:
    """Set limits of a project, or of the user that the query names."""
    project_id, user_id = _project(request), _user(request)
    wanted = dict(declared_body(request)["quota_set"])
    force = bool(wanted.pop("force", False))
    wanted.pop("tenant_id", None)
    limits = await request.write(quota_update, request.context, project_id, user_id, wanted, force)
    return Reply.json({"quota_set": _view(request, limits)})


def _reset(tx: Tx, project_id: str, user_id: str | None) -> None:
    quota_reset(tx, project_id, _service(user_id))
    if user_id is None:
        columns = quota_limits.c
        of_users = columns.service.startswith(USER_SERVICE, autoescape=True)
        tx.execute(delete(quota_limits).where(columns.project_id == project_id, of_users))


async def delete_quota(request: Request) -> Reply:
    """Reset a project to the defaults, or a user to his project's limits."""
    project_id = _project(request)
    await request.write(_reset, project_id, _user(request))
    return Reply.empty(202)


_ONE = "/v2.1/os-quota-sets/{project_id}"
_RULE = "os_compute_api:os-quota-sets:"

QUOTA_SETS = Noun(
    name="quota_set",
    rules=rules(
        {
            "os-quota-sets:show": ADMIN_OR_READER,
            "os-quota-sets:defaults": EVERYBODY,
            "os-quota-sets:detail": ADMIN_OR_READER,
            "os-quota-sets:update": ADMIN,
            "os-quota-sets:delete": ADMIN,
        }
    ),
    extensions=(
        Extension("os-quota-sets", "Quotas", "Quotas management support."),
        Extension("os-extended-quotas", "ExtendedQuotas", "Adds ability for admins to delete quota."),
    ),
    routes=(
        Route("GET", _ONE, show_quota, rule=_RULE + "show", reply=ByVersion(_reply), summary="Show quotas"),
        Route(
            "PUT",
            _ONE,
            update_quota,
            rule=_RULE + "update",
            body=ByVersion(_update_body),
            reply=ByVersion(_update_reply),
            summary="Set quotas",
        ),
        Route(
            "DELETE",
            _ONE,
            delete_quota,
            rule=_RULE + "delete",
            reply=NO_BODY,
            status=202,
            summary="Reset quotas",
        ),
        Route(
            "GET",
            f"{_ONE}/defaults",
            show_default,
            rule=_RULE + "defaults",
            reply=ByVersion(_reply),
            summary="Show default quotas",
        ),
        Route(
            "GET",
            f"{_ONE}/detail",
            show_detail,
            rule=_RULE + "detail",
            reply=ByVersion(_detail_reply),
            summary="Show quotas and use",
        ),
    ),
)
