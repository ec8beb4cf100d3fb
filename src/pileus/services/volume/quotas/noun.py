"""Quota sets, quota classes and limits. Source: Block Storage API reference, "Quota sets extension",
"Limits"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.resource.quota import UNLIMITED, quota_reset, quota_set
from pileus.resource.replies import COUNT, INTEGER, TEXT, always, named
from pileus.services.volume.api import LARGEST, enforce, enforce_own, flag
from pileus.services.volume.errors import BadRequest
from pileus.services.volume.policy import ADMIN, READER, is_admin, rules
from pileus.services.volume.quotas.counting import (
    CLASS_SERVICE,
    DEFAULT_CLASS,
    DEFAULTS,
    SERVICE,
    class_limits,
    limits_of,
    type_names,
    type_names_seen,
    usage_of,
)
from pileus.store.tx import Tx
from pileus.web.body import declared_body
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Route

_LIMIT = types.integer(-1, LARGEST)


def _body(name: str) -> types.Type:
    """Limits by their names, which are those of volume types too, and what old clients write beside."""
    limits = types.dict_of(
        {
            **dict.fromkeys(DEFAULTS, _LIMIT),
            "tenant_id": types.string(),
            "class_name": types.string(),
            "skip_validation": types.boolean,
        },
        additional=_LIMIT,
    )
    return types.dict_of({name: limits}, required=(name,))


def _project(request: Request) -> str:
    """The project that the path names, if the caller may do this to it."""
    project_id = request.path["project_id"]
    enforce(request, {"project_id": project_id})
    return project_id


def _names(tx: Tx, request: Request, project_id: str) -> dict[str, str]:
    return type_names(tx) if is_admin(request.access) else type_names_seen(tx, project_id)


def _read(tx: Tx, request: Request, project_id: str) -> tuple[dict[str, int], dict[str, int]]:
    names = _names(tx, request, project_id)
    return limits_of(tx, project_id, names), usage_of(tx, project_id, names)


async def show_quota(request: Request) -> Reply:
    """Show a project's limits; with ``usage``, how much of them is used, too."""
    project_id = _project(request)
    limits, used = await request.read(_read, request, project_id)
    view: dict[str, Any] = dict(limits)
    if flag(request, "usage"):
        view = {
            name: {"limit": limit, "in_use": used.get(name, 0), "reserved": 0}
            for name, limit in limits.items()
        }
    return Reply.json({"quota_set": {"id": project_id, **view}})


async def show_default(request: Request) -> Reply:
    """Show the limits of a project that has none of its own."""
    project_id = _project(request)
    limits = await request.read(lambda tx: class_limits(tx, _names(tx, request, project_id)))
    return Reply.json({"quota_set": {"id": project_id, **limits}})


def _set(tx: Tx, project_id: str, service: str, wanted: Mapping[str, int]) -> dict[str, int]:
    names = type_names(tx)
    limits = limits_of(tx, project_id, names)
    if bad := sorted(wanted.keys() - limits.keys()):
        raise BadRequest(f"Bad key(s) in quota set: {', '.join(bad)}")
    if service == SERVICE:
        used = usage_of(tx, project_id, names)
        for name, limit in wanted.items():
            if limit != UNLIMITED and used.get(name, 0) > limit:
                raise BadRequest(f"Quota limit {limit} for {name} is below what is used: {used[name]}.")
    quota_set(tx, project_id, service, wanted)
    return limits_of(tx, project_id, names)


def _wanted(request: Request, name: str) -> dict[str, int]:
    wanted = dict(declared_body(request)[name])
    for other in ("tenant_id", "class_name", "skip_validation"):
        wanted.pop(other, None)
    if not wanted:
        raise BadRequest(f"Missing required element '{name}' in request body.")
    return wanted


async def update_quota(request: Request) -> Reply:
    """Set limits of a project; none below what is used."""
    project_id = _project(request)
    limits = await request.write(_set, project_id, SERVICE, _wanted(request, "quota_set"))
    return Reply.json({"quota_set": limits})


async def delete_quota(request: Request) -> Reply:
    """Reset a project to the defaults."""
    await request.write(quota_reset, _project(request), SERVICE)
    return Reply.empty(200)


# -- classes


async def show_class(request: Request) -> Reply:
    """Show the limits of a class; whatever its name, they are those of the default one."""
    name = request.path["quota_class"]
    enforce(request)
    return Reply.json({"quota_class_set": {"id": name, **await request.read(class_limits)}})


