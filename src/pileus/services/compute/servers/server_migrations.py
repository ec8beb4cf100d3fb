"""``servers/{id}/migrations``: live migrations of a server that are under way, and what can be done with one.

Source: Compute API reference, "Server migrations"; the messages are Nova's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from pileus.core.errors import NotFound
from pileus.resource.declaration import Values
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.compute.actions import action_route
from pileus.services.compute.api import NOTHING, at_least, since
from pileus.services.compute.errors import BadRequest, InvalidState
from pileus.services.compute.policy import ADMIN, ADMIN_OR_MANAGER, rules
from pileus.services.compute.replies import (
    INTEGER,
    MOMENT,
    TEXT,
    TEXT_OR_NULL,
    UUID,
    always,
    named,
    named_list,
)
from pileus.services.compute.rules import states
from pileus.services.compute.servers.chains.common import Parts
from pileus.services.compute.servers.chains.live_migration import (
    ABORT,
    FORCE,
    LIVE,
    PREPARING,
    PROGRESS,
    QUEUED,
    RUNNING,
    UNDER_WAY,
    live_order,
)
from pileus.services.compute.servers.chains.migrations import LIVE_MIGRATION
from pileus.services.compute.servers.instance_actions import action_begin
from pileus.services.compute.servers.lookup import find_server
from pileus.services.compute.servers.migrations import NOWHERE, places_of
from pileus.services.compute.servers.view import micro
from pileus.services.compute.tables.servers import server_migrations
from pileus.store.operations import Operation, operation_list_of
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Action, ByVersion, Route

_c = server_migrations.c
_HOSTS = "os_compute_api:servers:migrations:index:host"
_IN_PROGRESS = tuple(status for status in UNDER_WAY if status != "accepted")


class NotInProgress(NotFound):
    message = "In-progress live migration {id} is not found for server {server_id}."


class HasEnded(NotFound):
    message = "Live migration {id} for server {server_id} is not in progress."


class NotOfServer(NotFound):
    message = "Migration {id} not found for instance {server_id}"


class NotLive(NotFound):
    message = "Migration {id} for server {server_id} is not live-migration."


def _view(request: Request, row: Any) -> dict[str, Any]:
    progress = row.progress or {}
    view: dict[str, Any] = {
        "id": row.number,
        "server_uuid": row.server_id,
        "status": row.status,
        **(places_of(row) if request.access.allows(_HOSTS) else NOWHERE),
        "created_at": micro(row.created_at),
        "updated_at": micro(row.updated_at),
        **{f"{name}_bytes": int(progress.get(name, 0)) for name in PROGRESS},
    }
    if since(request, "2.59"):
        view["uuid"] = row.id
    if since(request, "2.80"):
        view |= {"user_id": row.user_id, "project_id": row.project_id}
    return view


def _list(tx: Tx, request: Request) -> Sequence[Any]:
    server = find_server(tx, request)
    where = [_c.server_id == server["id"], _c.kind == LIVE_MIGRATION, _c.status.in_(_IN_PROGRESS)]
    return list(tx.rows(select(server_migrations).where(*where).order_by(_c.number)))


def _named(tx: Tx, request: Request, server: Values) -> Any:
    """The row of the server that the path names; None where there is none."""
    key = request.path["migration_id"]
    if not (key.isdigit() and len(key) < 19):
        return None
    where = [_c.server_id == server["id"], _c.number == int(key)]
    return tx.first(select(server_migrations).where(*where))


def _show(tx: Tx, request: Request) -> Any:
    server = find_server(tx, request)
    row = _named(tx, request, server)
    names = {"id": request.path["migration_id"], "server_id": server["id"]}
    if row is None:
        raise NotInProgress(**names)
    if row.kind != LIVE_MIGRATION:
        raise NotLive(**names)
    if row.status not in _IN_PROGRESS:
        raise HasEnded(**names)
    return row


def _order(tx: Tx, request: Request, order: str, method: str, action: str, parts: Parts) -> None:
    server = find_server(tx, request, lock=True)
    if server["task_state"] != states.MIGRATING:
        task = str(server["task_state"])
        raise InvalidState(action=method, id=server["id"], attribute="task_state", state=task)
    row = _named(tx, request, server)
    if row is None:
        missing = NotOfServer(id=request.path["migration_id"], server_id=server["id"])
        raise missing if order == ABORT else BadRequest(missing.text)
    allowed = [RUNNING]
    if order == ABORT and since(request, "2.65"):
        allowed += [QUEUED, PREPARING]
    operation = _operation(tx, server, row)
    if row.status not in allowed or operation is None:
        raise BadRequest(
            f"Migration {row.number} state of instance {server['id']} is {row.status}. "
            f"Cannot {method} while the migration is in this state."
        )
    action_begin(tx, request.context, [server["id"]], action, done=True)
    live_order(tx, request.context, server, operation, order, parts)


def _operation(tx: Tx, server: Values, row: Any) -> Operation | None:
    for operation in operation_list_of(tx, server["id"]):
        if operation.kind == LIVE.kind and operation.data.get("migration") == row.id:
            return operation
    return None


async def list_of_server(request: Request) -> Reply:
    """List the live migrations of a server that are under way."""
    found = await request.read(_list, request)
    return Reply.json({"migrations": [_view(request, row) for row in found]})


async def show_of_server(request: Request) -> Reply:
    """Show a live migration that is under way, with how far it is."""
    return Reply.json({"migration": _view(request, await request.read(_show, request))})


def _fields(version: Version) -> Type:
    fields: dict[str, Type] = {
        "id": INTEGER,
        "server_uuid": UUID,
        "status": TEXT,
        "created_at": MOMENT,
        "updated_at": MOMENT,
        **dict.fromkeys(NOWHERE, TEXT_OR_NULL),
        **{f"{name}_bytes": INTEGER for name in PROGRESS},
    }
    if at_least(version, "2.59"):
        fields["uuid"] = UUID
    if at_least(version, "2.80"):
        fields |= {"user_id": TEXT_OR_NULL, "project_id": TEXT_OR_NULL}
    return always(fields)


_ALL = "/v2.1/servers/{id}/migrations"
_ONE = f"{_ALL}/{{migration_id}}"


class Orders:
    """The handlers of what can be done with a live migration."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def abort(self, request: Request) -> Reply:
        """Abort a live migration: the server stays where it is."""
        action = "live_migration_cancel"
        await request.write(_order, request, ABORT, "abort live migration", action, self._parts)
        return Reply.empty(202)

    async def force_complete(self, request: Request, argument: Any) -> Reply:
        """Have a live migration come to its end, at the price of a longer stop."""
        action = "live_migration_force_complete"
        await request.write(_order, request, FORCE, "force_complete", action, self._parts)
        return Reply.empty(202)


