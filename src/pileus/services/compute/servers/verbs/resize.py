"""The actions ``resize``, ``migrate``, ``confirmResize`` and ``revertResize``.

Source: Compute API reference, "Resize Server" and those after it, "Migrate Server"; 2.56 names a host.
"""

from __future__ import annotations

from typing import Any

from pileus.resource import types
from pileus.resource.declaration import Values
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.compute.api import at_least
from pileus.services.compute.errors import BadRequest, FlavorNotFound
from pileus.services.compute.flavors.work import flavor_find
from pileus.services.compute.nodes.reading import nodes_read
from pileus.services.compute.policy import ADMIN, ADMIN_OR_MANAGER, ADMIN_OR_MEMBER, rules
from pileus.services.compute.quotas.counting import spend
from pileus.services.compute.rules import states
from pileus.services.compute.rules.boot_files import kept_boot, without_boot
from pileus.services.compute.servers.attached_volumes import root_volume_of
from pileus.services.compute.servers.chains.common import Parts
from pileus.services.compute.servers.chains.migrations import MIGRATION, RESIZE, migration_open
from pileus.services.compute.servers.chains.resize import begin_resize, begin_revert, confirm
from pileus.services.compute.servers.checks import hardware_of, image_fits
from pileus.services.compute.servers.creation import flavor_copy
from pileus.services.compute.servers.instance_actions import action_begin
from pileus.services.compute.servers.lookup import change, target_of
from pileus.services.compute.servers.requests import FLAVOR_REF
from pileus.services.compute.servers.verbs.common import permitted, wake
from pileus.services.compute.uses.image import images_of
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Action, ByVersion

HOST = types.nullable(types.string(255, minimum=1, pattern=r"[a-zA-Z0-9-._]*"))


def _resize(tx: Tx, request: Request, asked: dict[str, Any], parts: Parts) -> None:
    server = permitted(tx, request, "resize")
    try:
        flavor = flavor_find(tx, request.access, asked["flavorRef"])
    except FlavorNotFound as missing:
        raise BadRequest(missing.text) from None
    if flavor["id"] == server["flavor_id"]:
        raise BadRequest("When resizing, instances must change flavor!")
    if flavor["OS-FLV-DISABLED:disabled"]:
        raise BadRequest(f"Flavor {flavor['id']} could not be found.")
    new_values = _resized(tx, server, flavor)
    if asked.get("OS-DCF:diskConfig"):
        new_values["disk_config"] = asked["OS-DCF:diskConfig"]
    _spend(tx, server, flavor["vcpus"], flavor["ram"])
    _begin(tx, request, server, RESIZE, new_values, None, parts)


def _resized(tx: Tx, server: Values, flavor: Values) -> dict[str, Any]:
    """Compute the values that a flavor gives a server. BadRequest where its disks would have to shrink."""
    copy = flavor_copy(flavor)
    backed = root_volume_of(tx, server["id"]) is not None
    if server["flavor"]["disk"] and not copy["disk"] and not backed:
        raise BadRequest("Resize to zero disk flavor is not allowed.")
    smaller = copy["disk"] < server["flavor"]["disk"] and not backed
    if smaller or copy["ephemeral"] < server["flavor"]["ephemeral"]:
        raise BadRequest("Unable to resize disk down.")
    hardware = server["hardware"]
    image = images_of(tx, [server["image_id"]] if server["image_id"] else []).get(server["image_id"] or "")
    if image is not None:
        if image["status"] == "active":
            image_fits(image, {**copy, "disk": 0} if backed else copy)
        asked = hardware_of(image, copy["extra_specs"], copy["vcpus"])
        asked.pop("config_drive", None)
        # Whoever owns the image may have named another's kernel since.
        hardware = {**without_boot(asked), **kept_boot(hardware)}
    return {
        "flavor_id": flavor["id"],
        "flavor": copy,
        "vcpus": copy["vcpus"],
        "memory_mib": copy["ram"],
        "disk_gib": (0 if backed else copy["disk"]) + copy["ephemeral"],
        "hardware": hardware or None,
    }


def _spend(tx: Tx, server: Values, vcpus: int, memory_mib: int) -> None:
    """QuotaError where the project may not have the difference."""
    more_cores, more_memory = max(0, vcpus - server["vcpus"]), max(0, memory_mib - server["memory_mib"])
    spend(tx, server["project_id"], server["user_id"], 0, more_cores, more_memory)


