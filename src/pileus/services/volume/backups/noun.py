"""Backups. Source: Block Storage API reference, "Backups"."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement

from pileus.resource import types
from pileus.resource.declaration import Extension, Update, Values
from pileus.resource.event import event
from pileus.resource.replies import (
    FLAG,
    INTEGER,
    LINKS,
    MOMENT,
    MOMENT_OR_NULL,
    TEXT,
    TEXT_BY_KEY,
    TEXT_OR_NULL,
    UUID,
    UUID_OR_NULL,
    always,
    named,
)
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.volume.api import ID, METADATA, at_least
from pileus.services.volume.api import TEXT as TEXT_TYPE
from pileus.services.volume.backups import work
from pileus.services.volume.backups.records import LONGEST, backup_export, backup_import
from pileus.services.volume.backups.resource import BACKUP, PROJECT, USER
from pileus.services.volume.config import VolumeConfig
from pileus.services.volume.errors import BadRequest
from pileus.services.volume.listing import counted, listed_with_count, of_project, refuse_unknown
from pileus.services.volume.policy import ADMIN, MEMBER, READER, rules
from pileus.services.volume.rules import states
from pileus.services.volume.tables.backups import volume_backups
from pileus.store.tx import Tx
from pileus.web.actions import action_route
from pileus.web.body import declared_body
from pileus.web.crud import Crud, crud_reply, crud_routes
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Action, ByVersion, Route

_CONTAINER = types.nullable(types.string(200, pattern=r"|[A-Za-z0-9_][A-Za-z0-9_.:-]*"))
_ADMIN = "volume_extension:backup_admin_actions:"
_ATTRIBUTES = "backup:backup_project_attribute"


def _create_body(version: Version) -> Type:
    fields: dict[str, Type] = {
        "volume_id": types.uuid,
        "container": _CONTAINER,
        "name": TEXT_TYPE,
        "description": TEXT_TYPE,
        "incremental": types.nullable(types.boolean),
        "force": types.nullable(types.boolean),
        "snapshot_id": ID,
    }
    if at_least(version, "3.43"):
        fields["metadata"] = types.nullable(METADATA)
    if at_least(version, "3.51"):
        fields["availability_zone"] = TEXT_TYPE
    return types.dict_of({"backup": types.dict_of(fields, required=("volume_id",))}, required=("backup",))


def _update_body(version: Version) -> Type:
    fields: dict[str, Type] = {"name": TEXT_TYPE, "description": TEXT_TYPE}
    if at_least(version, "3.43"):
        fields["metadata"] = METADATA
    return types.dict_of({"backup": types.dict_of(fields)}, required=("backup",))


_RESTORE = types.dict_of(
    {"restore": types.nullable(types.dict_of({"name": TEXT_TYPE, "volume_id": ID}))}, required=("restore",)
)
_RECORD = types.dict_of(
    {
        "backup-record": types.dict_of(
            {
                "backup_service": types.string(255, minimum=1),
                "backup_url": types.string(LONGEST, minimum=1),
            },
            required=("backup_service", "backup_url"),
        )
    },
    required=("backup-record",),
)


def _view(request: Request, action: str, view: dict[str, Any]) -> dict[str, Any]:
    if action in ("create", "update"):
        return {name: view[name] for name in ("id", "name", "links")}
    if not request.access.allows(_ATTRIBUTES):
        view.pop(PROJECT, None)
        view.pop(USER, None)
    return view


def _asked(request: Request) -> Sequence[ColumnElement[bool]]:
    refuse_unknown(request, BACKUP)
    return of_project(request, volume_backups.c.project_id)


def _update(tx: Tx, context: Any, updates: list[Update]) -> list[Values]:
    for one in updates:
        if not one.changes:
            raise BadRequest("Name, description or metadata of the backup must be provided.")
    changed = BACKUP.change(tx, context, updates)
    tx.emit_many([event(context, "backup.update", one["id"], one["project_id"]) for one in changed])
    return changed


_BRIEF = always({"id": UUID, "name": TEXT_OR_NULL, "links": LINKS})
_SUMMARY = named("backup", _BRIEF)


def _shown(version: Version) -> Type:
    fields: dict[str, Type] = {
        "id": UUID,
        "name": TEXT_OR_NULL,
        "description": TEXT_OR_NULL,
        "status": TEXT,
        "fail_reason": TEXT_OR_NULL,
        "size": INTEGER,
        "object_count": INTEGER,
        "availability_zone": TEXT_OR_NULL,
        "container": TEXT_OR_NULL,
        "volume_id": UUID,
        "snapshot_id": UUID_OR_NULL,
        "is_incremental": FLAG,
        "has_dependent_backups": FLAG,
        "data_timestamp": MOMENT,
        "created_at": MOMENT,
        "updated_at": MOMENT_OR_NULL,
        "links": LINKS,
    }
    if at_least(version, "3.43"):
        fields["metadata"] = TEXT_BY_KEY
    sometimes: dict[str, Type] = {}
    if at_least(version, "3.18"):
        sometimes[PROJECT] = TEXT
    if at_least(version, "3.56"):
        sometimes[USER] = TEXT
    return always(fields, sometimes)


BACKUPS_CRUD = Crud(
    resource=BACKUP,
    update=_update,
    list_where=_asked,
    view=_view,
    detail=True,
    shown={"list": ("id", "name")},
    bodies={"update": ByVersion(_update_body)},
    versions={"update": ("3.9", "")},
    may_change_nothing=True,
    replies={
        "list": listed_with_count("backups", lambda version: _BRIEF),
        "detail": listed_with_count("backups", _shown),
        "get": ByVersion(lambda version: named("backup", _shown(version))),
        "update": _SUMMARY,
    },
)


async def reset_status(request: Request, argument: Any) -> Reply:
    """Say what state a backup is in."""
    await request.write(work.backup_reset, request, argument["status"])
    return Reply.empty(202)


async def export_record(request: Request) -> Reply:
    """Give the record of a backup, by which it can be found again."""
    return Reply.json({"backup-record": await request.read(backup_export, request)})


class BackupHandlers:
    """Handlers that know the service's settings."""

    def __init__(self, config: VolumeConfig) -> None:
        self._config = config

    async def create(self, request: Request) -> Reply:
        """Have a volume, or a snapshot of it, backed up."""
        asked = declared_body(request)["backup"]
        made = await request.write(work.backup_create, request, asked, self._config)
        return crud_reply(request, BACKUPS_CRUD, made, "create", 202)

    async def delete(self, request: Request) -> Reply:
        """Have a backup go."""
        await request.write(work.backup_delete, request, self._config)
        return Reply.empty(202)

    async def force_delete(self, request: Request, argument: Any) -> Reply:
        """Have a backup go, whatever state it is in."""
        await request.write(partial(work.backup_delete, force=True), request, self._config)
        return Reply.empty(202)

    async def restore(self, request: Request) -> Reply:
        """Put a backup into a volume: the one that is named, or a new one."""
        asked = declared_body(request)["restore"] or {}
        if not asked.get("volume_id"):
            context = request.context
            own = {"project_id": context.project_id, "user_id": context.user_id}
            request.authorise("volume:create", own)
        view = await request.write(work.backup_restore, request, asked, self._config)
        return Reply.json({"restore": view}, 202)

    async def import_record(self, request: Request) -> Reply:
        """Make a backup known by its record."""
        request.authorise("backup:backup-import")
        asked = declared_body(request)["backup-record"]
        made = await request.write(backup_import, request, asked, self._config)
        return crud_reply(request, BACKUPS_CRUD, made, "create", 201)


