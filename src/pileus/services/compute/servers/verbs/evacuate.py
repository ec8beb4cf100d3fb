"""The action ``evacuate``: a server of a host that is down is built anew on another one.

Source: Compute API reference, "Evacuate Server"; since 2.95 the server is switched off there.
"""

from __future__ import annotations

from typing import Any

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.compute.api import at_least, since
from pileus.services.compute.errors import BadRequest, InvalidState
from pileus.services.compute.nodes.reading import host_is_up, nodes_read
from pileus.services.compute.policy import ADMIN, rules
from pileus.services.compute.replies import TEXT, always
from pileus.services.compute.rules import states
from pileus.services.compute.servers.chains.common import Parts
from pileus.services.compute.servers.chains.delete import CLEARING_UP
from pileus.services.compute.servers.chains.evacuate import begin_evacuation
from pileus.services.compute.servers.instance_actions import action_begin
from pileus.services.compute.servers.lookup import change
from pileus.services.compute.servers.requests import new_password
from pileus.services.compute.servers.verbs.common import permitted, wake
from pileus.services.compute.servers.verbs.resize import HOST
from pileus.store.operations import FAILED, operation_end
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Action, ByVersion

_VOID = "The server is evacuated."


class TargetNotFound(NotFound):
    message = "Compute host {host} could not be found."


def _evacuate(tx: Tx, request: Request, host: str | None, password: str, off: bool, parts: Parts) -> None:
    server = permitted(tx, request, "evacuate")
    if server["task_state"] in (*states.MOVING, states.DELETING):
        task = server["task_state"]
        raise InvalidState(action="evacuate", id=server["id"], attribute="task_state", state=task)
    now = request.context.now
    if host is not None:
        if host == server["host"]:
            raise BadRequest("The target host can't be the same one.")
        if all(one.row.host != host for one in nodes_read(tx, parts.config, now)):
            raise TargetNotFound(host=host)
    if host_is_up(tx, parts.config, now, server["host"]):
        raise BadRequest(f"Compute service of {server['host']} is still in use.")
    operation_end(tx, FAILED, now, resource_ids=[server["id"]], but=CLEARING_UP, error=_VOID)
    action_begin(tx, request.context, [server["id"]], "evacuate")
    stays_off = off or server["vm_state"] == states.STOPPED
    wanted = states.WANT_STOPPED if stays_off else states.WANT_RUNNING
    begin_evacuation(tx, request.context, server, host, wanted, parts)
    changes = {"password": password} if server["config_drive"] else {}
    change(tx, request.context, server, task_state=states.EVACUATING, task_since=now, **changes)
    wake(tx, request, server, task_state=states.EVACUATING)


def _argument(version: Version) -> Type:
    fields: dict[str, Type] = {"host": HOST, "adminPass": types.string(255)}
    required: tuple[str, ...] = ()
    if not at_least(version, "2.14"):
        fields["onSharedStorage"] = types.boolean
        required = ("onSharedStorage",)
    if at_least(version, "2.29") and not at_least(version, "2.68"):
        fields["force"] = types.boolean
    return types.dict_of(fields, required=required)


def _reply(version: Version) -> Type:
    return NO_BODY if at_least(version, "2.14") else always({"adminPass": TEXT})


def evacuate_actions(parts: Parts) -> dict[str, Action]:
    """The action by name."""

    async def evacuate(request: Request, argument: Any) -> Reply:
        if argument.get("onSharedStorage"):
            # Disks are on the hosts themselves: there is nothing that another one could go on with.
            if argument.get("adminPass"):
                raise BadRequest("admin password can't be changed on existing disk")
            raise BadRequest("This cloud's hosts share no storage: onSharedStorage can't be true.")
        password = argument.get("adminPass") or new_password()
        host = argument.get("host")
        off = since(request, "2.95")
        await request.write(_evacuate, request, host, password, off, parts)
        if since(request, "2.14"):
            return Reply.empty(200)
        return Reply.json({"adminPass": password})

    return {
        "evacuate": Action(
            ByVersion(_argument),
            evacuate,
            rule="os_compute_api:os-evacuate",
            reply=ByVersion(_reply),
            status=200,
            summary="Build a server of a host that is down anew on another one",
        )
    }


EVACUATIONS = Noun(name="server_evacuate", rules=rules({"os-evacuate": ADMIN}))
