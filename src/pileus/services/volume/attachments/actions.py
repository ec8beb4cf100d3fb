"""The actions by which volumes were attached before there were attachments.

Source: Block Storage API reference, "Volume actions". A connection that ``os-initialize_connection`` has
opened is a row of its own, which ``os-terminate_connection`` takes away; ``os-attach`` and ``os-detach``
write down who uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.services.volume.api import ID
from pileus.services.volume.attachments import work
from pileus.services.volume.attachments.connections import connected, connection_info
from pileus.services.volume.attachments.noun import checked, refuse_held
from pileus.services.volume.config import VolumeConfig
from pileus.services.volume.errors import BadRequest, InvalidVolume
from pileus.services.volume.policy import ADMIN, MEMBER, rules
from pileus.services.volume.qos.work import volume_qos
from pileus.services.volume.rules import states
from pileus.services.volume.volumes.lookup import find_volume, must_be, must_be_placed
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Action

_RULE = "volume_extension:volume_actions:"
_FORCE_DETACH = "volume_extension:volume_admin_actions:force_detach"


def _move(tx: Tx, request: Request, action: str, before: tuple[str, ...], after: str) -> None:
    volume = find_volume(tx, request, lock=True)
    must_be(volume, action, *before)
    work.volume_set(tx, request.context, volume, after)


def _reserve(tx: Tx, request: Request) -> None:
    volume = find_volume(tx, request, lock=True)
    if not (volume["multiattach"] and volume["status"] == states.IN_USE):
        must_be(volume, "reserve", states.AVAILABLE)
    work.volume_set(tx, request.context, volume, states.ATTACHING)


def _unreserve(tx: Tx, request: Request) -> None:
    volume = find_volume(tx, request, lock=True)
    if volume["status"] == states.ATTACHING:
        work.volume_set(tx, request.context, volume, work.status_by_attachments(tx, volume["id"]))


async def reserve(request: Request, argument: Any) -> Reply:
    """Say that a volume is about to be attached."""
    await request.write(_reserve, request)
    return Reply.empty(202)


async def unreserve(request: Request, argument: Any) -> Reply:
    """Take that back."""
    await request.write(_unreserve, request)
    return Reply.empty(202)


async def begin_detaching(request: Request, argument: Any) -> Reply:
    """Say that a volume is about to be detached."""
    await request.write(_move, request, "begin detaching", (states.IN_USE,), states.DETACHING)
    return Reply.empty(202)


async def roll_detaching(request: Request, argument: Any) -> Reply:
    """Take that back."""
    await request.write(_move, request, "roll detaching", (states.DETACHING,), states.IN_USE)
    return Reply.empty(202)


def _attach(tx: Tx, request: Request, asked: Mapping[str, Any]) -> None:
    volume = find_volume(tx, request, lock=True)
    if not asked.get("instance_uuid") and not asked.get("host_name"):
        raise BadRequest("Invalid request to attach volume to an invalid target")
    mode = asked.get("mode") or ("ro" if volume["read_only"] else "rw")
    if volume["read_only"] and mode == "rw":
        raise InvalidVolume(reason=f"Volume {volume['id']} is read-only.")
    if not (volume["multiattach"] and volume["status"] == states.IN_USE):
        must_be(volume, "attach", states.AVAILABLE, states.ATTACHING, states.RESERVED)
        if work.status_by_attachments(tx, volume["id"]) != states.AVAILABLE:
            raise InvalidVolume(reason=f"Volume {volume['id']} is kept for somebody else.")
    row = work.attachment_insert(
        tx,
        request.context,
        volume,
        status=states.ATTACHED,
        server_id=asked.get("instance_uuid"),
        mode=mode,
        host=asked.get("host_name"),
        mountpoint=asked.get("mountpoint"),
    )
    work.attachment_complete(tx, request.context, volume, row["id"])


async def attach(request: Request, argument: Any) -> Reply:
    """Say who has a volume open."""
    await request.write(_attach, request, argument)
    return Reply.empty(202)


def _connect(tx: Tx, request: Request, connector: Mapping[str, Any]) -> str:
    volume = find_volume(tx, request, lock=True)
    must_be_placed(volume)
    must_be(volume, "connect", states.ATTACHING, states.AVAILABLE, states.IN_USE, states.RESERVED)
    known = _connections(tx, volume["id"], connector)
    if known:
        return known[0]
    mode = "ro" if volume["read_only"] else "rw"
    row = work.attachment_insert(tx, request.context, volume, status=work.CONNECTING, mode=mode)
    work.attachment_connect(tx, request.context, volume, row["id"], connector)
    return str(row["id"])


def _connections(tx: Tx, volume_id: str, connector: Mapping[str, Any] | None) -> list[str]:
    """The connections of the old kind that a volume has, of one host where a connector is named."""
    return [
        row.id
        for row in work.attachments_of_volume(tx, volume_id)
        if row.status == work.CONNECTING and (not connector or row.connector == dict(connector))
    ]


def _disconnect(tx: Tx, request: Request, connector: Mapping[str, Any]) -> None:
    volume = find_volume(tx, request, lock=True)
    ids = _connections(tx, volume["id"], connector)
    if ids:
        work.attachments_drop(tx, request.context, volume, ids)


class ConnectionHandlers:
    """Handlers that know the service's settings."""

    def __init__(self, config: VolumeConfig) -> None:
        self._config = config

    def _detach(self, tx: Tx, request: Request, asked: Mapping[str, Any]) -> None:
        volume = find_volume(tx, request, lock=True)
        attached = [one["attachment_id"] for one in volume["attachments"]]
        wanted = asked.get("attachment_id")
        if wanted is not None and wanted not in attached:
            raise InvalidVolume(reason=f"Volume {volume['id']} has no attachment {wanted}.")
        if wanted is None and len(attached) > 1:
            raise InvalidVolume(
                reason="Detach volume failed: More than one attachment, but no attachment_id provided."
            )
        ids = [wanted] if wanted is not None else attached
        refuse_held(tx, self._config, ids)
        if "connector" in asked:
            ids = [*ids, *_connections(tx, volume["id"], None)]
        work.attachment_remove(tx, request.context, volume, ids)

    async def detach(self, request: Request, argument: Any) -> Reply:
        """Say that somebody has a volume open no more."""
        await request.write(self._detach, request, argument or {})
        return Reply.empty(202)

    async def initialize(self, request: Request, argument: Any) -> Reply:
        """Have a volume opened for a connector, and say how."""
        connector = checked(argument["connector"])
        attachment_id = await request.write(_connect, request, connector)
        row = await connected(request.parts.store, attachment_id, self._config.connection_wait_s)
        qos = (await request.read(volume_qos, [row.volume_id])).get(row.volume_id)
        info = connection_info(row.id, row.volume_id, row.mode == "ro", row.connection, qos)
        return Reply.json({"connection_info": info})

    async def terminate(self, request: Request, argument: Any) -> Reply:
        """Have a volume closed that was opened for a connector."""
        await request.write(_disconnect, request, checked(argument["connector"]))
        return Reply.empty(202)


