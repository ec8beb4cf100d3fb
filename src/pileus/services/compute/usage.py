"""What projects used over a time: hours of servers, virtual CPUs, memory and disk.

Counted from the servers' own rows, deleted ones included (as long as they are kept). Source: Compute API
reference, "Usage reports" (os-simple-tenant-usage).
"""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

from sqlalchemy import or_, select

from pileus.core.times import parse_time
from pileus.services.compute.declared import since
from pileus.services.compute.errors import BadRequest
from pileus.services.compute.policy import ADMIN, ADMIN_OR_READER, rules
from pileus.services.compute.rules import states
from pileus.services.compute.servers.tables import servers
from pileus.store.tx import Tx
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

RULES = rules({"os-simple-tenant-usage:list": ADMIN, "os-simple-tenant-usage:show": ADMIN_OR_READER})

DAYS = 28
"""How far a report reaches back that names no begin."""

_FORMS = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%M:%S")


class Period(NamedTuple):
    """From ``start`` to ``stop``, naive UTC; ``detail``: with each server."""

    start: dt.datetime
    stop: dt.datetime
    detail: bool


def _moment(text: str) -> dt.datetime:
    try:
        return parse_time(text, *_FORMS)
    except ValueError:
        raise BadRequest("Invalid datetime string format") from None


def _period(request: Request) -> Period:
    now = request.context.now
    start, stop = request.parameter("start"), request.parameter("end")
    begin = _moment(start) if start else now - dt.timedelta(days=DAYS)
    end = _moment(stop) if stop else now
    if begin > end:
        raise BadRequest("Invalid start time. The start time cannot occur after the end time.")
    return Period(begin, end, request.parameter("detailed") == "1")


def _rows(tx: Tx, period: Period, project_id: str | None) -> list[Any]:
    c = servers.c
    statement = (
        select(servers)
        .where(
            c.launched_at.is_not(None),
            c.launched_at < period.stop,
            or_(c.terminated_at.is_(None), c.terminated_at > period.start),
        )
        .order_by(c.project_id, c.created_at, c.id)
    )
    if project_id is not None:
        statement = statement.where(c.project_id == project_id)
    return tx.rows(statement)


def _server(row: Any, period: Period, now: dt.datetime) -> dict[str, Any]:
    until = min(row.terminated_at or period.stop, period.stop)
    hours = max(0.0, (until - max(row.launched_at, period.start)).total_seconds() / 3600)
    ended = row.terminated_at
    flavor = row.flavor
    status = states.status_of(row.vm_state, row.task_state)
    return {
        "name": row.name,
        "instance_id": row.id,
        "tenant_id": row.project_id,
        "flavor": flavor["name"],
        "hours": hours,
        "vcpus": row.vcpus,
        "memory_mb": row.memory_mib,
        "local_gb": row.disk_gib,
        "started_at": row.launched_at.isoformat(timespec="microseconds"),
        "ended_at": None if ended is None else ended.isoformat(timespec="microseconds"),
        "state": "terminated" if ended is not None else status.lower(),
        "uptime": int(((ended or now) - row.launched_at).total_seconds()),
    }


def _reports(rows: list[Any], period: Period, now: dt.datetime) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        one = _server(row, period, now)
        report = found.setdefault(
            row.project_id,
            {
                "tenant_id": row.project_id,
                "start": period.start.isoformat(timespec="microseconds"),
                "stop": period.stop.isoformat(timespec="microseconds"),
                "total_hours": 0.0,
                "total_vcpus_usage": 0.0,
                "total_memory_mb_usage": 0.0,
                "total_local_gb_usage": 0.0,
                "server_usages": [],
            },
        )
        report["total_hours"] += one["hours"]
        report["total_vcpus_usage"] += one["hours"] * one["vcpus"]
        report["total_memory_mb_usage"] += one["hours"] * one["memory_mb"]
        report["total_local_gb_usage"] += one["hours"] * one["local_gb"]
        report["server_usages"].append(one)
    return found


async def list_usage(request: Request) -> Reply:
    """All projects that used something."""
    request.authorise("os_compute_api:os-simple-tenant-usage:list")
    period = _period(request)
    rows = await request.read(_rows, period, None)
    reports = list(_reports(rows, period, request.context.now).values())
    if not period.detail:
        for report in reports:
            del report["server_usages"]
    return Reply.json({"tenant_usages": reports})


async def show_usage(request: Request) -> Reply:
    """One project; empty where it used nothing."""
    project_id = request.path["project_id"]
    request.authorise("os_compute_api:os-simple-tenant-usage:show", {"project_id": project_id})
    period = _period(request)
    rows = await request.read(_rows, period, project_id)
    rows, links = _page(request, rows)
    report = _reports(rows, period, request.context.now).get(project_id, {})
    return Reply.json({"tenant_usage": report, **links})


def _page(request: Request, rows: list[Any]) -> tuple[list[Any], dict[str, Any]]:
    """Pages of a project's servers, since 2.40."""
    if not since(request, "2.40"):
        return rows, {}
    most = request.dialect.max_limit or 1000
    limit, marker = request.parameter("limit"), request.parameter("marker")
    size = min(request.dialect.limit(limit), most) if limit else most  # type: ignore[attr-defined]
    if marker:
        keys = [row.id for row in rows]
        if marker not in keys:
            raise BadRequest(f"marker [{marker}] not found")
        rows = rows[keys.index(marker) + 1 :]
    if len(rows) <= size or not size:
        return rows[:size], {}
    href = request.dialect.next_link(request, rows[size - 1].id)  # type: ignore[attr-defined]
    return rows[:size], {"tenant_usage_links": [{"rel": "next", "href": href}]}


ROUTES = (
    Route(
        "GET",
        "/v2.1/os-simple-tenant-usage",
        list_usage,
        rule="os_compute_api:os-simple-tenant-usage:list",
        summary="Report what all projects used",
    ),
    Route(
        "GET",
        "/v2.1/os-simple-tenant-usage/{project_id}",
        show_usage,
        rule="os_compute_api:os-simple-tenant-usage:show",
        summary="Report what a project used",
    ),
)
