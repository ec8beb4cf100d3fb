"""Groups since 3.13, and their snapshots since 3.14. Source: Block Storage API reference, "Generic volume
groups", "Group snapshots"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement

from pileus.resource import types
from pileus.resource.declaration import Resource
from pileus.resource.replies import LINKS, MOMENT, TEXT, TEXT_OR_NULL, UUID, UUID_OR_NULL, always, named
from pileus.resource.types import Type, list_of
from pileus.resource.versions import Version
from pileus.services.volume.api import ID, at_least, enforce_own, flag, wrapped
from pileus.services.volume.api import TEXT as TEXT_TYPE
from pileus.services.volume.config import VolumeConfig
from pileus.services.volume.groups import snapshots, work
from pileus.services.volume.groups.resource import GROUP, GROUP_SNAPSHOT
from pileus.services.volume.groups.work import InvalidGroup
from pileus.services.volume.listing import of_project, refuse_unknown
from pileus.services.volume.policy import ADMIN, MEMBER, READER, rules
from pileus.services.volume.rules import states
from pileus.services.volume.tables.groups import volume_group_snapshots, volume_groups
from pileus.web.actions import action_route
from pileus.web.body import declared_body
from pileus.web.crud import Crud, crud_reply, crud_routes
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Action, ByVersion, Route

_GROUPS, _SNAPSHOTS = "/v3/groups", "/v3/group_snapshots"
_GROUP_WINDOW, _SNAPSHOT_WINDOW = ("3.13", ""), ("3.14", "")
_STATUS = types.dict_of(
    {
        "status": types.enum(
            *(states.ERROR, states.AVAILABLE, states.CREATING, states.DELETING, states.ERROR_DELETING),
            *("updating", states.IN_USE),
        )
    },
    required=("status",),
)
_LONG = types.nullable(types.string(4096))
_CREATE = wrapped(
    "group",
    {
        "name": TEXT_TYPE,
        "description": TEXT_TYPE,
        "group_type": types.string(255, minimum=1),
        "volume_types": types.list_of(types.string(255, minimum=1), unique=True, minimum=1, maximum=64),
        "availability_zone": TEXT_TYPE,
    },
    ("group_type", "volume_types"),
)
_UPDATE = wrapped(
    "group",
    {"name": TEXT_TYPE, "description": TEXT_TYPE, "add_volumes": _LONG, "remove_volumes": _LONG},
)
_FROM = types.dict_of(
    {
        "name": TEXT_TYPE,
        "description": TEXT_TYPE,
        "source_group_id": ID,
        "group_snapshot_id": ID,
    }
)
_SNAPSHOT_BODY = wrapped(
    "group_snapshot",
    {"name": TEXT_TYPE, "description": TEXT_TYPE, "group_id": types.uuid},
    ("group_id",),
)
_BRIEF = always({"id": UUID, "name": TEXT_OR_NULL})
_SNAPSHOT_MADE = always({"id": UUID, "name": TEXT_OR_NULL, "group_type_id": UUID})


def _group_view(request: Request, action: str, view: dict[str, Any]) -> dict[str, Any]:
    if action == "create":
        return {name: view[name] for name in ("id", "name")}
    if "status" not in view:
        return view  # of a short list
    if not flag(request, "list_volume"):
        view.pop("volumes", None)
    if not request.access.allows("group:group_project_attribute"):
        view.pop("project_id", None)
    return view


def _snapshot_view(request: Request, action: str, view: dict[str, Any]) -> dict[str, Any]:
    if action == "create":
        return {name: view[name] for name in ("id", "name", "group_type_id")}
    if not request.access.allows("group:group_snapshot_project_attribute"):
        view.pop("project_id", None)
    return view


def _group_shown(version: Version) -> Type:
    fields: dict[str, Type] = {
        "id": UUID,
        "name": TEXT_OR_NULL,
        "description": TEXT_OR_NULL,
        "status": TEXT,
        "availability_zone": TEXT_OR_NULL,
        "created_at": MOMENT,
        "group_type": UUID,
        "volume_types": list_of(UUID),
    }
    if at_least(version, "3.14"):
        fields |= {"group_snapshot_id": UUID_OR_NULL, "source_group_id": UUID_OR_NULL}
    if at_least(version, "3.38"):
        fields["replication_status"] = TEXT_OR_NULL
    sometimes: dict[str, Type] = {}
    if at_least(version, "3.25"):
        sometimes["volumes"] = list_of(UUID)
    if at_least(version, "3.58"):
        sometimes["project_id"] = TEXT
    return always(fields, sometimes)


def _snapshot_shown(version: Version) -> Type:
    fields: dict[str, Type] = {
        "id": UUID,
        "name": TEXT_OR_NULL,
        "description": TEXT_OR_NULL,
        "group_id": UUID,
        "group_type_id": UUID,
        "status": TEXT,
        "created_at": MOMENT,
    }
    return always(fields, {"project_id": TEXT} if at_least(version, "3.58") else None)


def _listed(name: str, one: Any) -> ByVersion:
    return ByVersion(lambda version: always({name: list_of(one(version))}, {f"{name}_links": LINKS}))


def _crud(
    resource: Resource, project: ColumnElement[Any], view: Any, shown: Any, more: frozenset[str]
) -> Crud:
    def asked(request: Request) -> Sequence[ColumnElement[bool]]:
        refuse_unknown(request, resource, more)
        return of_project(request, project)

    return Crud(
        resource=resource,
        list_where=asked,
        view=view,
        detail=True,
        shown={"list": ("id", "name")},
        replies={
            "list": _listed(resource.plural, lambda version: _BRIEF),
            "detail": _listed(resource.plural, shown),
            "get": ByVersion(lambda version: named(resource.name, shown(version))),
        },
    )


GROUPS_CRUD = _crud(GROUP, volume_groups.c.project_id, _group_view, _group_shown, frozenset({"list_volume"}))
GROUP_SNAPSHOTS_CRUD = _crud(
    GROUP_SNAPSHOT,
    volume_group_snapshots.c.project_id,
    _snapshot_view,
    _snapshot_shown,
    frozenset(),
)


async def update_group(request: Request) -> Reply:
    """Change a group's name, or which volumes it has."""
    await request.write(work.group_update, request, declared_body(request)["group"])
    return Reply.empty(202)


