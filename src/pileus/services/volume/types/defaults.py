"""Default volume types of projects, since 3.62. Source: Block Storage API reference, "Default Volume
Types"."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, select

from pileus.core.errors import NotFound
from pileus.resource.event import event
from pileus.resource.replies import TEXT, UUID, always, named, named_list
from pileus.services.volume.api import NAME, enforce, wrapped
from pileus.services.volume.policy import ADMIN, rules
from pileus.services.volume.tables.types import volume_default_types
from pileus.services.volume.types.work import type_named
from pileus.store.tx import Tx
from pileus.store.upsert import upsert
from pileus.web.body import declared_body
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route


class NoDefaultType(NotFound):
    message = "Default type for project {project_id} not found."


_c = volume_default_types.c


def _target(request: Request) -> str:
    project_id = request.path["project_id"]
    enforce(request, {"project_id": project_id})
    return project_id


def _read(tx: Tx, project_id: str | None) -> list[dict[str, Any]]:
    where = [] if project_id is None else [_c.project_id == project_id]
    rows = tx.rows(select(_c.project_id, _c.volume_type_id).where(*where).order_by(_c.project_id))
    return [row._asdict() for row in rows]


def _set(tx: Tx, request: Request, project_id: str, name: str) -> dict[str, Any]:
    found = type_named(tx, request.access, name)
    row = {"project_id": project_id, "volume_type_id": found["id"]}
    tx.execute(upsert(tx.dialect, volume_default_types, ("volume_type_id",)), [row])
    tx.emit(event(request.context, "volume_type.default", found["id"], project_id))
    return row


def _unset(tx: Tx, request: Request, project_id: str) -> None:
    if not tx.execute(delete(volume_default_types).where(_c.project_id == project_id)).rowcount:
        raise NoDefaultType(project_id=project_id)
    tx.emit(event(request.context, "volume_type.default", project_id, project_id))


async def list_defaults(request: Request) -> Reply:
    """List the projects that have a default type of their own."""
    enforce(request)
    return Reply.json({"default_types": await request.read(_read, None)})


async def show_default(request: Request) -> Reply:
    """Show a project's default type."""
    project_id = _target(request)
    found = await request.read(_read, project_id)
    if not found:
        raise NoDefaultType(project_id=project_id)
    return Reply.json({"default_type": found[0]})


async def set_default(request: Request) -> Reply:
    """Set a project's default type."""
    project_id = _target(request)
    name = declared_body(request)["default_type"]["volume_type"]
    return Reply.json({"default_type": await request.write(_set, request, project_id, name)})


async def unset_default(request: Request) -> Reply:
    """Give a project the cloud's default type again."""
    await request.write(_unset, request, _target(request))
    return Reply.empty()


_RULE = "volume_extension:default_"
_ALL, _ONE = "/v3/default-types", "/v3/default-types/{project_id}"
_WINDOW = ("3.62", "")
_SHOWN = always({"project_id": TEXT, "volume_type_id": UUID})

DEFAULT_TYPES = Noun(
    name="default_type",
    rules=rules({_RULE + name: ADMIN for name in ("set_or_update", "get", "get_all", "unset")}),
    routes=(
        Route(
            "GET",
            _ALL,
            list_defaults,
            rule=_RULE + "get_all",
            versions=_WINDOW,
            reply=named_list("default_types", _SHOWN),
            summary="List default volume types",
        ),
        Route(
            "GET",
            _ONE,
            show_default,
            rule=_RULE + "get",
            versions=_WINDOW,
            reply=named("default_type", _SHOWN),
            summary="Show a default volume type",
        ),
        Route(
            "PUT",
            _ONE,
            set_default,
            rule=_RULE + "set_or_update",
            versions=_WINDOW,
            body=wrapped("default_type", {"volume_type": NAME}, ("volume_type",)),
            reply=named("default_type", _SHOWN),
            summary="Set a default volume type",
        ),
        Route(
            "DELETE",
            _ONE,
            unset_default,
            rule=_RULE + "unset",
            versions=_WINDOW,
            status=204,
            summary="Unset a default volume type",
        ),
    ),
)
