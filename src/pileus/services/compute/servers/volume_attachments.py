"""The volumes of a server. Source: Compute API reference, "Servers with volume attachments".

Attaching and detaching are written down here and done by chains (``chains/volumes.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, update

from pileus.core.errors import Conflict, Forbidden, NotFound
from pileus.resource import types
from pileus.resource.declaration import Extension, Values
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.compute.api import at_least, since
from pileus.services.compute.errors import BadRequest
from pileus.services.compute.paging import offset, page_size
from pileus.services.compute.policy import ADMIN, ADMIN_OR_MEMBER, ADMIN_OR_READER, rules
from pileus.services.compute.replies import FLAG, TEXT, TEXT_OR_NULL, UUID, always, named, named_list
from pileus.services.compute.rules.devices import next_name, own_names
from pileus.services.compute.servers.attached_volumes import (
    ATTACHED,
    ATTACHING,
    CONNECTING,
    MOVING,
    connector_of,
    volumes_of_servers,
)
from pileus.services.compute.servers.chains.common import Parts
from pileus.services.compute.servers.chains.volumes import begin_attach, begin_detach
from pileus.services.compute.servers.devices import must_be_shareable
from pileus.services.compute.servers.instance_actions import action_begin
from pileus.services.compute.servers.lookup import find_server
from pileus.services.compute.servers.verbs.common import permitted, wake
from pileus.services.compute.tables.servers import server_volumes
from pileus.services.compute.uses.volume import (
    InvalidVolume,
    attachment_complete,
    attachment_connect,
    attachment_reserve,
    attachments_end,
    volume_held,
    volume_set,
    volume_usable,
)
from pileus.store.tx import Tx
from pileus.web.body import declared_body
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, ByVersion, Route


class AttachmentNotFound(NotFound):
    message = "volume_id not found: {id}"


class RootDetached(Forbidden):
    message = "Cannot detach a root device volume"


class TooManyVolumes(Conflict):
    message = "Server {id} has no room for another volume."


def _target(server: Mapping[str, Any], present: Sequence[Any]) -> str:
    """The name that a server's next volume has in the machine. Raises TooManyVolumes."""
    bus = (server["hardware"] or {}).get("disk_bus", "virtio")
    backed = any(row.boot_index == 0 for row in present)
    local = (not backed) + bool(server["flavor"]["ephemeral"])
    taken = own_names(bus, local, volume_backed=backed) | {row.target for row in present}
    name = next_name(bus, taken, own_bus=bus)
    if name is None:
        raise TooManyVolumes(id=server["id"])
    return name


