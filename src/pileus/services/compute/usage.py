"""Usage of projects over a time: hours of servers, virtual CPUs, memory and disk.

Counted from the servers' own rows, deleted ones included (as long as they are kept). Source: Compute API
reference, "Usage reports" (os-simple-tenant-usage).
"""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

from sqlalchemy import and_, or_, select

from pileus.core.errors import NotFound
from pileus.core.times import parse_time
from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.compute.api import at_least, enforce, since
from pileus.services.compute.errors import BadRequest
from pileus.services.compute.paging import next_page, page_size
from pileus.services.compute.policy import ADMIN, ADMIN_OR_READER, rules
from pileus.services.compute.replies import (
    COUNT,
    INTEGER,
    LINKS,
    MOMENT,
    MOMENT_OR_NULL,
    NUMBER,
    TEXT,
    always,
    named_list,
)
from pileus.services.compute.rules import states
from pileus.services.compute.tables.servers import servers
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import ByVersion, Route

DAYS = 28
"""The length of a report that names no begin."""

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


class Page(NamedTuple):
    """A page of servers: ``size`` of them (None: all) after the one called ``marker``."""

    size: int | None = None
    marker: str | None = None


_c = servers.c
_COLUMNS = (
    _c.id,
    _c.name,
    _c.project_id,
    _c.flavor,
    _c.vcpus,
    _c.memory_mib,
    _c.disk_gib,
    _c.vm_state,
    _c.task_state,
    _c.launched_at,
    _c.terminated_at,
)


def _rows(tx: Tx, period: Period, project_id: str | None, page: Page) -> list[Any]:
    statement = (
        select(*_COLUMNS)
        .where(
            _c.launched_at.is_not(None),
            _c.launched_at < period.stop,
            or_(_c.terminated_at.is_(None), _c.terminated_at > period.start),
        )
        .order_by(_c.project_id, _c.id)
    )
    whose = [] if project_id is None else [_c.project_id == project_id]
    statement = statement.where(*whose)
    if page.marker:
        last = tx.first(select(_c.project_id, _c.id).where(_c.id == page.marker, *whose))
        if last is None:
            raise BadRequest(f"Marker {page.marker} could not be found.")
        beyond = and_(_c.project_id == last.project_id, _c.id > last.id)
        statement = statement.where(or_(_c.project_id > last.project_id, beyond))
    if page.size is not None:
        statement = statement.limit(page.size)
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


def _page(request: Request) -> Page:
    """Pages of servers, since 2.40: whether or not they are told."""
    if not since(request, "2.40"):
        return Page()
    return Page(page_size(request), request.parameter("marker"))


def _links(request: Request, name: str, page: Page, rows: list[Any]) -> dict[str, Any]:
    """The link to the next page after one that is full."""
    if not page.size or len(rows) < page.size:
        return {}
    return next_page(request, name, rows[-1].id)


async def list_usage(request: Request) -> Reply:
    """Report on projects that used something; since 2.40 in pages of servers: one may be in several."""
    if request.scope["path"].endswith("/"):
        raise NotFound  # the report of a project without a name
    enforce(request)
    period, page = _period(request), _page(request)
    rows = await request.read(_rows, period, None, page)
    reports = list(_reports(rows, period, request.context.now).values())
    if not period.detail:
        for report in reports:
            del report["server_usages"]
    return Reply.json({"tenant_usages": reports, **_links(request, "tenant_usages_links", page, rows)})


async def show_usage(request: Request) -> Reply:
    """Report on one project; empty where it used nothing."""
    project_id = request.path["project_id"]
    enforce(request, {"project_id": project_id})
    period, page = _period(request), _page(request)
    rows = await request.read(_rows, period, project_id, page)
    report = _reports(rows, period, request.context.now).get(project_id, {})
    return Reply.json({"tenant_usage": report, **_links(request, "tenant_usage_links", page, rows)})


_SERVER = always(
    {
        **dict.fromkeys(("name", "instance_id", "tenant_id", "flavor", "state"), TEXT),
        **dict.fromkeys(("vcpus", "memory_mb", "local_gb"), COUNT),
        "hours": NUMBER,
        "started_at": MOMENT,
        "ended_at": MOMENT_OR_NULL,
        "uptime": INTEGER,
    }
)
_TOTALS = {
    "tenant_id": TEXT,
    "start": MOMENT,
    "stop": MOMENT,
    **dict.fromkeys(
        ("total_hours", "total_vcpus_usage", "total_memory_mb_usage", "total_local_gb_usage"), NUMBER
    ),
}
_WITH_SERVERS = {"server_usages": types.list_of(_SERVER)}


def _list_reply(version: Version) -> Type:
    links = "tenant_usages_links" if at_least(version, "2.40") else ""
    return named_list("tenant_usages", always(_TOTALS, _WITH_SERVERS), links=links)


def _show_reply(version: Version) -> Type:
    usage = types.one_of(always({**_TOTALS, **_WITH_SERVERS}), always({}))
    return always({"tenant_usage": usage}, {"tenant_usage_links": LINKS} if at_least(version, "2.40") else {})


USAGE = Noun(
    name="simple_tenant_usage",
    rules=rules({"os-simple-tenant-usage:list": ADMIN, "os-simple-tenant-usage:show": ADMIN_OR_READER}),
    extensions=(Extension("os-simple-tenant-usage", "SimpleTenantUsage", "Simple tenant usage extension."),),
    routes=(
        Route(
            "GET",
            "/v2.1/os-simple-tenant-usage",
            list_usage,
            rule="os_compute_api:os-simple-tenant-usage:list",
            reply=ByVersion(_list_reply),
            summary="Report what all projects used",
        ),
        Route(
            "GET",
            "/v2.1/os-simple-tenant-usage/{project_id}",
            show_usage,
            rule="os_compute_api:os-simple-tenant-usage:show",
            reply=ByVersion(_show_reply),
            summary="Report what a project used",
        ),
    ),
)
