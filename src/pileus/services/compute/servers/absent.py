"""Actions of the Compute API that this cloud does not have yet: whatever Nova would refuse is refused first.

Source: Compute API reference, "Servers - run an action" and "run an administrative action".
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pileus.resource import types
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.compute.declared import NAME, NOTHING, at_least, since
from pileus.services.compute.errors import NotHereYet
from pileus.services.compute.quotas import limits_of
from pileus.services.compute.servers.finding import find_server, must_be_unlocked, must_permit, target_of
from pileus.services.compute.servers.ordering import check_metadata
from pileus.services.compute.servers.requests import METADATA
from pileus.store.tx import Tx
from pileus.web.reply import Reply
from pileus.web.request import Request

_HOST = types.nullable(types.string(255, minimum=1, pattern=r"[a-zA-Z0-9-._]*"))
_PASSWORD = types.string(255)


def _image_argument(version: Version) -> Type:
    return types.dict_of({"name": NAME, "metadata": METADATA}, required=("name",))


def _backup_argument(version: Version) -> Type:
    fields = {
        "name": NAME,
        "backup_type": types.string(None),
        "rotation": types.integer(0),
        "metadata": METADATA,
    }
    return types.dict_of(fields, required=("name", "backup_type", "rotation"))


def _migrate_argument(version: Version) -> Type:
    if not at_least(version, "2.56"):
        return types.anything
    return types.nullable(types.dict_of({"host": _HOST}))


def _live_argument(version: Version) -> Type:
    fields: dict[str, Type] = {"block_migration": types.boolean, "host": _HOST}
    required: tuple[str, ...] = ("block_migration", "host")
    if not at_least(version, "2.25"):
        fields["disk_over_commit"] = types.boolean
        required += ("disk_over_commit",)
    else:
        fields["block_migration"] = types.one_of(types.enum("auto"), types.boolean)
    if at_least(version, "2.30") and not at_least(version, "2.68"):
        fields["force"] = types.boolean
    return types.dict_of(fields, required=required)


def _evacuate_argument(version: Version) -> Type:
    fields: dict[str, Type] = {"host": _HOST, "adminPass": _PASSWORD}
    required: tuple[str, ...] = ()
    if not at_least(version, "2.14"):
        fields["onSharedStorage"] = types.boolean
        required = ("onSharedStorage",)
    if at_least(version, "2.29") and not at_least(version, "2.68"):
        fields["force"] = types.boolean
    return types.dict_of(fields, required=required)


def _rescue_argument(version: Version) -> Type:
    return types.nullable(types.dict_of({"adminPass": _PASSWORD, "rescue_image_ref": types.uuid}))


def _unshelve_argument(version: Version) -> Type:
    if not at_least(version, "2.77"):
        return types.anything
    fields: dict[str, Type] = {"availability_zone": types.string(255, minimum=1)}
    if at_least(version, "2.91"):
        fields = {
            "availability_zone": types.nullable(fields["availability_zone"]),
            "host": types.string(255, minimum=1),
        }
    return types.nullable(types.dict_of(fields))


def _any_argument(version: Version) -> Type:
    return types.anything


def _no_argument(version: Version) -> Type:
    return NOTHING


class Absent(NamedTuple):
    """An action that is not here: its policy rule, what it would be, and its argument by microversion."""

    rule: str
    what: str
    argument: Any = _any_argument


ABSENT = {
    "confirmResize": Absent("servers:confirm_resize", "Resizing"),
    "revertResize": Absent("servers:revert_resize", "Resizing"),
    "createImage": Absent("servers:create_image", "Making an image of a server", _image_argument),
    "createBackup": Absent("servers:create_image", "Making a backup of a server", _backup_argument),
    "migrate": Absent("os-migrate-server:migrate", "Migrating", _migrate_argument),
    "os-migrateLive": Absent("os-migrate-server:migrate_live", "Migrating", _live_argument),
    "evacuate": Absent("os-evacuate", "Evacuating", _evacuate_argument),
    "rescue": Absent("os-rescue", "Rescuing", _rescue_argument),
    "unrescue": Absent("os-unrescue", "Rescuing"),
    "shelve": Absent("os-shelve:shelve", "Shelving"),
    "shelveOffload": Absent("os-shelve:shelve_offload", "Shelving"),
    "unshelve": Absent("os-shelve:unshelve", "Shelving", _unshelve_argument),
    "restore": Absent("os-deferred-delete:restore", "Restoring a deleted server"),
    "trigger_crash_dump": Absent("servers:trigger_crash_dump", "A crash dump", _no_argument),
}
_TO_A_HOST = {
    "migrate": "os-migrate-server:migrate:host",
    "os-migrateLive": "os-migrate-server:migrate_live:host",
}
"""Rules beside the action's own where the host is chosen by the caller."""


def refuse(name: str) -> Any:
    """What an action that is not here does: refused as Nova would, then as not being here."""
    absent = ABSENT[name]

    def unit(tx: Tx, request: Request, argument: Any) -> None:
        server = find_server(tx, request, rule=f"os_compute_api:{absent.rule}")
        if name in _TO_A_HOST and isinstance(argument, dict) and argument.get("host"):
            request.access.require(f"os_compute_api:{_TO_A_HOST[name]}", target_of(server))
        must_be_unlocked(request, server)
        must_permit(name, server)
        if name in ("createImage", "createBackup") and not since(request, "2.39"):
            check_metadata(limits_of(tx, server["project_id"]), argument.get("metadata") or {})
        raise NotHereYet(what=absent.what)

    async def act(request: Request, argument: Any) -> Reply:
        await request.read(unit, request, argument)
        return Reply.empty(202)

    return act
