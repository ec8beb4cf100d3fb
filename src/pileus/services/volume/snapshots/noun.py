"""Snapshots of volumes. Source: Block Storage API reference, "Volume snapshots"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement

from pileus.resource import types
from pileus.resource.declaration import Extension, Update, Values
from pileus.resource.event import event
from pileus.resource.replies import (
    FLAG,
    INTEGER,
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
from pileus.services.volume.api import METADATA, at_least
from pileus.services.volume.api import TEXT as TEXT_TYPE
from pileus.services.volume.config import VolumeConfig
from pileus.services.volume.errors import InvalidSnapshot
from pileus.services.volume.listing import counted, listed_with_count, of_project, refuse_unknown
from pileus.services.volume.metadata import metadata_routes
from pileus.services.volume.policy import ADMIN, MEMBER, READER, rules
from pileus.services.volume.rules import states
from pileus.services.volume.snapshots import work
from pileus.services.volume.snapshots.resource import PROGRESS, PROJECT, SNAPSHOT
from pileus.services.volume.tables.volumes import volume_snapshots
from pileus.store.tx import Tx
from pileus.web.actions import action_route
from pileus.web.body import declared_body
from pileus.web.crud import Crud, crud_reply, crud_routes
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Action, ByVersion, Route

_NAMES: dict[str, Type] = dict.fromkeys(
    ("name", "description", "display_name", "display_description"), TEXT_TYPE
)
_CREATE = types.dict_of(
    {
        "snapshot": types.dict_of(
            {
                **_NAMES,
                "volume_id": types.nullable(types.uuid),
                "force": types.nullable(types.boolean),
                "metadata": types.nullable(METADATA),
            },
            required=("volume_id",),
            additional=types.anything,
        )
    },
    required=("snapshot",),
)
_ADMIN = "volume_extension:snapshot_admin_actions:"
_MAY_BECOME = {
    states.CREATING: (states.CREATING, states.AVAILABLE, states.ERROR),
    states.DELETING: (states.DELETING, states.ERROR_DELETING),
}
"""Whoever copies a snapshot may say no more of it."""
_STATUS_RULE = "snapshot_extension:snapshot_actions:update_snapshot_status"


def _parse_update(value: Any) -> Any:
    parsed = dict(_UPDATED.parse(value))
    for old, new in (("display_name", "name"), ("display_description", "description")):
        if old in parsed:
            given = parsed.pop(old)
            parsed.setdefault(new, given)
    return parsed


_UPDATED = types.dict_of({**_NAMES, "metadata": METADATA})
_UPDATE = types.dict_of(
    {"snapshot": Type("snapshot", _parse_update, _UPDATED.schema)}, required=("snapshot",)
)


def _view(request: Request, action: str, view: dict[str, Any]) -> dict[str, Any]:
    allowed = request.access.allows(
        "volume_extension:extended_snapshot_attributes", {"project_id": view.get(PROJECT)}
    )
    if action in ("create", "update") or not allowed:
        view.pop(PROGRESS, None)
        view.pop(PROJECT, None)
    return view


def _asked(request: Request) -> Sequence[ColumnElement[bool]]:
    refuse_unknown(request, SNAPSHOT)
    return of_project(request, volume_snapshots.c.project_id)


def _update(tx: Tx, context: Any, updates: list[Update]) -> list[Values]:
    changed = SNAPSHOT.change(tx, context, updates)
    tx.emit_many([event(context, "snapshot.update", one["id"], one["project_id"]) for one in changed])
    return changed


def _shown(version: Version, *, extended: bool) -> Type:
    fields: dict[str, Type] = {
        "id": UUID,
        "name": TEXT_OR_NULL,
        "description": TEXT_OR_NULL,
        "volume_id": UUID,
        "size": INTEGER,
        "status": TEXT,
        "metadata": TEXT_BY_KEY,
        "created_at": MOMENT,
        "updated_at": MOMENT_OR_NULL,
    }
    later = {
        "group_snapshot_id": ("3.14", UUID_OR_NULL),
        "user_id": ("3.41", TEXT),
        "consumes_quota": ("3.65", FLAG),
    }
    fields |= {name: kind for name, (first, kind) in later.items() if at_least(version, first)}
    return always(fields, {PROGRESS: TEXT_OR_NULL, PROJECT: TEXT} if extended else None)


_SHOWN = ByVersion(lambda version: named("snapshot", _shown(version, extended=True)))
_CHANGED = ByVersion(lambda version: named("snapshot", _shown(version, extended=False)))

_BRIEF = tuple(
    name for name, one in SNAPSHOT.attributes.items() if one.visible and name not in (PROGRESS, PROJECT)
)

SNAPSHOTS_CRUD = Crud(
    resource=SNAPSHOT,
    update=_update,
    list_where=_asked,
    view=_view,
    detail=True,
    shown={"list": _BRIEF},
    bodies={"update": _UPDATE},
    may_change_nothing=True,
    replies={
        "list": listed_with_count("snapshots", partial(_shown, extended=False)),
        "detail": listed_with_count("snapshots", partial(_shown, extended=True)),
        "get": _SHOWN,
        "update": _CHANGED,
    },
)


def _reset(tx: Tx, request: Request, status: str) -> None:
    work.snapshot_change(tx, request.context, work.find_snapshot(tx, request, lock=True), status=status)


async def reset_status(request: Request, argument: Any) -> Reply:
    """Say what state a snapshot is in."""
    await request.write(_reset, request, argument["status"])
    return Reply.empty(202)


def _set_status(tx: Tx, request: Request, asked: Mapping[str, Any]) -> None:
    snapshot = work.find_snapshot(tx, request, lock=True)
    if asked["status"] not in _MAY_BECOME.get(snapshot["status"], ()):
        raise InvalidSnapshot(
            reason=f"Provided snapshot status {asked['status']} not allowed for snapshot with status "
            f"{snapshot['status']}."
        )
    changes = {"status": asked["status"]}
    if asked.get("progress") is not None:
        changes["progress"] = asked["progress"]
    work.snapshot_change(tx, request.context, snapshot, **changes)


async def update_status(request: Request, argument: Any) -> Reply:
    """Say how far a snapshot is that is being made."""
    await request.write(_set_status, request, argument)
    return Reply.empty(202)


class SnapshotHandlers:
    """Handlers that know the service's settings."""

    def __init__(self, config: VolumeConfig) -> None:
        self._config = config

    async def create(self, request: Request) -> Reply:
        """Have a snapshot made of a volume."""
        asked = declared_body(request)["snapshot"]
        made = await request.write(work.snapshot_create, request, asked, self._config)
        return crud_reply(request, SNAPSHOTS_CRUD, made, "create", 202)

    async def delete(self, request: Request) -> Reply:
        """Have a snapshot go."""
        await request.write(work.snapshot_delete, request, self._config)
        return Reply.empty(202)

    async def force_delete(self, request: Request, argument: Any) -> Reply:
        """Have a snapshot go, whatever state it is in."""
        await request.write(work.snapshot_delete, request, self._config, force=True)
        return Reply.empty(202)

    async def revert(self, request: Request, argument: Any) -> Reply:
        """Have a volume be again what it was in its newest snapshot."""
        await request.write(work.volume_revert, request, argument["snapshot_id"], self._config)
        return Reply.empty(202)


