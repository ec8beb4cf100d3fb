"""``os-migrations``: how servers went from host to host. Source: Compute API reference, "Migrations"."""

from __future__ import annotations

import zlib
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select

from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.compute.api import at_least, enforce, since, time_asked
from pileus.services.compute.errors import BadRequest
from pileus.services.compute.paging import largest_page, next_page, page_size
from pileus.services.compute.policy import ADMIN, ADMIN_OR_MANAGER, rules
from pileus.services.compute.replies import (
    INTEGER,
    MOMENT,
    TEXT,
    TEXT_OR_NULL,
    UUID,
    always,
    named_list,
)
from pileus.services.compute.servers.view import micro
from pileus.services.compute.tables.servers import server_migrations, servers
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import ByVersion, Route

_RULE = "os_compute_api:os-migrations:index"
NOWHERE = dict.fromkeys(("source_compute", "source_node", "dest_compute", "dest_node", "dest_host"))
"""The hosts of a migration as those see them who are not to know."""
_c = server_migrations.c


def _number(flavor_id: str) -> int:
    """A number for a flavor, as old clients expect one: its id, where that is a number."""
    return int(flavor_id) if flavor_id.isdigit() and len(flavor_id) < 10 else zlib.crc32(flavor_id.encode())


def places_of(row: Any) -> dict[str, Any]:
    """Where a server was, and where it goes."""
    return {
        "source_compute": row.source_host,
        "source_node": row.source_node,
        "dest_compute": row.dest_host,
        "dest_node": row.dest_node,
        "dest_host": None,
    }


def _view(request: Request, row: Any, places: bool) -> dict[str, Any]:
    view: dict[str, Any] = {
        "id": row.number,
        "instance_uuid": row.server_id,
        "status": row.status,
        "old_instance_type_id": _number(row.old_values["flavor_id"]),
        "new_instance_type_id": _number(row.new_values["flavor_id"]),
        "created_at": micro(row.created_at),
        "updated_at": micro(row.updated_at),
    }
    view |= places_of(row) if places else NOWHERE
    if since(request, "2.23"):
        view["migration_type"] = row.kind
    if since(request, "2.59"):
        view["uuid"] = row.id
    if since(request, "2.80"):
        view |= {"user_id": row.user_id, "project_id": row.project_id}
    return view


def _filters(request: Request) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = []
    plain = {
        "instance_uuid": _c.server_id,
        "status": _c.status,
        "source_compute": _c.source_host,
        "migration_type": _c.kind,
    }
    if since(request, "2.80"):
        plain |= {"user_id": _c.user_id, "project_id": _c.project_id}
    for name, column in plain.items():
        value = request.parameter(name)
        if value is not None:
            where.append(column == value)
    host = request.parameter("host")
    if host is not None:
        where.append(or_(_c.source_host == host, _c.dest_host == host))
    after = request.parameter("changes-since") if since(request, "2.59") else None
    before = request.parameter("changes-before") if since(request, "2.66") else None
    if after is not None:
        where.append(_c.updated_at >= time_asked("changes-since", after))
    if before is not None:
        moment = time_asked("changes-before", before)
        if after is not None and moment < time_asked("changes-since", after):
            raise BadRequest("The value of changes-since must be less than or equal to changes-before.")
        where.append(_c.updated_at <= moment)
    return where


def _page(
    tx: Tx, request: Request, where: list[ColumnElement[bool]], marker: str | None, size: int
) -> list[Any]:
    if not request.access.allows(f"{_RULE}:all_projects"):
        mine = select(servers.c.id).where(servers.c.project_id == (request.context.project_id or ""))
        where = [*where, _c.server_id.in_(mine)]
    if marker is not None:
        last = tx.first(select(_c.created_at, _c.number).where(_c.id == marker))
        if last is None:
            raise BadRequest(f"Marker {marker} could not be found.")
        same = and_(_c.created_at == last.created_at, _c.number < last.number)
        where = [*where, or_(_c.created_at < last.created_at, same)]
    order = (_c.created_at.desc(), _c.number.desc())
    return list(tx.rows(select(server_migrations).where(*where).order_by(*order).limit(size)))


async def list_migrations(request: Request) -> Reply:
    """List migrations, newest first: all that there were, of all servers or of the project's."""
    enforce(request, {"project_id": request.context.project_id})
    paged = since(request, "2.59")
    size = page_size(request) if paged else largest_page(request)
    marker = request.parameter("marker") if paged else None
    found = await request.read(_page, request, _filters(request), marker, size + 1)
    places = request.access.allows(f"{_RULE}:host")
    reply: dict[str, Any] = {"migrations": [_view(request, row, places) for row in found[:size]]}
    if paged and len(found) > size:
        reply |= next_page(request, "migrations_links", found[size - 1].id)
    return Reply.json(reply)


def _reply(version: Version) -> Type:
    fields: dict[str, Type] = {
        "id": INTEGER,
        "instance_uuid": UUID,
        "status": TEXT,
        "old_instance_type_id": INTEGER,
        "new_instance_type_id": INTEGER,
        "created_at": MOMENT,
        "updated_at": MOMENT,
    }
    by_version: tuple[tuple[str, str, Type], ...] = (
        ("2.23", "migration_type", types.enum("resize", "migration", "evacuation", "live-migration")),
        ("2.59", "uuid", UUID),
        ("2.80", "user_id", TEXT_OR_NULL),
        ("2.80", "project_id", TEXT_OR_NULL),
    )
    fields |= {name: kind for first, name, kind in by_version if at_least(version, first)}
    links = "migrations_links" if at_least(version, "2.59") else ""
    return named_list("migrations", always(fields | dict.fromkeys(NOWHERE, TEXT_OR_NULL)), links=links)


MIGRATIONS = Noun(
    name="migration",
    rules=rules(
        {
            "os-migrations:index": ADMIN_OR_MANAGER,
            "os-migrations:index:all_projects": ADMIN,
            "os-migrations:index:host": ADMIN,
        }
    ),
    extensions=(Extension("os-migrations", "Migrations", "Provide data on migrations."),),
    routes=(
        Route(
            "GET",
            "/v2.1/os-migrations",
            list_migrations,
            rule=_RULE,
            reply=ByVersion(_reply),
            summary="List migrations",
        ),
    ),
)
