"""Attachments, since 3.27. Source: Block Storage API reference, "Attachments"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, select

from pileus.core.errors import Conflict
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource, Values
from pileus.resource.replies import MOMENT_OR_NULL, TEXT, UUID, UUID_OR_NULL, always, named
from pileus.resource.replies import named_list as listed
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.resource.wordings.cinder import CINDER
from pileus.services.volume.api import ID, NOTHING, at_least, enforce, since
from pileus.services.volume.attachments import work
from pileus.services.volume.attachments.connections import connected, connection_info, protocols_of
from pileus.services.volume.config import VolumeConfig
from pileus.services.volume.errors import AttachmentNotFound, BadRequest
from pileus.services.volume.listing import of_project, refuse_unknown
from pileus.services.volume.policy import MEMBER, READER, rules
from pileus.services.volume.qos.work import volume_qos
from pileus.services.volume.rules import states
from pileus.services.volume.tables.volumes import volume_attachments
from pileus.services.volume.volumes.lookup import seen_volume, target_of
from pileus.services.volume.volumes.view import plain
from pileus.store.column_in import column_in
from pileus.store.tx import Tx
from pileus.web.actions import action_route
from pileus.web.body import declared_body
from pileus.web.crud import Crud, crud_routes
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Action, ByVersion, Route

_c = volume_attachments.c
_STAMP = types.nullable(types.timestamp_plain)


def _qos_specs(tx: Tx, ids: list[str]) -> Mapping[str, Any]:
    """The limits that whoever opens the volumes is to keep, by attachment."""
    volumes = {
        row.id: row.volume_id for row in tx.rows(select(_c.id, _c.volume_id).where(column_in(tx, _c.id, ids)))
    }
    specs = volume_qos(tx, sorted(set(volumes.values())))
    return {key: specs[volume_id] for key, volume_id in volumes.items() if volume_id in specs}


ATTACHMENT = Resource(
    "attachment",
    table=volume_attachments,
    wording=CINDER,
    not_found=AttachmentNotFound,
    rules={"get": "volume:attachment_get", "list": "volume:attachment_get_all"},
    attributes=(
        Attribute("id", types.uuid, sort=True),
        Attribute("status", types.string(), filter=True, sort=True),
        Attribute("instance", ID, column=_c.server_id),
        Attribute("volume_id", types.uuid, filter=True, sort=True),
        Attribute("attached_at", _STAMP),
        Attribute("detached_at", _STAMP, compute=lambda row: None),
        Attribute("attach_mode", types.string(), column=_c.mode),
        Attribute("connection", types.anything),
        Attribute("qos_specs", types.anything, loader=_qos_specs, empty=None),
        Attribute("instance_id", ID, column=_c.server_id, visible=False, filter=True),
        Attribute("attach_status", types.string(), column=_c.status, visible=False, filter=True),
        Attribute("project_id", types.string(36)),
        Attribute("created_at", types.timestamp_plain, visible=False, sort=True),
    ),
    default_sort=(("created_at", True),),
)


class HeldByServer(Conflict):
    message = "Detach volume from instance {server_id} using the Compute API"


def _view(request: Request, action: str, view: dict[str, Any]) -> dict[str, Any]:
    connection, project_id = view.pop("connection", None), view.pop("project_id", None)
    qos_specs = view.pop("qos_specs", None)
    if "attach_mode" in view:
        # It has the password by which the volume is written to: nothing for those who only read.
        may_open = request.access.allows("volume:attachment_update", {"project_id": project_id})
        given = plain(connection) if may_open else None
        view["connection_info"] = (
            connection_info(view["id"], view["volume_id"], view["attach_mode"] == "ro", given, qos_specs)
            if given
            else {}
        )
    return view


def _asked(request: Request) -> Sequence[ColumnElement[bool]]:
    refuse_unknown(request, ATTACHMENT)
    return of_project(request, _c.project_id)


_BRIEF = {"id": UUID, "status": TEXT, "instance": UUID_OR_NULL, "volume_id": UUID}
_FULL = always(
    {
        **_BRIEF,
        "attached_at": MOMENT_OR_NULL,
        "detached_at": MOMENT_OR_NULL,
        "attach_mode": TEXT,
        "connection_info": types.dict_of({}, additional=types.anything),
    }
)
_ONE = named("attachment", _FULL)
_WINDOW = ("3.27", "")

ATTACHMENTS_CRUD = Crud(
    resource=ATTACHMENT,
    where=[_c.status != work.CONNECTING],
    list_where=_asked,
    view=_view,
    detail=True,
    shown={"list": tuple(_BRIEF)},
    replies={
        "list": listed("attachments", always(_BRIEF), links="attachments_links"),
        "detail": listed("attachments", _FULL, links="attachments_links"),
        "get": _ONE,
    },
)

CONNECTOR = types.nullable(types.dict_of({}, additional=types.anything))


def _create_body(version: Version) -> Type:
    fields: dict[str, Type] = {"volume_uuid": types.uuid, "instance_uuid": ID, "connector": CONNECTOR}
    if at_least(version, "3.54"):
        fields["mode"] = types.enum("rw", "ro")
    return types.dict_of(
        {"attachment": types.dict_of(fields, required=("volume_uuid",))}, required=("attachment",)
    )


_UPDATE_BODY = types.dict_of(
    {"attachment": types.dict_of({"connector": CONNECTOR}, required=("connector",))}, required=("attachment",)
)


def checked(connector: Mapping[str, Any]) -> Mapping[str, Any]:
    """A connector that is as one should be. Raises BadRequest."""
    texts = ("host", "initiator", "ip", "mountpoint", "mode")
    for name in texts:
        value = connector.get(name)
        if value is not None and not (isinstance(value, str) and len(value) <= 255 and value.isprintable()):
            raise BadRequest(f"Invalid input received: The connector's {name} is not valid.")
    given = {name: connector[name] for name in (*texts, "protocols") if connector.get(name) is not None}
    if address := connector.get("ip"):
        try:
            given["ip"] = types.ip_address.parse(address)
        except types.BadValue:
            raise BadRequest(f"Invalid input received: {address} is not an address.") from None
    if not connector.get("host") and not connector.get("initiator"):
        raise BadRequest("Invalid input received: The connector names no host.")
    if isinstance(given.get("protocols"), list):
        given["protocols"] = list(protocols_of(given))
    return given


def find_attachment(tx: Tx, request: Request, *, lock: bool = False) -> tuple[Any, Values]:
    """The attachment that the path names and its volume, held, if the route's rule allows it the caller."""
    key = request.path["id"]
    row = work.attachment_read(tx, key)
    if not request.access.allows("volume:attachment_get", {"project_id": row.project_id}):
        raise AttachmentNotFound(id=key)
    volume = work.volume_held(tx, row.volume_id)
    enforce(request, target_of(volume))
    return work.attachment_read(tx, key, lock=lock), volume