class VolumeHandlers:
    """Handlers that know the settings of compute."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def _rows(self, tx: Tx, request: Request) -> list[Any]:
        server = find_server(tx, request)
        return volumes_of_servers(tx, [server["id"]]).get(server["id"], [])

    def _one(self, tx: Tx, request: Request) -> Any:
        volume_id = request.path["volume_id"]
        for row in self._rows(tx, request):
            if row.volume_id == volume_id:
                return row
        raise AttachmentNotFound(id=volume_id)

    async def list_volumes(self, request: Request) -> Reply:
        """List a server's volumes."""
        rows = (await request.read(self._rows, request))[offset(request) :][: page_size(request)]
        return Reply.json({"volumeAttachments": [_view(request, row) for row in rows]})

    async def show(self, request: Request) -> Reply:
        """Show one of them."""
        return Reply.json({"volumeAttachment": _view(request, await request.read(self._one, request))})

    def _attach(self, tx: Tx, request: Request, asked: Mapping[str, Any]) -> Any:
        server = permitted(tx, request, "attach_volume", hostless=True)
        volume = volume_usable(tx, request.access, asked["volumeId"])
        must_be_shareable(request.access, volume)
        present = volumes_of_servers(tx, [server["id"]]).get(server["id"], [])
        if any(row.volume_id == volume["id"] for row in present):
            raise BadRequest(f"Invalid volume: volume {volume['id']} already attached")
        try:
            made = attachment_reserve(tx, request.context, volume, server["id"])
        except InvalidVolume as refused:
            raise BadRequest(refused.text) from None
        target = _target(server, present)
        if server["host"] is not None:
            connector = connector_of(server["host"], target)
            held = volume_held(tx, volume["id"])
            attachment_connect(tx, request.context, held, made["id"], connector, status=ATTACHING)
            if held["status"] != "in-use":
                volume_set(tx, request.context, held, ATTACHING)
        row = {
            "attachment_id": made["id"],
            "server_id": server["id"],
            "volume_id": volume["id"],
            "target": target,
            "bus": None,
            "boot_index": None,
            "tag": asked.get("tag"),
            "delete_on_termination": bool(asked.get("delete_on_termination")),
            "state": CONNECTING if server["host"] is not None else MOVING,
            "created_at": request.context.now,
        }
        tx.insert(server_volumes, [row])
        if server["host"] is None:
            # it gets it with its next host; clients wait for a volume that is in use
            held = volume_held(tx, volume["id"])
            attachment_complete(tx, request.context, held, made["id"], f"/dev/{target}")
        action_begin(tx, request.context, [server["id"]], "attach_volume", done=server["host"] is None)
        if server["host"] is not None:
            begin_attach(tx, request.context, server, made["id"], volume["id"], self._parts)
        return next(
            one
            for one in volumes_of_servers(tx, [server["id"]])[server["id"]]
            if one.volume_id == volume["id"]
        )

    async def attach(self, request: Request) -> Reply:
        """Have a volume attached: written down here, done afterwards."""
        asked = declared_body(request)["volumeAttachment"]
        row = await request.write(self._attach, request, asked)
        return Reply.json({"volumeAttachment": _view(request, row)})

    def _detach(self, tx: Tx, request: Request) -> None:
        server = permitted(tx, request, "detach_volume", hostless=True)
        row = self._of(tx, server, request.path["volume_id"])
        if row.boot_index == 0:
            raise RootDetached
        if server["host"] is None:
            action_begin(tx, request.context, [server["id"]], "detach_volume", done=True)
            attachments_end(tx, request.context, [row.attachment_id])
            tx.execute(delete(server_volumes).where(server_volumes.c.attachment_id == row.attachment_id))
            return
        if row.state != ATTACHED:
            raise BadRequest(f"Invalid volume: volume {row.volume_id} is {row.state}.")
        volume_set(tx, request.context, volume_held(tx, row.volume_id), "detaching")
        action_begin(tx, request.context, [server["id"]], "detach_volume")
        begin_detach(tx, request.context, server, row, self._parts)
        wake(tx, request, server, detached=row.volume_id)

    def _of(self, tx: Tx, server: Values, volume_id: str) -> Any:
        for row in volumes_of_servers(tx, [server["id"]]).get(server["id"], []):
            if row.volume_id == volume_id:
                return row
        raise AttachmentNotFound(id=volume_id)

    async def detach(self, request: Request) -> Reply:
        """Have a volume detached."""
        await request.write(self._detach, request)
        return Reply.empty(202)

    def _update(self, tx: Tx, request: Request, asked: Mapping[str, Any]) -> None:
        server = find_server(tx, request, lock=True)
        row = self._of(tx, server, request.path["volume_id"])
        if asked["volumeId"] != row.volume_id:
            raise BadRequest("Volumes are not swapped in this cloud: detach one and attach the other.")
        if asked.get("delete_on_termination") is not None:
            tx.execute(
                update(server_volumes)
                .where(server_volumes.c.attachment_id == row.attachment_id)
                .values(delete_on_termination=asked["delete_on_termination"])
            )

    async def update(self, request: Request) -> Reply:
        """Say whether a volume goes with its server."""
        asked = declared_body(request)["volumeAttachment"]
        await request.write(self._update, request, asked)
        return Reply.empty(202)


