"""Instance actions and their events: the log of requests about servers.

Source: Compute API reference, "Servers actions" (os-instance-actions). An action is written by the request
that asks; its event is finished by whoever finishes the work.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, select, update

from pileus.core.context import Context
from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.compute.api import at_least, since, time_asked
from pileus.services.compute.errors import BadRequest
from pileus.services.compute.paging import largest_page, next_page, page_size
from pileus.services.compute.policy import ADMIN, ADMIN_OR_READER, rules
from pileus.services.compute.replies import (
    MOMENT,
    MOMENT_OR_NULL,
    NULL,
    TEXT,
    TEXT_OR_NULL,
    always,
    named,
    named_list,
)
from pileus.services.compute.servers.lookup import find_server, target_of
from pileus.services.compute.servers.view import host_id, micro
from pileus.services.compute.tables.servers import server_action_events, server_actions
from pileus.store.column_in import column_in
from pileus.store.errors import Duplicate
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import ByVersion, Route

EVENTS = {
    "create": "compute__do_build_and_run_instance",
    "delete": "compute_terminate_instance",
    "start": "compute_start_instance",
    "stop": "compute_stop_instance",
    "reboot": "compute_reboot_instance",
    "rebuild": "compute_rebuild_instance",
    "pause": "compute_pause_instance",
    "unpause": "compute_unpause_instance",
    "suspend": "compute_suspend_instance",
    "resume": "compute_resume_instance",
    "lock": "api_lock",
    "unlock": "api_unlock",
    "attach_interface": "compute_attach_interface",
    "attach_volume": "compute_attach_volume",
    "detach_volume": "compute_detach_volume",
    "extend_volume": "compute_extend_volume",
    "detach_interface": "compute_detach_interface",
    "createImage": "compute_snapshot_instance",
    "createBackup": "compute_backup_instance",
    "rescue": "compute_rescue_instance",
    "unrescue": "compute_unrescue_instance",
    "shelve": "compute_shelve_instance",
    "shelveOffload": "compute_shelve_offload_instance",
    "unshelve": "conductor_unshelve_instance",
    "resize": "conductor_migrate_server",
    "migrate": "conductor_migrate_server",
    "confirmResize": "compute_confirm_resize",
    "revertResize": "compute_revert_resize",
    "live-migration": "conductor_live_migrate_instance",
    "live_migration_cancel": "compute_live_migration_abort",
    "live_migration_force_complete": "compute_live_migration_force_complete",
    "evacuate": "conductor_rebuild_server",
    "restore": "compute_restore_instance",
    "trigger_crash_dump": "compute_trigger_crash_dump",
    "quarantine": "api_quarantine",
    "unquarantine": "api_unquarantine",
}


class ActionNotFound(NotFound):
    message = "Action for request_id {request_id} on instance {server_id} not found"


def action_begin(
    tx: Tx, context: Context, server_ids: Sequence[str], action: str, *, done: bool = False
) -> None:
    """Write that an action was asked of servers; ``done``: and that it is finished already."""
    stamps = {"started_at": context.now}
    try:
        with tx.savepoint():
            tx.insert(
                server_actions,
                [
                    {
                        "server_id": key,
                        "request_id": context.request_id,
                        "action": action,
                        "user_id": context.user_id,
                        "project_id": context.project_id,
                        "message": None,
                        "updated_at": context.now,
                        **stamps,
                    }
                    for key in server_ids
                ],
            )
            tx.insert(
                server_action_events,
                [
                    {
                        "server_id": key,
                        "request_id": context.request_id,
                        "event": EVENTS[action],
                        "host": None,
                        "result": "Success" if done else None,
                        "details": None,
                        "finished_at": context.now if done else None,
                        **stamps,
                    }
                    for key in server_ids
                ],
            )
    except Duplicate:
        return  # one request does one thing; what it does again (a unit that is run again) is the same


def action_finish(
    tx: Tx,
    now: dt.datetime,
    server_ids: Sequence[str],
    *,
    actions: Sequence[str] = (),
    host: str | None = None,
    error: str | None = None,
) -> None:
    """Finish what is unfinished of servers, or of it only some ``actions``; two statements."""
    if not server_ids:
        return
    events = server_action_events.c
    where = [column_in(tx, events.server_id, list(server_ids)), events.finished_at.is_(None)]
    if actions:
        where.append(events.event.in_([EVENTS[action] for action in actions]))
    if error is not None:
        open_ones = select(events.request_id).where(*where)
        tx.execute(
            update(server_actions)
            .where(
                column_in(tx, server_actions.c.server_id, list(server_ids)),
                server_actions.c.request_id.in_(open_ones),
            )
            .values(message="Error", updated_at=now)
        )
    values: dict[str, Any] = {
        "finished_at": now,
        "result": "Success" if error is None else "Error",
        "details": error,
    }
    if host is not None:
        values["host"] = host
    tx.execute(update(server_action_events).where(and_(*where)).values(values))


def _actions(tx: Tx, request: Request, filters: list[Any], size: int) -> tuple[list[Any], bool]:
    server = find_server(tx, request, deleted=True)
    marker = request.parameter("marker") if since(request, "2.58") else None
    columns = server_actions.c
    statement = (
        select(server_actions)
        .where(columns.server_id == server["id"], *filters)
        .order_by(columns.started_at.desc(), columns.request_id)
    )
    rows = tx.rows(statement)
    if marker:
        keys = [row.request_id for row in rows]
        if marker not in keys:
            raise BadRequest(f"marker [{marker}] not found")
        rows = rows[keys.index(marker) + 1 :]
    return rows[:size], len(rows) > size


def _view(request: Request, row: Any) -> dict[str, Any]:
    view = {
        "action": row.action,
        "instance_uuid": row.server_id,
        "request_id": row.request_id,
        "user_id": row.user_id or "",
        "project_id": row.project_id or "",
        "start_time": micro(row.started_at),
        "message": row.message,
    }
    if since(request, "2.58"):
        view["updated_at"] = micro(row.updated_at)
    return view


def _moment(request: Request, name: str) -> dt.datetime | None:
    text = request.parameter(name)
    if text is None:
        return None
    return time_asked(name, text)


async def list_actions(request: Request) -> Reply:
    """List what was asked of a server, newest first; also of one that is deleted (since 2.21)."""
    filters, size = [], largest_page(request)
    if since(request, "2.58"):
        after = _moment(request, "changes-since")
        if after is not None:
            filters.append(server_actions.c.updated_at >= after)
        size = page_size(request)
    if since(request, "2.66"):
        before = _moment(request, "changes-before")
        if before is not None:
            filters.append(server_actions.c.updated_at <= before)
    rows, more = await request.read(_actions, request, filters, size)
    reply: dict[str, Any] = {"instanceActions": [_view(request, row) for row in rows]}
    if more and rows and since(request, "2.58"):
        reply |= next_page(request, "links", rows[-1].request_id)
    return Reply.json(reply)


def _one(tx: Tx, request: Request) -> tuple[Any, list[Any], Any]:
    server = find_server(tx, request, deleted=True)
    request_id = request.path["request_id"]
    columns = server_actions.c
    row = tx.first(
        select(server_actions).where(columns.server_id == server["id"], columns.request_id == request_id)
    )
    if row is None:
        raise ActionNotFound(request_id=request_id, server_id=server["id"])
    events = tx.rows(
        select(server_action_events)
        .where(
            server_action_events.c.server_id == server["id"],
            server_action_events.c.request_id == request_id,
        )
        .order_by(server_action_events.c.started_at)
    )
    return row, events, server


async def show_action(request: Request) -> Reply:
    """Show one of them with its events."""
    row, events, server = await request.read(_one, request)
    view = _view(request, row)
    target = target_of(server)
    full = request.access.allows("os_compute_api:os-instance-actions:events", target)
    details = since(request, "2.84") and request.access.allows(
        "os_compute_api:os-instance-actions:events:details", target
    )
    if full or since(request, "2.51"):
        shown = []
        for one in events:
            entry: dict[str, Any] = {
                "event": one.event,
                "start_time": micro(one.started_at),
                "finish_time": micro(one.finished_at),
                "result": one.result,
            }
            if full:
                entry["traceback"] = None
            if since(request, "2.62"):
                entry["hostId"] = host_id(server["project_id"], one.host)
                if full:
                    entry["host"] = one.host
            if details:
                entry["details"] = one.details
            shown.append(entry)
        view["events"] = shown
    return Reply.json({"instanceAction": view})


def _shown(version: Version) -> dict[str, Type]:
    fields = {
        **dict.fromkeys(("action", "instance_uuid", "request_id", "user_id", "project_id"), TEXT),
        "start_time": MOMENT,
        "message": TEXT_OR_NULL,
    }
    return {**fields, "updated_at": MOMENT} if at_least(version, "2.58") else fields


def _list_reply(version: Version) -> Type:
    links = "links" if at_least(version, "2.58") else ""
    return named_list("instanceActions", always(_shown(version)), links=links)


def _show_reply(version: Version) -> Type:
    """Before 2.51 only administrators see the events, and their host, tracebacks and details ever since."""
    event = {"event": TEXT, "start_time": MOMENT, "finish_time": MOMENT_OR_NULL, "result": TEXT_OR_NULL}
    admins = {"traceback": NULL}
    if at_least(version, "2.62"):
        event["hostId"] = TEXT
        admins["host"] = TEXT_OR_NULL
    if at_least(version, "2.84"):
        admins["details"] = TEXT_OR_NULL
    events = {"events": types.list_of(always(event, admins))}
    fields = _shown(version)
    if at_least(version, "2.51"):
        return named("instanceAction", always({**fields, **events}))
    return named("instanceAction", always(fields, events))


_ALL = "/v2.1/servers/{id}/os-instance-actions"
INSTANCE_ACTIONS = Noun(
    name="instance_action",
    rules=rules(
        {
            "os-instance-actions:list": ADMIN_OR_READER,
            "os-instance-actions:show": ADMIN_OR_READER,
            "os-instance-actions:events": ADMIN,
            "os-instance-actions:events:details": ADMIN,
        }
    ),
    extensions=(
        Extension(
            "os-instance-actions",
            "InstanceActions",
            "View a log of actions and events taken on an instance.",
        ),
    ),
    routes=(
        Route(
            "GET",
            _ALL,
            list_actions,
            rule="os_compute_api:os-instance-actions:list",
            reply=ByVersion(_list_reply),
            summary="List what was asked of a server",
        ),
        Route(
            "GET",
            f"{_ALL}/{{request_id}}",
            show_action,
            rule="os_compute_api:os-instance-actions:show",
            reply=ByVersion(_show_reply),
            summary="Show what was asked of a server",
        ),
    ),
)