async def reset_group(request: Request, argument: Any) -> Reply:
    """Say what state a group is in."""
    await request.write(work.group_reset, request, argument["status"])
    return Reply.empty(202)


async def refuse_replication(request: Request, argument: Any) -> Reply:
    """Say that no group is replicated."""
    group = await request.read(work.find_group, request)
    raise InvalidGroup(reason=f"Group {group['id']} is of no type that is replicated.")


async def reset_group_snapshot(request: Request, argument: Any) -> Reply:
    """Say what state a group snapshot is in."""
    await request.write(snapshots.group_snapshot_reset, request, argument["status"])
    return Reply.empty(202)


class GroupHandlers:
    """Handlers that know the service's settings."""

    def __init__(self, config: VolumeConfig) -> None:
        self._config = config

    async def create(self, request: Request) -> Reply:
        """Make a group."""
        enforce_own(request)
        asked = declared_body(request)["group"]
        made = await request.write(work.group_create, request, asked, self._config)
        return crud_reply(request, GROUPS_CRUD, made, "create", 202)

    async def create_from(self, request: Request, argument: Mapping[str, Any]) -> Reply:
        """Make a group of another one, or of a group snapshot."""
        enforce_own(request)
        made = await request.write(work.group_from, request, argument, self._config)
        return Reply.json({"group": {"id": made["id"], "name": made["name"]}}, 202)

    async def delete(self, request: Request, argument: Mapping[str, Any]) -> Reply:
        """Have a group go."""
        with_volumes = bool(argument.get("delete-volumes"))

        def delete(tx: Any) -> None:
            work.group_delete(tx, request, self._config, with_volumes=with_volumes)

        await request.write(delete)
        return Reply.empty(202)

    async def create_snapshot(self, request: Request) -> Reply:
        """Have all volumes of a group kept at one moment."""
        asked = declared_body(request)["group_snapshot"]
        made = await request.write(snapshots.group_snapshot_create, request, asked, self._config)
        return crud_reply(request, GROUP_SNAPSHOTS_CRUD, made, "create", 202)

    async def delete_snapshot(self, request: Request) -> Reply:
        """Have a group snapshot go."""
        await request.write(snapshots.group_snapshot_delete, request, self._config)
        return Reply.empty(202)