_CONNECTOR = types.dict_of(
    {"connector": types.dict_of({}, additional=types.anything)}, required=("connector",)
)
_DETACH = types.nullable(types.dict_of({"attachment_id": ID}))
_FORCE = types.nullable(types.dict_of({"attachment_id": ID, "connector": types.nullable(types.anything)}))
_ATTACH = types.dict_of(
    {
        "instance_uuid": ID,
        "host_name": types.nullable(types.string(255)),
        "mountpoint": types.string(255, minimum=1),
        "mode": types.enum("rw", "ro"),
    },
    required=("mountpoint",),
)
_INFO = types.dict_of({"connection_info": types.dict_of({}, additional=types.anything)})


def connection_actions(config: VolumeConfig) -> dict[str, Action]:
    """The actions."""
    handlers = ConnectionHandlers(config)

    def action(name: str, argument: types.Type, handler: Any, summary: str, **more: Any) -> Action:
        return Action(
            argument, handler, **{"rule": _RULE + name, "reply": NO_BODY, "summary": summary, **more}
        )

    return {
        "os-reserve": action("reserve", types.anything, reserve, "Reserve a volume"),
        "os-unreserve": action("unreserve", types.anything, unreserve, "Take a reservation back"),
        "os-begin_detaching": action(
            "begin_detaching", types.anything, begin_detaching, "Begin to detach a volume"
        ),
        "os-roll_detaching": action("roll_detaching", types.anything, roll_detaching, "Take that back"),
        "os-attach": action("attach", _ATTACH, attach, "Say who has a volume open"),
        "os-detach": action("detach", _DETACH, handlers.detach, "Say that a volume is open no more"),
        "os-force_detach": action(
            "", _FORCE, handlers.detach, "Say so whatever state it is in", rule=_FORCE_DETACH
        ),
        "os-initialize_connection": action(
            "initialize_connection",
            _CONNECTOR,
            handlers.initialize,
            "Have a volume opened for a connector",
            reply=_INFO,
            status=200,
        ),
        "os-terminate_connection": action(
            "terminate_connection", _CONNECTOR, handlers.terminate, "Have a volume closed"
        ),
    }


CONNECTIONS = Noun(
    name="volume_connection",
    rules=rules(
        {
            **{
                _RULE + name: MEMBER
                for name in (
                    *("reserve", "unreserve", "begin_detaching", "roll_detaching", "attach", "detach"),
                    *("initialize_connection", "terminate_connection"),
                )
            },
            _FORCE_DETACH: ADMIN,
        }
    ),
    extensions=(Extension("os-volume-attachments", "VolumeAttachments", "Attachments of volumes."),),
)
