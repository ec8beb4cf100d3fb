"""Volumes and their snapshots as the Compute API shows them. Source: Compute API reference, "Volume extension
(DEPRECATED)"."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pileus.core.errors import Fault, NotFound
from pileus.core.names import is_uuid
from pileus.resource import types
from pileus.resource.types import Type
from pileus.services.compute.paging import offset, page_size
from pileus.services.compute.proxies.common import PROXIED, refusal
from pileus.services.compute.replies import COUNT, MOMENT, TEXT, TEXT_OR_NULL, UUID, always, named, named_list
from pileus.web.body import declared_body
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import ANYBODY, NO_BODY, Route

VOLUMES = "block-storage"


class VolumeNotFound(NotFound):
    message = "Volume {id} could not be found."


class SnapshotNotFound(NotFound):
    message = "Snapshot {id} could not be found."


class _Kind(NamedTuple):
    """Volumes or snapshots: their name here, their path there, how one is shown."""

    name: str
    path: str
    view: Callable[[Mapping[str, Any]], dict[str, Any]]
    missing: type[NotFound]
    created: Callable[[Mapping[str, Any]], dict[str, Any]]
    body: Type
    shown: Type

    @property
    def several(self) -> str:
        return f"{self.name}s"


def _volume(one: Mapping[str, Any]) -> dict[str, Any]:
    attachments = [
        {
            "id": each["volume_id"],
            "volumeId": each["volume_id"],
            "serverId": each["server_id"],
            "device": each["device"],
        }
        for each in one["attachments"]
    ]
    return {
        "id": one["id"],
        "status": one["status"],
        "size": one["size"],
        "availabilityZone": one["availability_zone"],
        "createdAt": one["created_at"],
        "attachments": attachments or [{}],
        "displayName": one["name"],
        "displayDescription": one["description"],
        "volumeType": one["volume_type"],
        "snapshotId": one["snapshot_id"],
        "metadata": one["metadata"],
    }


def _snapshot(one: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": one["id"],
        "volumeId": one["volume_id"],
        "status": one["status"],
        "size": one["size"],
        "createdAt": one["created_at"],
        "displayName": one["name"],
        "displayDescription": one["description"],
    }


def _named(asked: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The values of a request in the words of the volume service."""
    given = {name: asked[name] for name in names if asked.get(name) is not None}
    for name in ("name", "description"):
        if asked.get(f"display_{name}") is not None:
            given[name] = asked[f"display_{name}"]
    return given


def _new_volume(asked: Mapping[str, Any]) -> dict[str, Any]:
    return _named(asked, "volume_type", "metadata", "snapshot_id", "size", "availability_zone")


def _new_snapshot(asked: Mapping[str, Any]) -> dict[str, Any]:
    return _named(asked, "volume_id", "force")


def _number(value: Any) -> int:
    return int(value)


_TEXT = types.nullable(types.string(255))
_SIZE = types.one_of(types.integer(1), types.normalised(types.string(9, pattern=r"[1-9][0-9]*"), _number))
_NAMES: dict[str, Type] = {"display_name": _TEXT, "display_description": _TEXT}
_ATTACHMENT = types.dict_of({"id": UUID, "volumeId": UUID, "serverId": TEXT_OR_NULL, "device": TEXT_OR_NULL})
_KINDS = (
    _Kind(
        *("volume", "/v3/volumes", _volume, VolumeNotFound, _new_volume),
        types.dict_of(
            {
                "size": _SIZE,
                "volume_type": types.string(255),
                "metadata": types.dict_of({}, additional=types.anything),
                "snapshot_id": types.string(255),
                "availability_zone": types.string(255),
                **_NAMES,
            },
            required=("size",),
            additional=types.anything,
        ),
        always(
            {
                "id": UUID,
                "status": TEXT,
                "size": COUNT,
                "availabilityZone": TEXT_OR_NULL,
                "createdAt": MOMENT,
                "attachments": types.list_of(_ATTACHMENT),
                "displayName": TEXT_OR_NULL,
                "displayDescription": TEXT_OR_NULL,
                "volumeType": TEXT_OR_NULL,
                "snapshotId": TEXT_OR_NULL,
                "metadata": types.dict_of({}, additional=types.anything),
            }
        ),
    ),
    _Kind(
        *("snapshot", "/v3/snapshots", _snapshot, SnapshotNotFound, _new_snapshot),
        types.dict_of(
            {"volume_id": types.string(255, minimum=1), "force": types.boolean, **_NAMES},
            required=("volume_id",),
            additional=types.anything,
        ),
        always(
            {
                "id": UUID,
                "volumeId": UUID,
                "status": TEXT,
                "size": COUNT,
                "createdAt": MOMENT,
                "displayName": TEXT_OR_NULL,
                "displayDescription": TEXT_OR_NULL,
            }
        ),
    ),
)


