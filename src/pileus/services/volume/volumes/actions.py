"""Actions of volumes that are about the volume alone. Source: Block Storage API reference, "Volume
actions"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.services.volume.api import LARGEST
from pileus.services.volume.config import VolumeConfig
from pileus.services.volume.errors import BadRequest
from pileus.services.volume.policy import ADMIN, MEMBER, rules
from pileus.services.volume.rules import states
from pileus.services.volume.volumes.deletion import volume_delete
from pileus.services.volume.volumes.growing import volume_extend
from pileus.services.volume.volumes.lookup import find_volume, must_be, volume_change, volume_tell
from pileus.store.tx import Tx
from pileus.web.actions import action_route
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Action

_ADMIN = "volume_extension:volume_admin_actions:"


def _reset(tx: Tx, request: Request, asked: Mapping[str, Any]) -> None:
    volume = find_volume(tx, request, lock=True)
    changes: dict[str, Any] = {}
    if asked.get("status"):
        changes["status"] = asked["status"]
    if asked.get("migration_status"):
        named = asked["migration_status"]
        changes["migration_status"] = None if named == "none" else named
    if not changes and not asked.get("attach_status"):
        raise BadRequest("Must specify 'status', 'attach_status' or 'migration_status' for update.")
    if changes:
        volume_change(tx, request.context, volume, **changes)
        volume_tell(tx, request.context, volume, **changes)


async def reset_status(request: Request, argument: Any) -> Reply:
    """Say what state a volume is in."""
    await request.write(_reset, request, argument)
    return Reply.empty(202)


def _set_bootable(tx: Tx, request: Request, bootable: bool) -> None:
    volume = find_volume(tx, request, lock=True)
    volume_change(tx, request.context, volume, bootable=bootable)


async def set_bootable(request: Request, argument: Any) -> Reply:
    """Say whether servers can begin from a volume."""
    await request.write(_set_bootable, request, argument["bootable"])
    return Reply.empty(200)


def _set_read_only(tx: Tx, request: Request, read_only: bool) -> None:
    volume = find_volume(tx, request, lock=True)
    must_be(volume, "update readonly flag", states.AVAILABLE)
    changed = volume_change(tx, request.context, volume, read_only=read_only)
    volume_tell(tx, request.context, changed)


async def set_read_only(request: Request, argument: Any) -> Reply:
    """Say whether a volume can be written to where it is attached from now on."""
    await request.write(_set_read_only, request, argument["readonly"])
    return Reply.empty(202)


class ActionHandlers:
    """Handlers that know the service's settings."""

    def __init__(self, config: VolumeConfig) -> None:
        self._config = config

    async def extend(self, request: Request, argument: Any) -> Reply:
        """Have a volume grow."""
        await request.write(volume_extend, request, argument["new_size"], self._config)
        return Reply.empty(202)

    async def force_delete(self, request: Request, argument: Any) -> Reply:
        """Delete a volume whatever state it is in."""
        await request.write(volume_delete, request, self._config, force=True)
        return Reply.empty(202)


_STATUS = types.dict_of(
    {
        "status": types.nullable(types.enum(*states.VOLUME_STATES)),
        "attach_status": types.nullable(types.enum(*states.ATTACH_STATES)),
        "migration_status": types.nullable(types.enum(*states.MIGRATION_STATES)),
    }
)


def volume_actions(config: VolumeConfig) -> dict[str, Action]:
    """The actions."""
    handlers = ActionHandlers(config)
    return {
        "os-extend": Action(
            types.dict_of({"new_size": types.integer(1, LARGEST)}, required=("new_size",)),
            handlers.extend,
            rule="volume:extend",
            reply=NO_BODY,
            summary="Have a volume grow",
        ),
        "os-reset_status": Action(
            _STATUS,
            reset_status,
            rule=_ADMIN + "reset_status",
            reply=NO_BODY,
            summary="Say what state a volume is in",
        ),
        "os-force_delete": Action(
            types.anything,
            handlers.force_delete,
            rule=_ADMIN + "force_delete",
            reply=NO_BODY,
            summary="Delete a volume whatever state it is in",
        ),
        "os-set_bootable": Action(
            types.dict_of({"bootable": types.boolean}, required=("bootable",)),
            set_bootable,
            rule="volume_extension:volume_actions:set_bootable",
            reply=NO_BODY,
            status=200,
            summary="Say whether servers can begin from a volume",
        ),
        "os-update_readonly_flag": Action(
            types.dict_of({"readonly": types.boolean}, required=("readonly",)),
            set_read_only,
            rule="volume:update_readonly_flag",
            reply=NO_BODY,
            summary="Say whether a volume can be written to",
        ),
    }


def volume_actions_noun(*tables: Mapping[str, Action]) -> Noun:
    """The one route of all actions of volumes; each table comes from the noun that it is about."""
    actions = {name: action for table in tables for name, action in table.items()}
    return Noun(
        name="volume_action",
        rules=rules(
            {
                "volume:extend": MEMBER,
                "volume:extend_attached_volume": MEMBER,
                "volume:update_readonly_flag": MEMBER,
                "volume_extension:volume_actions:set_bootable": MEMBER,
                _ADMIN + "reset_status": ADMIN,
                _ADMIN + "force_delete": ADMIN,
            }
        ),
        extensions=(
            Extension("os-volume-actions", "VolumeActions", "Enable volume actions."),
            Extension("os-admin-actions", "AdminActions", "Enable admin actions."),
        ),
        routes=(action_route("/v3/volumes/{id}/action", actions, summary="Do something with a volume"),),
    )
