"""The action ``rebuild``: the same server from an image, with a new disk."""

from __future__ import annotations

from typing import Any

from pileus.resource.declaration import Values
from pileus.services.compute.api import root_url, since
from pileus.services.compute.errors import BadRequest, NotHereYet
from pileus.services.compute.keypairs.resource import KeypairNotFound
from pileus.services.compute.keypairs.work import keypair_find
from pileus.services.compute.policy import ADMIN_OR_MEMBER, rules
from pileus.services.compute.quotas.counting import limits_of
from pileus.services.compute.rules import states
from pileus.services.compute.servers import replies
from pileus.services.compute.servers.attached_volumes import root_volume_of
from pileus.services.compute.servers.boot_files import must_have_boot_files
from pileus.services.compute.servers.chains.common import Parts
from pileus.services.compute.servers.chains.rebuild import begin_rebuild
from pileus.services.compute.servers.checks import (
    check_files,
    check_metadata,
    hardware_of,
    image_boots,
    image_fits,
)
from pileus.services.compute.servers.instance_actions import action_begin
from pileus.services.compute.servers.lookup import change, must_be_free
from pileus.services.compute.servers.requests import new_password, rebuild_argument, renamed
from pileus.services.compute.servers.verbs.common import permitted, wake
from pileus.services.compute.servers.view import Viewer
from pileus.services.compute.servers.view_facts import view_facts_for
from pileus.services.compute.uses.image import image_usable
from pileus.services.compute.uses.volume import volumes_of
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Action, ByVersion


def _rebuild(tx: Tx, request: Request, asked: dict[str, Any], password: str, parts: Parts) -> dict[str, Any]:
    server = permitted(tx, request, "rebuild")
    must_be_free(request, server)
    image = image_usable(tx, request.access, asked["imageRef"])
    if image is None:
        raise BadRequest(f"Image {asked['imageRef']} could not be found.")
    root = root_volume_of(tx, server["id"])
    if root is not None:
        _must_keep_root(tx, request, root, image)
    image_fits(image, server["flavor"] if root is None else {**server["flavor"], "disk": 0})
    image_boots(image, request.access, server["flavor"], asked.get("OS-DCF:diskConfig") or "MANUAL")
    hardware = hardware_of(image, server["flavor"]["extra_specs"], server["vcpus"])
    must_have_boot_files(tx, request.access, hardware, server["memory_mib"])
    if hardware.pop("config_drive", None) and not server["config_drive"]:
        raise BadRequest(f"Image {image['id']} needs a config drive, and the server has none.")
    limits = limits_of(tx, server["project_id"])
    check_metadata(limits, asked.get("metadata") or {})
    check_files(limits, asked.get("personality") or [])
    changes = renamed(asked)
    if "metadata" in asked:
        changes["properties"] = asked["metadata"]
    if "personality" in asked:
        changes["files"] = asked["personality"]
    if "user_data" in asked:
        changes["user_data"] = asked["user_data"]
    if "key_name" in asked:
        changes |= _key(tx, request, asked["key_name"])
    if server["config_drive"]:
        changes["password"] = password
    action_begin(tx, request.context, [server["id"]], "rebuild")
    server = change(
        tx,
        request.context,
        server,
        **changes,
        image_id=image["id"] if root is None else server["image_id"],
        hardware=hardware or None,
        generation=server["generation"] + 1,
        in_place=False,
        carried=None,
        wanted=states.WANT_STOPPED if server["vm_state"] == states.STOPPED else states.WANT_RUNNING,
        task_state=states.REBUILDING,
        task_since=request.context.now,
        fault=None,
    )
    begin_rebuild(tx, request.context, server, parts)
    wake(tx, request, server, task_state=states.REBUILDING)
    facts = view_facts_for(tx, request, [server], parts.config)
    view = Viewer(request, facts).changed(server, rebuilt=True)
    return {**view, "adminPass": password}


def _must_keep_root(tx: Tx, request: Request, root: Any, image: Values) -> None:
    """BadRequest unless a server keeps the root volume that it has: until 2.93 nothing else was ever asked
    for, and since then its volume would have to be written anew."""
    if since(request, "2.93"):
        raise NotHereYet(what="Writing the root volume of a server anew")
    known = volumes_of(tx, [root.volume_id])[root.volume_id]["volume_image_metadata"] or {}
    if known.get("image_id") != image["id"]:
        raise BadRequest("Unable to rebuild with a different image for a volume-backed server.")


def _key(tx: Tx, request: Request, name: str | None) -> dict[str, Any]:
    if name is None:
        return {"key_name": None, "key_type": None, "key_data": None}
    try:
        row = keypair_find(tx, request.context.user_id or "", name)
    except KeypairNotFound:
        raise BadRequest("Invalid key_name provided.") from None
    return {"key_name": row["name"], "key_type": row["type"], "key_data": row["public_key"]}


def rebuild_actions(parts: Parts) -> dict[str, Action]:
    """The action by name."""

    async def rebuild(request: Request, argument: Any) -> Reply:
        password = argument.get("adminPass") or new_password()
        view = await request.write(_rebuild, request, argument, password, parts)
        reply = Reply.json({"server": view}, 202)
        return reply.header("location", f"{root_url(request)}/servers/{request.path['id']}")

    action = Action(
        ByVersion(rebuild_argument),
        rebuild,
        rule="os_compute_api:servers:rebuild",
        reply=ByVersion(replies.rebuilt),
        summary="Build a server anew from an image",
    )
    return {"rebuild": action}


REBUILD = Noun(name="server_rebuild", rules=rules({"servers:rebuild": ADMIN_OR_MEMBER}))