def _view(request: Request, row: Any) -> dict[str, Any]:
    view: dict[str, Any] = {
        "volumeId": row.volume_id,
        "serverId": row.server_id,
        "device": f"/dev/{row.target}",
    }
    if not since(request, "2.89"):
        view["id"] = row.volume_id
    if since(request, "2.70"):
        view["tag"] = row.tag
    if since(request, "2.79"):
        view["delete_on_termination"] = row.delete_on_termination
    if since(request, "2.89"):
        view |= {"attachment_id": row.attachment_id, "bdm_uuid": row.attachment_id}
    return view


def _shown(version: Version) -> Type:
    fields: dict[str, Type] = {"volumeId": UUID, "serverId": UUID, "device": TEXT}
    if at_least(version, "2.89"):
        fields |= {"attachment_id": UUID, "bdm_uuid": UUID}
    else:
        fields["id"] = UUID
    if at_least(version, "2.70"):
        fields["tag"] = TEXT_OR_NULL
    if at_least(version, "2.79"):
        fields["delete_on_termination"] = FLAG
    return always(fields)


def _attach_body(version: Version) -> Type:
    fields: dict[str, Type] = {
        "volumeId": types.uuid,
        "device": types.nullable(types.string(255, pattern=r"(/dev/)?(x?v?[sh]?d[a-z]+\d*)?")),
    }
    if at_least(version, "2.49"):
        fields["tag"] = types.string(60, minimum=1, pattern=r"[^,/]*")
    if at_least(version, "2.79"):
        fields["delete_on_termination"] = types.boolean
    return types.dict_of(
        {"volumeAttachment": types.dict_of(fields, required=("volumeId",))}, required=("volumeAttachment",)
    )


def _update_body(version: Version) -> Type:
    fields: dict[str, Type] = {"volumeId": types.uuid}
    if at_least(version, "2.85"):
        fields |= {
            "delete_on_termination": types.boolean,
            "device": types.nullable(types.string(255)),
            "serverId": types.uuid,
            "tag": types.nullable(types.string(60)),
            "id": types.uuid,
        }
    return types.dict_of(
        {"volumeAttachment": types.dict_of(fields, required=("volumeId",))}, required=("volumeAttachment",)
    )


_RULE = "os_compute_api:os-volumes-attachments:"


def volume_attachments_noun(parts: Parts) -> Noun:
    """The noun, of a cloud with these parts."""
    handlers = VolumeHandlers(parts)
    every, one = (
        "/v2.1/servers/{id}/os-volume_attachments",
        "/v2.1/servers/{id}/os-volume_attachments/{volume_id}",
    )

    def route(method: str, path: str, handler: Any, rule: str, summary: str, **more: Any) -> Route:
        return Route(method, path, handler, rule=_RULE + rule, summary=summary, **more)

    shown = ByVersion(lambda version: named("volumeAttachment", _shown(version)))
    return Noun(
        name="volume_attachment",
        rules=rules(
            {
                "os-volumes-attachments:index": ADMIN_OR_READER,
                "os-volumes-attachments:show": ADMIN_OR_READER,
                "os-volumes-attachments:create": ADMIN_OR_MEMBER,
                "os-volumes-attachments:update": ADMIN_OR_MEMBER,
                "os-volumes-attachments:delete": ADMIN_OR_MEMBER,
                "os-volumes-attachments:swap": ADMIN,
            }
        ),
        extensions=(Extension("os-volumes", "Volumes", "Volumes support."),),
        routes=(
            route(
                "GET",
                every,
                handlers.list_volumes,
                "index",
                "List a server's volumes",
                reply=ByVersion(lambda version: named_list("volumeAttachments", _shown(version))),
            ),
            route(
                "POST",
                every,
                handlers.attach,
                "create",
                "Attach a volume",
                body=ByVersion(_attach_body),
                reply=shown,
            ),
            route("GET", one, handlers.show, "show", "Show a server's volume", reply=shown),
            route(
                "PUT",
                one,
                handlers.update,
                "update",
                "Say whether a volume goes with its server",
                body=ByVersion(_update_body),
                reply=NO_BODY,
                status=202,
            ),
            route("DELETE", one, handlers.detach, "delete", "Detach a volume", reply=NO_BODY, status=202),
        ),
    )