async def update_class(request: Request) -> Reply:
    """Set the limits of projects that have none of their own."""
    enforce(request)
    if request.path["quota_class"] != DEFAULT_CLASS:
        raise BadRequest(f"There is one quota class, '{DEFAULT_CLASS}'.")
    limits = await request.write(_set, DEFAULT_CLASS, CLASS_SERVICE, _wanted(request, "quota_class_set"))
    return Reply.json({"quota_class_set": limits})


# -- limits

_LIMITS = {
    "maxTotalVolumes": "volumes",
    "maxTotalVolumeGigabytes": "gigabytes",
    "maxTotalSnapshots": "snapshots",
    "maxTotalBackups": "backups",
    "maxTotalBackupGigabytes": "backup_gigabytes",
}
_USED = {
    "totalVolumesUsed": "volumes",
    "totalGigabytesUsed": "gigabytes",
    "totalSnapshotsUsed": "snapshots",
    "totalBackupsUsed": "backups",
    "totalBackupGigabytesUsed": "backup_gigabytes",
}


async def show_limits(request: Request) -> Reply:
    """Show what the caller's project may have and has; administrators may name another (``project_id``)."""
    asked = request.parameter("project_id") or request.parameter("tenant_id")
    if asked is not None:
        enforce(request, {"project_id": asked})
    else:
        enforce_own(request)
    project_id = asked or request.context.project_id or ""
    limits, used = await request.read(_read, request, project_id)
    absolute = {name: limits[source] for name, source in _LIMITS.items()}
    absolute |= {name: used[source] for name, source in _USED.items()}
    return Reply.json({"limits": {"rate": [], "absolute": absolute}})


_ONE = "/v3/os-quota-sets/{project_id}"
_CLASS = "/v3/os-quota-class-sets/{quota_class}"
_RULE = "volume_extension:quotas:"
_CLASSES = "volume_extension:quota_classes"
_DETAIL = always({"limit": INTEGER, "in_use": COUNT, "reserved": COUNT})


def _reply(name: str, fields: Mapping[str, types.Type]) -> types.Type:
    kind = types.one_of(INTEGER, _DETAIL)
    inner = types.dict_of(
        {**fields, **dict.fromkeys(DEFAULTS, kind)}, required=(*fields, *DEFAULTS), additional=kind
    )
    return named(name, inner)


_WITH_ID = {"id": TEXT}

QUOTAS = Noun(
    name="quota_set",
    rules=rules(
        {
            _RULE + "show": READER,
            _RULE + "update": ADMIN,
            _RULE + "delete": ADMIN,
            _CLASSES + ":get": ADMIN,
            _CLASSES + ":update": ADMIN,
            "limits_extension:used_limits": READER,
        }
    ),
    extensions=(
        Extension("os-quota-sets", "Quotas", "Quota management support."),
        Extension("os-quota-class-sets", "QuotaClasses", "Quota classes management support."),
        Extension("os-used-limits", "UsedLimits", "Provide data on limited resources that are being used."),
    ),
    routes=(
        Route(
            "GET",
            _ONE,
            show_quota,
            rule=_RULE + "show",
            reply=_reply("quota_set", _WITH_ID),
            summary="Show quotas",
        ),
        Route(
            "GET",
            f"{_ONE}/defaults",
            show_default,
            rule=_RULE + "show",
            reply=_reply("quota_set", _WITH_ID),
            summary="Show default quotas",
        ),
        Route(
            "PUT",
            _ONE,
            update_quota,
            rule=_RULE + "update",
            body=_body("quota_set"),
            reply=_reply("quota_set", {}),
            summary="Set quotas",
        ),
        Route("DELETE", _ONE, delete_quota, rule=_RULE + "delete", reply=NO_BODY, summary="Reset quotas"),
        Route(
            "GET",
            _CLASS,
            show_class,
            rule=_CLASSES + ":get",
            reply=_reply("quota_class_set", _WITH_ID),
            summary="Show a quota class",
        ),
        Route(
            "PUT",
            _CLASS,
            update_class,
            rule=_CLASSES + ":update",
            body=_body("quota_class_set"),
            reply=_reply("quota_class_set", {}),
            summary="Set a quota class",
        ),
        Route(
            "GET",
            "/v3/limits",
            show_limits,
            rule="limits_extension:used_limits",
            reply=named(
                "limits",
                always(
                    {
                        "rate": types.list_of(types.anything, maximum=0),
                        "absolute": always(
                            {**dict.fromkeys(_LIMITS, INTEGER), **dict.fromkeys(_USED, COUNT)}
                        ),
                    }
                ),
            ),
            summary="Show limits and use",
        ),
    ),
)
