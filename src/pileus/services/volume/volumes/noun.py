"""Volumes: lists, one, new ones, changes, deletion, the summary. Source: Block Storage API reference,
"Volumes"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, func, select

from pileus.resource import types
from pileus.resource.declaration import Extension, Update, Values
from pileus.resource.replies import COUNT, TEXTS, always, named
from pileus.resource.versions import Version
from pileus.services.volume.api import at_least, enforce_own, flag, since
from pileus.services.volume.config import VolumeConfig
from pileus.services.volume.events import volume_event
from pileus.services.volume.listing import counted, listed_with_count, of_project, refuse_unknown
from pileus.services.volume.policy import ADMIN, MEMBER, READER, rules
from pileus.services.volume.tables.volumes import volumes
from pileus.services.volume.volumes.creation import volume_create
from pileus.services.volume.volumes.deletion import volume_delete
from pileus.services.volume.volumes.requests import UPDATE_BODY, create_body
from pileus.services.volume.volumes.resource import VOLUME
from pileus.services.volume.volumes.view import BRIEF, volume_type, volume_view
from pileus.store.tx import Tx
from pileus.web.body import declared_body
from pileus.web.crud import Crud, crud_reply, crud_routes
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, ByVersion, Route


def _asked(request: Request) -> Sequence[ColumnElement[bool]]:
    refuse_unknown(request, VOLUME)
    return of_project(request, volumes.c.project_id)


def _volume_update(tx: Tx, context: Any, updates: list[Update]) -> list[Values]:
    changed = VOLUME.change(tx, context, updates)
    tx.emit_many([volume_event(context, "volume.update", one, name=one["name"]) for one in changed])
    return changed


_ONE = ByVersion(lambda version: named("volume", volume_type(version)))

VOLUMES_CRUD = Crud(
    resource=VOLUME,
    update=_volume_update,
    list_where=_asked,
    view=volume_view,
    detail=True,
    shown={"list": ("id", "name")},
    bodies={"update": UPDATE_BODY},
    may_change_nothing=True,
    replies={
        "list": listed_with_count("volumes", lambda version: BRIEF),
        "detail": listed_with_count("volumes", volume_type),
        "get": _ONE,
        "update": _ONE,
    },
)


def _summary(tx: Tx, request: Request) -> dict[str, Any]:
    visible = request.access.visibility(VOLUME, "list", "volume:get_all")
    where = [*of_project(request, volumes.c.project_id), *([] if visible is None else [visible])]
    row: Any = tx.first(
        select(func.count().label("many"), func.coalesce(func.sum(volumes.c.size_gib), 0).label("gib"))
        .select_from(volumes)
        .where(*where)
    )
    found: dict[str, Any] = {"total_count": int(row.many), "total_size": int(row.gib)}
    if since(request, "3.36"):
        items: dict[str, set[str]] = {}
        for one in tx.rows(select(volumes.c.metadata).where(*where)):
            for key, text in one.metadata.items():
                items.setdefault(key, set()).add(text)
        found["metadata"] = {key: sorted(texts) for key, texts in sorted(items.items())}
    return found


async def summarise(request: Request) -> Reply:
    """Say how many volumes there are and how large they are together."""
    enforce_own(request)
    return Reply.json({"volume-summary": await request.read(_summary, request)})


def _summary_type(version: Version) -> types.Type:
    fields = {"total_count": COUNT, "total_size": COUNT}
    if at_least(version, "3.36"):
        fields["metadata"] = types.dict_of({}, additional=TEXTS)
    return named("volume-summary", always(fields))


class VolumeHandlers:
    """Handlers that know the service's settings."""

    def __init__(self, config: VolumeConfig) -> None:
        self._config = config

    async def create(self, request: Request) -> Reply:
        """Make a volume: empty, or from an image, a volume or a snapshot."""
        context = request.context
        body = declared_body(request)
        own = {"project_id": context.project_id, "user_id": context.user_id}
        request.authorise("volume:create", own)
        if body["volume"].get("image_id") and not body["volume"].get("imageRef"):
            body["volume"]["imageRef"] = body["volume"]["image_id"]
        if body["volume"].get("imageRef"):
            request.authorise("volume:create_from_image", own)
        made = await request.write(volume_create, request, body, self._config)
        return crud_reply(request, VOLUMES_CRUD, made, "create", 202)

    async def delete(self, request: Request) -> Reply:
        """Delete a volume; ``cascade``: with its snapshots; ``force``, since 3.23, whatever its state."""
        cascade, force = flag(request, "cascade"), flag(request, "force") and since(request, "3.23")
        if force:
            request.authorise("volume:force_delete")
        await request.write(volume_delete, request, self._config, cascade=cascade, force=force)
        return Reply.empty(202)


def volumes_noun(config: VolumeConfig) -> Noun:
    """The noun, of a cloud with these settings."""
    handlers = VolumeHandlers(config)
    return Noun(
        name="volume",
        rules=rules(
            {
                "volume:create": MEMBER,
                "volume:create_from_image": MEMBER,
                "volume:get": READER,
                "volume:get_all": READER,
                "volume:update": MEMBER,
                "volume:delete": MEMBER,
                "volume:force_delete": ADMIN,
                "volume_extension:volume_host_attribute": ADMIN,
                "volume_extension:volume_tenant_attribute": READER,
                "volume_extension:volume_mig_status_attribute": ADMIN,
            }
        ),
        extensions=(
            Extension("os-vol-host-attr", "VolumeHostAttribute", "Expose host as an attribute of a volume."),
            Extension("os-vol-tenant-attr", "VolumeTenantAttribute", "Expose the internal project_id."),
            Extension("os-vol-mig-status-attr", "VolumeMigStatusAttribute", "Expose migration_status."),
            Extension("OS-SCH-HNT", "SchedulerHints", "Pass arbitrary key/value pairs to the scheduler."),
        ),
        routes=(
            *counted(
                VOLUMES_CRUD,
                crud_routes(VOLUMES_CRUD, "/v3/volumes", statements={"list": 3, "detail": 4, "get": 4}),
            ),
            Route(
                "POST",
                "/v3/volumes",
                handlers.create,
                rule="volume:create",
                body=ByVersion(create_body),
                reply=_ONE,
                status=202,
                summary="Create a volume",
            ),
            Route(
                "DELETE",
                "/v3/volumes/{id}",
                handlers.delete,
                rule="volume:delete",
                reply=NO_BODY,
                status=202,
                summary="Delete a volume",
            ),
            Route(
                "GET",
                "/v3/volumes/summary",
                summarise,
                rule="volume:get_all",
                versions=("3.12", ""),
                reply=ByVersion(_summary_type),
                summary="Sum volumes up",
            ),
        ),
    )