def _actions(handlers: BackupHandlers) -> dict[str, Action]:
    return {
        "os-reset_status": Action(
            types.dict_of({"status": types.enum(states.AVAILABLE, states.ERROR)}, required=("status",)),
            reset_status,
            rule=_ADMIN + "reset_status",
            reply=NO_BODY,
            summary="Say what state a backup is in",
        ),
        "os-force_delete": Action(
            types.anything,
            handlers.force_delete,
            rule=_ADMIN + "force_delete",
            reply=NO_BODY,
            summary="Delete a backup whatever state it is in",
        ),
    }


def _routes(handlers: BackupHandlers) -> tuple[Route, ...]:
    every, one = "/v3/backups", "/v3/backups/{id}"
    return (
        *counted(BACKUPS_CRUD, crud_routes(BACKUPS_CRUD, every, statements={"list": 2, "detail": 3})),
        Route(
            "POST",
            every,
            handlers.create,
            rule="backup:create",
            body=ByVersion(_create_body),
            reply=_SUMMARY,
            status=202,
            summary="Back a volume up",
        ),
        Route(
            "DELETE",
            one,
            handlers.delete,
            rule="backup:delete",
            reply=NO_BODY,
            status=202,
            summary="Delete a backup",
        ),
        Route(
            "POST",
            f"{one}/restore",
            handlers.restore,
            rule="backup:restore",
            body=_RESTORE,
            reply=named(
                "restore", always({"backup_id": UUID, "volume_id": UUID, "volume_name": TEXT_OR_NULL})
            ),
            status=202,
            summary="Put a backup into a volume",
        ),
        Route(
            "GET",
            f"{one}/export_record",
            export_record,
            rule="backup:export-import",
            reply=named("backup-record", always({"backup_service": TEXT, "backup_url": TEXT})),
            summary="Give the record of a backup",
        ),
        Route(
            "POST",
            f"{every}/import_record",
            handlers.import_record,
            rule="backup:backup-import",
            body=_RECORD,
            reply=_SUMMARY,
            status=201,
            summary="Make a backup known by its record",
        ),
        action_route(f"{one}/action", _actions(handlers), summary="Do something with a backup"),
    )


def backups_noun(config: VolumeConfig) -> Noun:
    """The noun, of a cloud with these settings."""
    return Noun(
        name="backup",
        rules=rules(
            {
                "backup:get": READER,
                "backup:get_all": READER,
                _ATTRIBUTES: ADMIN,
                "backup:create": MEMBER,
                "backup:update": MEMBER,
                "backup:delete": MEMBER,
                "backup:restore": MEMBER,
                "backup:backup-import": ADMIN,
                "backup:export-import": ADMIN,
                _ADMIN + "reset_status": ADMIN,
                _ADMIN + "force_delete": ADMIN,
            }
        ),
        extensions=(Extension("backups", "Backups", "Backups support."),),
        routes=_routes(BackupHandlers(config)),
    )
