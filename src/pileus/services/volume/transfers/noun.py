"""Transfers, at their address of old and, since 3.55, at that of today.

Source: Block Storage API reference, "Volume transfer", "Volume transfers (3.55 or later)".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement

from pileus.resource import types
from pileus.resource.declaration import Attribute, Extension, Resource
from pileus.resource.replies import FLAG, LINKS, MOMENT, TEXT, TEXT_OR_NULL, UUID, always, named
from pileus.resource.replies import named_list as listed
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.resource.wordings.cinder import CINDER
from pileus.services.volume.api import TEXT as TEXT_TYPE
from pileus.services.volume.api import at_least, enforce_own, root_url, since, wrapped
from pileus.services.volume.listing import of_project
from pileus.services.volume.policy import MEMBER, READER, rules
from pileus.services.volume.transfers import work
from pileus.services.volume.transfers.tables import volume_transfers
from pileus.web.body import declared_body
from pileus.web.crud import Crud, crud_routes
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import ByVersion, Route

_c = volume_transfers.c

TRANSFER = Resource(
    "transfer",
    table=volume_transfers,
    wording=CINDER,
    not_found=work.TransferNotFound,
    rules={
        "get": "volume:get_transfer",
        "list": "volume:get_all_transfers",
        "delete": "volume:delete_transfer",
    },
    policy_columns={"project_id": _c.source_project_id},
    targets=lambda tx, context, several: [{"project_id": one["source_project_id"]} for one in several],
    attributes=(
        Attribute("id", types.uuid, sort=True),
        Attribute("volume_id", types.uuid, filter=True, sort=True),
        Attribute("name", TEXT_TYPE, filter=True, sort=True),
        Attribute("created_at", types.timestamp_plain, sort=True),
        Attribute("no_snapshots", types.boolean, versions=("3.55", "")),
        Attribute("source_project_id", types.string(36), versions=("3.57", "")),
        Attribute(
            "destination_project_id",
            types.nullable(types.string(36)),
            versions=("3.57", ""),
            compute=lambda row: None,
        ),
        Attribute("accepted", types.boolean, versions=("3.57", ""), compute=lambda row: False),
    ),
    default_sort=(("created_at", True),),
)

_OLD, _NEW = "/v3/os-volume-transfer", "/v3/volume-transfers"
_NAMES = {
    "id": UUID,
    "volume_id": UUID,
    "name": TEXT_OR_NULL,
    "links": LINKS,
}


def _links(request: Request, transfer_id: str) -> list[dict[str, str]]:
    path = "volume-transfers" if _NEW.rpartition("/")[2] in request.route.path else "os-volume-transfer"
    href = f"{root_url(request)}/{path}/{transfer_id}"
    return [{"rel": "self", "href": href}, {"rel": "bookmark", "href": href}]


def _view(request: Request, action: str, view: dict[str, Any]) -> dict[str, Any]:
    return {**view, "links": _links(request, view["id"])}


def _fields(version: Version) -> dict[str, Type]:
    fields = {**_NAMES, "created_at": MOMENT}
    if at_least(version, "3.55"):
        fields["no_snapshots"] = FLAG
    if at_least(version, "3.57"):
        fields |= {"source_project_id": TEXT, "destination_project_id": TEXT_OR_NULL, "accepted": FLAG}
    return fields


def _asked(request: Request) -> Sequence[ColumnElement[bool]]:
    return of_project(request, _c.source_project_id)


TRANSFERS_CRUD = Crud(
    resource=TRANSFER,
    delete=work.transfer_delete,
    list_where=_asked,
    view=_view,
    detail=True,
    shown={"list": ("id", "volume_id", "name")},
    statuses={"delete": 202},
    replies={
        "list": listed("transfers", always(_NAMES), links="transfers_links"),
        "detail": ByVersion(
            lambda version: listed("transfers", always(_fields(version)), links="transfers_links")
        ),
        "get": ByVersion(lambda version: named("transfer", always(_fields(version)))),
    },
)


def _body(version: Version) -> Type:
    fields: dict[str, Type] = {"volume_id": types.uuid, "name": TEXT_TYPE}
    if at_least(version, "3.55"):
        fields["no_snapshots"] = types.boolean
    return wrapped("transfer", fields, ("volume_id",))


def _shown(request: Request, row: Mapping[str, Any]) -> dict[str, Any]:
    view = {name: row[name] for name in ("id", "volume_id", "name")}
    view |= {
        "created_at": row["created_at"].isoformat(timespec="microseconds"),
        "links": _links(request, row["id"]),
    }
    if since(request, "3.55"):
        view["no_snapshots"] = row["no_snapshots"]
    if since(request, "3.57"):
        view |= {
            "source_project_id": row["source_project_id"],
            "destination_project_id": None,
            "accepted": False,
        }
    return view


async def create(request: Request) -> Reply:
    """Offer a volume to whoever has the key in the reply."""
    key = work.new_key()
    row = await request.write(work.transfer_create, request, declared_body(request)["transfer"], key)
    return Reply.json({"transfer": {**_shown(request, row), "auth_key": key["auth_key"]}}, 202)


async def accept(request: Request) -> Reply:
    """Take a volume that is offered."""
    enforce_own(request)
    row = await request.write(work.transfer_accept, request, declared_body(request)["accept"]["auth_key"])
    view = {"id": row.id, "volume_id": row.volume_id, "name": row.name, "links": _links(request, row.id)}
    return Reply.json({"transfer": view}, 202)


_ACCEPT = wrapped("accept", {"auth_key": types.string(255, minimum=1)}, ("auth_key",))


def _routes(path: str, versions: tuple[str, str]) -> tuple[Route, ...]:
    created = ByVersion(lambda version: named("transfer", always({**_fields(version), "auth_key": TEXT})))
    return (
        *crud_routes(TRANSFERS_CRUD, path, versions=versions),
        Route(
            "POST",
            path,
            create,
            rule="volume:create_transfer",
            versions=versions,
            body=ByVersion(_body),
            reply=created,
            status=202,
            summary="Offer a volume to another project",
        ),
        Route(
            "POST",
            f"{path}/{{id}}/accept",
            accept,
            rule="volume:accept_transfer",
            versions=versions,
            body=_ACCEPT,
            reply=named("transfer", always(_NAMES)),
            status=202,
            summary="Take a volume that is offered",
        ),
    )


TRANSFERS = Noun(
    name="transfer",
    rules=rules(
        {
            "volume:create_transfer": MEMBER,
            "volume:get_transfer": READER,
            "volume:get_all_transfers": READER,
            "volume:accept_transfer": MEMBER,
            "volume:delete_transfer": MEMBER,
        }
    ),
    extensions=(Extension("os-volume-transfer", "VolumeTransfer", "Volume transfer management support."),),
    routes=(*_routes(_OLD, ("", "")), *_routes(_NEW, ("3.55", ""))),
)