def _begin(
    tx: Tx,
    request: Request,
    server: Values,
    kind: str,
    new_values: dict[str, Any],
    host: str | None,
    parts: Parts,
) -> None:
    action_begin(tx, request.context, [server["id"]], "resize" if kind == RESIZE else "migrate")
    begin_resize(tx, request.context, server, kind, new_values, host, parts)
    now = request.context.now
    change(tx, request.context, server, task_state=states.RESIZE_PREP, task_since=now)
    wake(tx, request, server, task_state=states.RESIZE_PREP)


def _migrate(tx: Tx, request: Request, host: str | None, parts: Parts) -> None:
    server = permitted(tx, request, "migrate")
    if host is not None:
        request.access.require("os_compute_api:os-migrate-server:migrate:host", target_of(server))
        if host == server["host"]:
            raise BadRequest("The target host can't be the same one.")
        if all(one.row.host != host for one in nodes_read(tx, parts.config, request.context.now)):
            raise BadRequest(f"Compute host {host} could not be found.")
    _begin(tx, request, server, MIGRATION, {}, host, parts)


def _confirm(tx: Tx, request: Request, parts: Parts) -> None:
    server = permitted(tx, request, "confirmResize")
    action_begin(tx, request.context, [server["id"]], "confirmResize", done=True)
    confirm(tx, request.context, server, parts)


def _revert(tx: Tx, request: Request, parts: Parts) -> None:
    server = permitted(tx, request, "revertResize")
    row = migration_open(tx, server["id"])
    if row is not None:
        _spend(tx, server, row.old_values["vcpus"], row.old_values["memory_mib"])
    action_begin(tx, request.context, [server["id"]], "revertResize")
    begin_revert(tx, request.context, server, parts)
    now = request.context.now
    change(tx, request.context, server, task_state=states.RESIZE_REVERTING, task_since=now)
    wake(tx, request, server, task_state=states.RESIZE_REVERTING)


_RESIZE = types.dict_of(
    {"flavorRef": FLAVOR_REF, "OS-DCF:diskConfig": types.enum("AUTO", "MANUAL")}, required=("flavorRef",)
)


def _migrate_argument(version: Version) -> Type:
    if not at_least(version, "2.56"):
        return types.anything
    return types.nullable(types.dict_of({"host": HOST}))


def resize_actions(parts: Parts) -> dict[str, Action]:
    """The actions by name."""

    async def resize(request: Request, argument: Any) -> Reply:
        await request.write(_resize, request, argument, parts)
        return Reply.empty(202)

    async def migrate(request: Request, argument: Any) -> Reply:
        host = argument.get("host") if isinstance(argument, dict) else None
        await request.write(_migrate, request, host, parts)
        return Reply.empty(202)

    async def confirm_resize(request: Request, argument: Any) -> Reply:
        await request.write(_confirm, request, parts)
        return Reply.empty(204)

    async def revert_resize(request: Request, argument: Any) -> Reply:
        await request.write(_revert, request, parts)
        return Reply.empty(202)

    return {
        "resize": Action(
            _RESIZE, resize, rule="os_compute_api:servers:resize", summary="Give a server another flavor"
        ),
        "migrate": Action(
            ByVersion(_migrate_argument),
            migrate,
            rule="os_compute_api:os-migrate-server:migrate",
            summary="Have a server go to another host, switched off meanwhile",
        ),
        "confirmResize": Action(
            types.anything,
            confirm_resize,
            rule="os_compute_api:servers:confirm_resize",
            status=204,
            summary="Confirm a resize or a migration",
        ),
        "revertResize": Action(
            types.anything,
            revert_resize,
            rule="os_compute_api:servers:revert_resize",
            summary="Take a resize or a migration back",
        ),
    }


RESIZES = Noun(
    name="server_resize",
    rules=rules(
        {
            "servers:resize": ADMIN_OR_MEMBER,
            "servers:confirm_resize": ADMIN_OR_MEMBER,
            "servers:revert_resize": ADMIN_OR_MEMBER,
            "os-migrate-server:migrate": ADMIN_OR_MANAGER,
            "os-migrate-server:migrate:host": ADMIN,
        }
    ),
)