async def _list(request: Request, kind: _Kind) -> Reply:
    found = await request.forward(VOLUMES, "GET", f"{kind.path}/detail")
    several = found[kind.several][offset(request) :][: page_size(request)]
    return Reply.json({kind.several: [kind.view(one) for one in several]})


async def _create(request: Request, kind: _Kind) -> Reply:
    asked = kind.created(declared_body(request)[kind.name])
    made = await request.forward(VOLUMES, "POST", kind.path, {kind.name: asked})
    return Reply.json({kind.name: kind.view(_whole(made[kind.name]))})


def _whole(made: Mapping[str, Any]) -> dict[str, Any]:
    """A new thing with what only its full view has."""
    return {"attachments": [], "metadata": {}, "volume_type": None, "snapshot_id": None, **made}


def _key(request: Request, kind: _Kind) -> str:
    """The id in the path: no other word is a thing, though paths of the volume service have some."""
    key = request.path["id"]
    if not is_uuid(key):
        raise kind.missing(id=key)
    return key


async def _show(request: Request, kind: _Kind) -> Reply:
    key = _key(request, kind)
    try:
        found = await request.forward(VOLUMES, "GET", f"{kind.path}/{key}")
    except NotFound:
        raise kind.missing(id=key) from None
    return Reply.json({kind.name: kind.view(found[kind.name])})


async def _delete(request: Request, kind: _Kind) -> Reply:
    key = _key(request, kind)
    try:
        await request.forward(VOLUMES, "DELETE", f"{kind.path}/{key}")
    except NotFound:
        raise kind.missing(id=key) from None
    return Reply.empty(202)


def _routes(kind: _Kind) -> tuple[Route, ...]:
    every, one = f"/v2.1/os-{kind.several}", f"/v2.1/os-{kind.several}/{{id}}"

    def handler(work: Any) -> Any:
        async def handle(request: Request) -> Reply:
            try:
                reply: Reply = await work(request, kind)
            except Fault as fault:
                raise refusal(fault) from None
            return reply

        return handle

    def route(method: str, path: str, work: Any, summary: str, **more: Any) -> Route:
        return Route(method, path, handler(work), versions=PROXIED, rule=ANYBODY, summary=summary, **more)

    shown = named(kind.name, kind.shown)
    listed = named_list(kind.several, kind.shown)
    body = types.dict_of({kind.name: kind.body}, required=(kind.name,))
    return (
        route("GET", every, _list, f"List {kind.several}", reply=listed),
        route("GET", f"{every}/detail", _list, f"List {kind.several} in full", reply=listed),
        route("POST", every, _create, f"Create a {kind.name}", body=body, reply=shown, status=200),
        route("GET", one, _show, f"Show a {kind.name}", reply=shown),
        route("DELETE", one, _delete, f"Delete a {kind.name}", reply=NO_BODY, status=202),
    )


VOLUMES_PROXY = Noun(name="proxied_volume", routes=tuple(one for kind in _KINDS for one in _routes(kind)))