def revert_actions(config: VolumeConfig) -> dict[str, Action]:
    """The action of volumes that is about snapshots."""
    return {
        "revert": Action(
            types.dict_of({"snapshot_id": types.uuid}, required=("snapshot_id",)),
            SnapshotHandlers(config).revert,
            rule="volume:revert_to_snapshot",
            versions=("3.40", ""),
            reply=NO_BODY,
            summary="Go back to the newest snapshot",
        )
    }


def _actions(handlers: SnapshotHandlers) -> dict[str, Action]:
    status = types.enum(*states.SNAPSHOT_STATES)
    return {
        "os-reset_status": Action(
            types.dict_of({"status": status}, required=("status",)),
            reset_status,
            rule=_ADMIN + "reset_status",
            reply=NO_BODY,
            summary="Say what state a snapshot is in",
        ),
        "os-update_snapshot_status": Action(
            types.dict_of(
                {"status": status, "progress": types.nullable(types.string(4, pattern=r"\d{1,3}%"))},
                required=("status",),
            ),
            update_status,
            rule=_STATUS_RULE,
            reply=NO_BODY,
            summary="Say how far a snapshot is",
        ),
        "os-force_delete": Action(
            types.anything,
            handlers.force_delete,
            rule=_ADMIN + "force_delete",
            reply=NO_BODY,
            summary="Delete a snapshot whatever state it is in",
        ),
    }


_RULES = {
    "volume:create_snapshot": MEMBER,
    "volume:get_snapshot": READER,
    "volume:get_all_snapshots": READER,
    "volume:update_snapshot": MEMBER,
    "volume:delete_snapshot": MEMBER,
    "volume:get_snapshot_metadata": READER,
    "volume:update_snapshot_metadata": MEMBER,
    "volume:delete_snapshot_metadata": MEMBER,
    "volume:revert_to_snapshot": MEMBER,
    "volume_extension:extended_snapshot_attributes": READER,
    _STATUS_RULE: MEMBER,
    _ADMIN + "reset_status": ADMIN,
    _ADMIN + "force_delete": ADMIN,
}


def snapshots_noun(config: VolumeConfig) -> Noun:
    """The noun, of a cloud with these settings."""
    handlers = SnapshotHandlers(config)
    one = "/v3/snapshots/{id}"
    return Noun(
        name="snapshot",
        rules=rules(_RULES),
        extensions=(
            Extension("os-extended-snapshot-attributes", "ExtendedSnapshotAttributes", "More of snapshots."),
            Extension("os-snapshot-actions", "SnapshotActions", "Enable snapshot actions."),
        ),
        routes=(
            *counted(
                SNAPSHOTS_CRUD,
                crud_routes(SNAPSHOTS_CRUD, "/v3/snapshots", statements={"list": 3, "detail": 3}),
            ),
            Route(
                "POST",
                "/v3/snapshots",
                handlers.create,
                rule="volume:create_snapshot",
                body=_CREATE,
                reply=_CHANGED,
                status=202,
                summary="Create a snapshot",
            ),
            Route(
                "DELETE",
                one,
                handlers.delete,
                rule="volume:delete_snapshot",
                reply=NO_BODY,
                status=202,
                summary="Delete a snapshot",
            ),
            action_route(f"{one}/action", _actions(handlers), summary="Do something with a snapshot"),
            *metadata_routes(
                one,
                work.find_snapshot,
                work.snapshot_change,
                "a snapshot",
                get="volume:get_snapshot_metadata",
                create="volume:update_snapshot_metadata",
                update="volume:update_snapshot_metadata",
                delete="volume:delete_snapshot_metadata",
            ),
        ),
    )