def refuse_held(tx: Tx, config: VolumeConfig, attachment_ids: Sequence[str]) -> None:
    """Raise HeldByServer for attachments by which a server of this cloud lives."""
    for server_id in config.holders(tx, attachment_ids).values():
        raise HeldByServer(server_id=server_id)


def _create(tx: Tx, request: Request, asked: Mapping[str, Any]) -> str:
    volume = seen_volume(tx, request, asked["volume_uuid"], lock=True)
    enforce(request, target_of(volume))
    if volume["multiattach"] and volume["bootable"] and volume["status"] == states.IN_USE:
        request.authorise("volume:multiattach_bootable_volume", target_of(volume))
    row = work.attachment_reserve(
        tx, request.context, volume, asked.get("instance_uuid"), asked.get("mode", "rw")
    )
    if asked.get("connector"):
        _connect(tx, request, row["id"], volume, checked(asked["connector"]))
    return str(row["id"])


def _connect(
    tx: Tx, request: Request, attachment_id: str, volume: Values, connector: Mapping[str, Any]
) -> None:
    volume = work.volume_held(tx, volume["id"])
    work.attachment_connect(tx, request.context, volume, attachment_id, connector, status=states.ATTACHING)
    if volume["status"] == states.RESERVED:
        work.volume_set(tx, request.context, volume, states.ATTACHING)


def _update(tx: Tx, request: Request, connector: Mapping[str, Any], config: VolumeConfig) -> None:
    row, volume = find_attachment(tx, request, lock=True)
    if row.status not in (states.RESERVED_ATTACHMENT, states.ATTACHING):
        raise BadRequest(f"Invalid input received: The attachment is {row.status}.")
    refuse_held(tx, config, [row.id])
    _connect(tx, request, row.id, volume, checked(connector))


def _attached(tx: Tx, request: Request, attachment_id: str) -> None:
    row = work.attachment_read(tx, attachment_id, lock=True)
    volume = work.volume_held(tx, row.volume_id)
    work.attachment_complete(tx, request.context, volume, attachment_id)


def _complete(tx: Tx, request: Request) -> None:
    row, volume = find_attachment(tx, request, lock=True)
    if row.status not in (states.ATTACHING, states.RESERVED_ATTACHMENT):
        raise BadRequest(f"Invalid input received: Attachment {row.id} is {row.status}.")
    work.attachment_complete(tx, request.context, volume, row.id)


