"""The actions ``rescue`` and ``unrescue``: a server booted from another image, its own disks beside it.

Source: Compute API reference, "Rescue Server" and "Unrescue Server"; the image properties are those of Nova's
guide "Rescue an instance".
"""

from __future__ import annotations

from typing import Any

from pileus.resource import types
from pileus.services.compute.api import since
from pileus.services.compute.errors import BadRequest
from pileus.services.compute.policy import ADMIN_OR_MEMBER, rules
from pileus.services.compute.replies import TEXT, always
from pileus.services.compute.rules import states
from pileus.services.compute.rules.rescue import BadRescue, rescue_hardware
from pileus.services.compute.servers.attached_volumes import root_volume_of
from pileus.services.compute.servers.chains.common import Parts
from pileus.services.compute.servers.chains.rescue import begin_rescue, begin_unrescue
from pileus.services.compute.servers.checks import image_boots
from pileus.services.compute.servers.instance_actions import action_begin
from pileus.services.compute.servers.lookup import change
from pileus.services.compute.servers.requests import new_password
from pileus.services.compute.servers.verbs.common import permitted, wake
from pileus.services.compute.uses.image import image_usable
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Action

_RESCUE = types.nullable(types.dict_of({"adminPass": types.string(255), "rescue_image_ref": types.uuid}))


class NotRescuable(BadRequest):
    message = "Instance {id} cannot be rescued: Cannot rescue a volume-backed instance"


def _rescue(tx: Tx, request: Request, image_id: str | None, password: str, parts: Parts) -> None:
    server = permitted(tx, request, "rescue")
    wanted = image_id or server["image_id"]
    image = image_usable(tx, request.access, wanted) if wanted else None
    if image is None:
        raise BadRequest(f"Image {wanted} could not be found.")
    image_boots(image, request.access, server["flavor"], "MANUAL")
    try:
        hardware = rescue_hardware(image["properties"])
    except BadRescue as bad:
        raise BadRequest(f"Requested rescue image '{wanted}' is not supported: {bad}") from None
    if not (since(request, "2.87") and hardware.stable) and root_volume_of(tx, server["id"]) is not None:
        raise NotRescuable(id=server["id"])
    action_begin(tx, request.context, [server["id"]], "rescue")
    begin_rescue(tx, request.context, server, parts)
    changes = {"password": password} if server["config_drive"] else {}
    change(
        tx,
        request.context,
        server,
        rescue_image_id=image["id"],
        wanted=states.WANT_RUNNING,
        task_state=states.RESCUING,
        task_since=request.context.now,
        **changes,
    )
    wake(tx, request, server, task_state=states.RESCUING)


def _unrescue(tx: Tx, request: Request, parts: Parts) -> None:
    server = permitted(tx, request, "unrescue")
    action_begin(tx, request.context, [server["id"]], "unrescue")
    begin_unrescue(tx, request.context, server, parts)
    change(tx, request.context, server, task_state=states.UNRESCUING, task_since=request.context.now)
    wake(tx, request, server, task_state=states.UNRESCUING)


def rescue_actions(parts: Parts) -> dict[str, Action]:
    """The actions by name."""

    async def rescue(request: Request, argument: Any) -> Reply:
        asked = argument or {}
        password = asked.get("adminPass") or new_password()
        await request.write(_rescue, request, asked.get("rescue_image_ref"), password, parts)
        return Reply.json({"adminPass": password})

    async def unrescue(request: Request, argument: Any) -> Reply:
        await request.write(_unrescue, request, parts)
        return Reply.empty(202)

    return {
        "rescue": Action(
            _RESCUE,
            rescue,
            rule="os_compute_api:os-rescue",
            reply=always({"adminPass": TEXT}),
            status=200,
            summary="Boot a server from another image",
        ),
        "unrescue": Action(
            types.anything,
            unrescue,
            rule="os_compute_api:os-unrescue",
            summary="Boot a server from its own disk again",
        ),
    }


RESCUES = Noun(
    name="server_rescue",
    rules=rules({"os-rescue": ADMIN_OR_MEMBER, "os-unrescue": ADMIN_OR_MEMBER}),
)