_RULES = rules(
    {
        "servers:migrations:index": ADMIN_OR_MANAGER,
        "servers:migrations:index:host": ADMIN,
        "servers:migrations:show": ADMIN_OR_MANAGER,
        "servers:migrations:force_complete": ADMIN_OR_MANAGER,
        "servers:migrations:delete": ADMIN_OR_MANAGER,
    }
)


def server_migrations_noun(parts: Parts) -> Noun:
    """The noun."""
    orders = Orders(parts)
    return Noun(
        name="server_migration",
        rules=_RULES,
        routes=(
            Route(
                "GET",
                _ALL,
                list_of_server,
                rule="os_compute_api:servers:migrations:index",
                versions=("2.23", ""),
                reply=ByVersion(lambda version: named_list("migrations", _fields(version))),
                summary="List live migrations of a server",
            ),
            Route(
                "GET",
                _ONE,
                show_of_server,
                rule="os_compute_api:servers:migrations:show",
                versions=("2.23", ""),
                reply=ByVersion(lambda version: named("migration", _fields(version))),
                summary="Show a live migration of a server",
            ),
            Route(
                "DELETE",
                _ONE,
                orders.abort,
                rule="os_compute_api:servers:migrations:delete",
                versions=("2.24", ""),
                status=202,
                reply=NO_BODY,
                summary="Abort a live migration",
            ),
            action_route(
                f"{_ONE}/action",
                {"force_complete": _force_complete(orders)},
                summary="Do something with a live migration",
            ),
        ),
    )


def _force_complete(orders: Orders) -> Action:
    return Action(
        NOTHING,
        orders.force_complete,
        rule="os_compute_api:servers:migrations:force_complete",
        versions=("2.22", ""),
        summary="Force a live migration to its end",
    )