def _delete(tx: Tx, request: Request, config: VolumeConfig) -> list[dict[str, Any]]:
    row, volume = find_attachment(tx, request, lock=True)
    refuse_held(tx, config, [row.id])
    work.attachment_remove(tx, request.context, volume, [row.id])
    return [
        {"id": one.id, "status": one.status, "instance": one.server_id, "volume_id": one.volume_id}
        for one in work.attachments_of_volume(tx, volume["id"])
        if one.status != work.CONNECTING
    ]


class AttachmentHandlers:
    """Handlers that know the service's settings."""

    def __init__(self, config: VolumeConfig) -> None:
        self._config = config

    async def _shown(self, request: Request, attachment_id: str, *, wait: bool) -> Reply:
        store = request.parts.store
        if wait:
            row = await connected(store, attachment_id, self._config.connection_wait_s)
        else:
            row = await request.read(work.attachment_read, attachment_id)
        qos_specs = await request.read(volume_qos, [row.volume_id])
        stamp = row.attached_at.isoformat(timespec="microseconds") if row.attached_at else None
        view = {
            "id": row.id,
            "status": row.status,
            "instance": row.server_id,
            "volume_id": row.volume_id,
            "attached_at": stamp,
            "detached_at": None,
            "attach_mode": row.mode,
            "connection": row.connection,
            "qos_specs": qos_specs.get(row.volume_id),
            "project_id": row.project_id,
        }
        return Reply.json({"attachment": _view(request, "get", view)})

    async def create(self, request: Request) -> Reply:
        """Reserve a volume; with a connector, have it opened too."""
        asked = declared_body(request)["attachment"]
        attachment_id = await request.write(_create, request, asked)
        return await self._shown(request, attachment_id, wait=bool(asked.get("connector")))

    async def update(self, request: Request) -> Reply:
        """Have the volume opened for a connector. Until 3.43 it is attached then."""
        connector = declared_body(request)["attachment"]["connector"] or {}
        key = request.path["id"]
        await request.write(_update, request, connector, self._config)
        reply = await self._shown(request, key, wait=True)
        if not since(request, "3.44"):
            await request.write(_attached, request, key)
            return await self._shown(request, key, wait=False)
        return reply

    async def complete(self, request: Request, argument: Any) -> Reply:
        """Say that the volume is attached."""
        await request.write(_complete, request)
        return Reply.empty(204)

    async def delete(self, request: Request) -> Reply:
        """End an attachment; those that are left are shown."""
        return Reply.json({"attachments": await request.write(_delete, request, self._config)})


def _routes(handlers: AttachmentHandlers) -> tuple[Route, ...]:
    one = "/v3/attachments/{id}"
    return (
        *crud_routes(ATTACHMENTS_CRUD, "/v3/attachments", versions=_WINDOW),
        Route(
            "POST",
            "/v3/attachments",
            handlers.create,
            rule="volume:attachment_create",
            versions=_WINDOW,
            body=ByVersion(_create_body),
            reply=_ONE,
            summary="Reserve a volume for whoever will open it",
        ),
        Route(
            "PUT",
            one,
            handlers.update,
            rule="volume:attachment_update",
            versions=_WINDOW,
            body=_UPDATE_BODY,
            reply=_ONE,
            summary="Have a volume opened for a connector",
        ),
        Route(
            "DELETE",
            one,
            handlers.delete,
            rule="volume:attachment_delete",
            versions=_WINDOW,
            reply=listed("attachments", always(_BRIEF)),
            summary="End an attachment",
        ),
        action_route(
            f"{one}/action",
            {
                "os-complete": Action(
                    NOTHING,
                    handlers.complete,
                    rule="volume:attachment_complete",
                    versions=("3.44", ""),
                    reply=NO_BODY,
                    status=204,
                    summary="Say that the volume is attached",
                )
            },
            summary="Do something with an attachment",
            status=204,
        ),
    )


def attachments_noun(config: VolumeConfig) -> Noun:
    """The noun, of a cloud with these settings."""
    handlers = AttachmentHandlers(config)
    return Noun(
        name="attachment",
        rules=rules(
            {
                "volume:attachment_get": READER,
                "volume:attachment_get_all": READER,
                "volume:attachment_create": MEMBER,
                "volume:attachment_update": MEMBER,
                "volume:attachment_delete": MEMBER,
                "volume:attachment_complete": MEMBER,
                "volume:multiattach_bootable_volume": MEMBER,
            }
        ),
        routes=_routes(handlers),
    )
