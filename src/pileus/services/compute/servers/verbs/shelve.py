"""The actions ``shelve``, ``shelveOffload`` and ``unshelve``.

Source: Compute API reference, "Shelve Server" and those after it; 2.77 and 2.91 changed ``unshelve``.
"""

from __future__ import annotations

from typing import Any

from pileus.core.errors import Conflict
from pileus.resource import types
from pileus.resource.declaration import Values
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.compute.api import at_least, since
from pileus.services.compute.errors import BadRequest
from pileus.services.compute.nodes.reading import nodes_read
from pileus.services.compute.policy import ADMIN, ADMIN_OR_MEMBER, rules
from pileus.services.compute.rules import states
from pileus.services.compute.servers.attached_volumes import root_volume_of
from pileus.services.compute.servers.chains.common import Parts
from pileus.services.compute.servers.chains.shelve import begin_offload, begin_shelve, begin_unshelve
from pileus.services.compute.servers.instance_actions import action_begin
from pileus.services.compute.servers.lookup import (
    change,
    find_server,
    must_be_free,
    must_be_unlocked,
    must_permit,
)
from pileus.services.compute.servers.verbs.common import permitted, wake
from pileus.services.compute.servers.verbs.snapshot import server_image_begin
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Action, ByVersion

_NAME_BYTES = 255


class NotOffloaded(Conflict):
    message = (
        "Specifying an availability zone or a host when unshelving server {id} with status {status} is not "
        "supported. The server status must be SHELVED_OFFLOADED."
    )


def _shelve(tx: Tx, request: Request, parts: Parts) -> None:
    server = permitted(tx, request, "shelve")
    must_be_free(request, server)
    name = f"{server['name'][: _NAME_BYTES - len('-shelved')]}-shelved"
    image_id = None
    if root_volume_of(tx, server["id"]) is None:
        image_id = server_image_begin(tx, request, server, parts, name=name)
    action_begin(tx, request.context, [server["id"]], "shelve")
    begin_shelve(tx, request.context, server, image_id, parts)
    change(
        tx,
        request.context,
        server,
        shelved_image_id=image_id,
        wanted=states.WANT_STOPPED,
        task_state=states.SHELVING,
        task_since=request.context.now,
    )
    wake(tx, request, server, task_state=states.SHELVING)


def _offload(tx: Tx, request: Request, parts: Parts) -> None:
    server = permitted(tx, request, "shelveOffload")
    action_begin(tx, request.context, [server["id"]], "shelveOffload")
    begin_offload(tx, request.context, server, parts)


def _unshelve(tx: Tx, request: Request, asked: dict[str, Any], parts: Parts) -> None:
    server = find_server(tx, request, lock=True)
    if asked.get("host"):
        request.authorise("os_compute_api:os-shelve:unshelve_to_host", {"project_id": server["project_id"]})
    must_be_unlocked(request, server)
    must_permit("unshelve", server)
    changes = _where_to(tx, request, server, asked, parts) if asked else {}
    if server["host"] is not None:
        changes["wanted"] = states.WANT_RUNNING
    action_begin(tx, request.context, [server["id"]], "unshelve")
    begin_unshelve(tx, request.context, server, asked.get("host"), parts)
    change(
        tx,
        request.context,
        server,
        task_state=states.UNSHELVING,
        task_since=request.context.now,
        **changes,
    )
    wake(tx, request, server, task_state=states.UNSHELVING)


def _where_to(
    tx: Tx, request: Request, server: Values, asked: dict[str, Any], parts: Parts
) -> dict[str, Any]:
    """Changes of the server that follow from the zone and the host that are asked for."""
    if server["vm_state"] != states.SHELVED_OFFLOADED:
        status = states.status_of(server["vm_state"], server["task_state"])
        raise NotOffloaded(id=server["id"], status=status)
    nodes = {one.row.host: one.service.zone for one in nodes_read(tx, parts.config, request.context.now)}
    host, changes = asked.get("host"), {}
    if "availability_zone" in asked:
        zone = asked["availability_zone"]
        if zone is not None and zone not in nodes.values():
            raise BadRequest("The requested availability zone is not available")
        changes["pinned_availability_zone"] = zone
    if host is not None:
        if host not in nodes:
            raise BadRequest(f"Compute host {host} could not be found.")
        zone = changes.get("pinned_availability_zone", server["pinned_availability_zone"])
        if zone is not None and nodes[host] != zone:
            raise BadRequest(f"Host '{host}' is not in the availability zone '{zone}'.")
    return changes


def _unshelve_argument(version: Version) -> Type:
    if not at_least(version, "2.77"):
        return types.anything
    fields: dict[str, Type] = {"availability_zone": types.string(255, minimum=1)}
    required: tuple[str, ...] = ("availability_zone",)
    if at_least(version, "2.91"):
        zone = types.nullable(fields["availability_zone"])
        fields, required = {"availability_zone": zone, "host": types.string(255, minimum=1)}, ()
    return types.nullable(types.dict_of(fields, required=required))


def shelve_actions(parts: Parts) -> dict[str, Action]:
    """The actions by name."""

    async def shelve(request: Request, argument: Any) -> Reply:
        await request.write(_shelve, request, parts)
        return Reply.empty(202)

    async def offload(request: Request, argument: Any) -> Reply:
        await request.write(_offload, request, parts)
        return Reply.empty(202)

    async def unshelve(request: Request, argument: Any) -> Reply:
        asked = argument if since(request, "2.77") and argument else {}
        await request.write(_unshelve, request, asked, parts)
        return Reply.empty(202)

    return {
        "shelve": Action(
            types.anything, shelve, rule="os_compute_api:os-shelve:shelve", summary="Shelve a server"
        ),
        "shelveOffload": Action(
            types.anything,
            offload,
            rule="os_compute_api:os-shelve:shelve_offload",
            summary="Have a shelved server leave its host",
        ),
        "unshelve": Action(
            ByVersion(_unshelve_argument),
            unshelve,
            rule="os_compute_api:os-shelve:unshelve",
            summary="Have a shelved server run again",
        ),
    }


SHELVES = Noun(
    name="server_shelve",
    rules=rules(
        {
            "os-shelve:shelve": ADMIN_OR_MEMBER,
            "os-shelve:shelve_offload": ADMIN,
            "os-shelve:unshelve": ADMIN_OR_MEMBER,
            "os-shelve:unshelve_to_host": ADMIN,
        }
    ),
)