def _actions(handlers: GroupHandlers) -> dict[str, Action]:
    replication = {
        name: Action(
            types.nullable(types.dict_of({}, additional=types.anything)),
            refuse_replication,
            rule=f"group:{name}",
            versions=("3.38", ""),
            reply=NO_BODY,
            summary="Replication of groups, which is not there",
        )
        for name in _REPLICATION
    }
    return {
        "delete": Action(
            types.dict_of({"delete-volumes": types.boolean}),
            handlers.delete,
            rule="group:delete",
            reply=NO_BODY,
            summary="Delete a group",
        ),
        "reset_status": Action(
            _STATUS,
            reset_group,
            rule="group:reset_status",
            versions=("3.20", ""),
            reply=NO_BODY,
            summary="Say what state a group is in",
        ),
        **replication,
    }


_REPLICATION = (
    *("enable_replication", "disable_replication", "failover_replication"),
    "list_replication_targets",
)


def _group_routes(handlers: GroupHandlers) -> tuple[Route, ...]:
    one = f"{_GROUPS}/{{id}}"
    return (
        *crud_routes(GROUPS_CRUD, _GROUPS, versions=_GROUP_WINDOW, statements={"list": 2, "detail": 3}),
        Route(
            "POST",
            _GROUPS,
            handlers.create,
            rule="group:create",
            versions=_GROUP_WINDOW,
            body=_CREATE,
            reply=named("group", _BRIEF),
            status=202,
            summary="Make a group",
        ),
        Route(
            "PUT",
            one,
            update_group,
            rule="group:update",
            versions=_GROUP_WINDOW,
            body=_UPDATE,
            reply=NO_BODY,
            status=202,
            summary="Change a group",
        ),
        action_route(
            f"{_GROUPS}/action",
            {
                "create-from-src": Action(
                    _FROM,
                    handlers.create_from,
                    rule="group:create",
                    versions=_SNAPSHOT_WINDOW,
                    reply=named("group", _BRIEF),
                    summary="Make a group of another one",
                )
            },
            summary="Make a group of another one",
        ),
        action_route(f"{one}/action", _actions(handlers), summary="Do something with a group"),
    )


def _snapshot_routes(handlers: GroupHandlers) -> tuple[Route, ...]:
    one = f"{_SNAPSHOTS}/{{id}}"
    return (
        *crud_routes(
            GROUP_SNAPSHOTS_CRUD, _SNAPSHOTS, versions=_SNAPSHOT_WINDOW, statements={"list": 2, "detail": 2}
        ),
        Route(
            "POST",
            _SNAPSHOTS,
            handlers.create_snapshot,
            rule="group:create_group_snapshot",
            versions=_SNAPSHOT_WINDOW,
            body=_SNAPSHOT_BODY,
            reply=named("group_snapshot", _SNAPSHOT_MADE),
            status=202,
            summary="Keep all volumes of a group at one moment",
        ),
        Route(
            "DELETE",
            one,
            handlers.delete_snapshot,
            rule="group:delete_group_snapshot",
            versions=_SNAPSHOT_WINDOW,
            reply=NO_BODY,
            status=202,
            summary="Delete a group snapshot",
        ),
        action_route(
            f"{one}/action",
            {
                "reset_status": Action(
                    _STATUS,
                    reset_group_snapshot,
                    rule="group:reset_group_snapshot_status",
                    versions=("3.19", ""),
                    reply=NO_BODY,
                    summary="Say what state a group snapshot is in",
                )
            },
            summary="Do something with a group snapshot",
        ),
    )


def groups_noun(config: VolumeConfig) -> Noun:
    """The noun, of a cloud with these settings."""
    handlers = GroupHandlers(config)
    return Noun(
        name="group",
        rules=rules(
            {
                "group:get": READER,
                "group:get_all": READER,
                "group:group_project_attribute": ADMIN,
                **{f"group:{name}": MEMBER for name in ("create", "update", "delete", *_REPLICATION)},
                "group:reset_status": ADMIN,
                "group:get_group_snapshot": READER,
                "group:get_all_group_snapshots": READER,
                "group:group_snapshot_project_attribute": ADMIN,
                "group:create_group_snapshot": MEMBER,
                "group:delete_group_snapshot": MEMBER,
                "group:reset_group_snapshot_status": ADMIN,
            }
        ),
        routes=(*_group_routes(handlers), *_snapshot_routes(handlers)),
    )
