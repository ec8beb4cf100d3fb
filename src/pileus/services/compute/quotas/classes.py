"""Quota classes, of which the default one is used. Source: Compute API reference, "Quota Class Sets"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.resource.quota import quota_set
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.compute.api import at_least, enforce
from pileus.services.compute.errors import BadRequest
from pileus.services.compute.policy import ADMIN, any_of, rules
from pileus.services.compute.quotas.counting import CLASS_SERVICE, DEFAULT_CLASS, DEFAULTS, class_limits
from pileus.services.compute.quotas.noun import FILES, LIMIT, NETWORK
from pileus.services.compute.replies import INTEGER, TEXT, always, named
from pileus.store.tx import Tx
from pileus.web.body import declared_body
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import ByVersion, Route

_GROUPS = frozenset({"server_groups", "server_group_members"})


def _shown(version: Version | None) -> list[str]:
    """The limits that a microversion has."""
    assert version is not None
    hidden = NETWORK if at_least(version, "2.50") else _GROUPS
    if at_least(version, "2.57"):
        hidden |= FILES
    return [name for name in DEFAULTS if name not in hidden]


def _update_body(version: Version) -> Type:
    return types.dict_of(
        {"quota_class_set": types.dict_of(dict.fromkeys(_shown(version), LIMIT))},
        required=("quota_class_set",),
    )


def _reply(version: Version) -> Type:
    return named("quota_class_set", always({"id": TEXT, **dict.fromkeys(_shown(version), INTEGER)}))


def _update_reply(version: Version) -> Type:
    return named("quota_class_set", always(dict.fromkeys(_shown(version), INTEGER)))


def _view(request: Request, limits: Mapping[str, int]) -> dict[str, Any]:
    return {name: limits[name] for name in _shown(request.version)}


async def show_class(request: Request) -> Reply:
    """Show the limits of a class; whatever its name, they are those of the default one."""
    name = request.path["quota_class"]
    enforce(request, {"quota_class": name})
    limits = await request.read(class_limits)
    return Reply.json({"quota_class_set": {"id": name, **_view(request, limits)}})


def _set_class(tx: Tx, wanted: dict[str, int]) -> dict[str, int]:
    quota_set(tx, DEFAULT_CLASS, CLASS_SERVICE, wanted)
    return class_limits(tx)


async def update_class(request: Request) -> Reply:
    """Set the limits of projects that have none of their own."""
    name = request.path["quota_class"]
    enforce(request, {"quota_class": name})
    wanted = declared_body(request)["quota_class_set"]
    if name != DEFAULT_CLASS:
        raise BadRequest(f"There is one quota class, '{DEFAULT_CLASS}'; nothing would use '{name}'.")
    limits = await request.write(_set_class, wanted)
    return Reply.json({"quota_class_set": _view(request, limits)})


_PATH = "/v2.1/os-quota-class-sets/{quota_class}"

QUOTA_CLASSES = Noun(
    name="quota_class_set",
    rules=rules(
        {
            "os-quota-class-sets:show": any_of(ADMIN, "quota_class:%(quota_class)s"),
            "os-quota-class-sets:update": ADMIN,
        }
    ),
    extensions=(Extension("os-quota-class-sets", "QuotaClasses", "Quota classes management support."),),
    routes=(
        Route(
            "GET",
            _PATH,
            show_class,
            rule="os_compute_api:os-quota-class-sets:show",
            reply=ByVersion(_reply),
            summary="Show a class",
        ),
        Route(
            "PUT",
            _PATH,
            update_class,
            rule="os_compute_api:os-quota-class-sets:update",
            body=ByVersion(_update_body),
            reply=ByVersion(_update_reply),
            summary="Set a class",
        ),
    ),
)
