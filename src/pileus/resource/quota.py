"""Quotas: how many of a kind a project may have, checked inside the unit of work that makes them.

    PORT_QUOTA = Quota("network", "port", default=500, count=count_rows(ports.c.project_id))

    def port_create(tx, context, specs):
        quota_spend(tx, Counter(spec["project_id"] for spec in specs), PORT_QUOTA)
        ...

Where the cloud's quotas are identity's (``tx.unified_limits``), a limit is that of the project, else the
default of the registered limit of the service and resource (one of the region before one of none), else the
service's own default; limits that a service keeps itself count for nothing then, and can't be set.

A count and the insert that follows are one step for everybody else by locks of a project and resource, of
which there are several: who wants one more, and leaves room for one of each of the others, holds one of them,
so that a project that is far from its limit creates as many at once. Near the limit, and for more than one at
once, all of them are held. A bulk request counts once with its whole delta.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Integer,
    String,
    Table,
    and_,
    bindparam,
    column,
    delete,
    func,
    or_,
    select,
    table,
)

from pileus.core.errors import OverQuota
from pileus.store.schema import Id, metadata
from pileus.store.tx import Tx
from pileus.store.upsert import upsert

UNLIMITED = -1
SHARDS = 16
"""Locks of one project's resource, elsewhere than on SQLite, which has one writer."""
NEAR = 4096

quota_limits = Table(
    "quota_limits",
    metadata,
    Column("project_id", Id, primary_key=True),
    Column("service", String(64), primary_key=True),
    Column("resource", String(64), primary_key=True),
    Column("hard_limit", Integer, nullable=False),
)

# Identity's tables, as far as they are read here (``services/identity/tables/limits.py``).
_services = table("services", column("id", String), column("type", String))
_registered = table(
    "registered_limits",
    column("id", String),
    column("service_id", String),
    column("region_id", String),
    column("resource_name", String),
    column("default_limit", Integer),
)
_limits = table(
    "limits",
    column("registered_limit_id", String),
    column("project_id", String),
    column("resource_limit", Integer),
)
_LIMITS = select(quota_limits.c.project_id, quota_limits.c.resource, quota_limits.c.hard_limit).where(
    quota_limits.c.project_id.in_(bindparam("projects", expanding=True)),
    quota_limits.c.service.in_(bindparam("services", expanding=True)),
)
_UNIFIED = (
    select(
        _registered.c.resource_name,
        _registered.c.region_id,
        _registered.c.default_limit,
        _limits.c.project_id,
        _limits.c.resource_limit,
    )
    .select_from(
        _registered.join(_services, _services.c.id == _registered.c.service_id).outerjoin(
            _limits,
            and_(
                _limits.c.registered_limit_id == _registered.c.id,
                _limits.c.project_id.in_(bindparam("projects", expanding=True)),
            ),
        )
    )
    .where(
        _services.c.type.in_(bindparam("services", expanding=True)),
        or_(_registered.c.region_id.is_(None), _registered.c.region_id == bindparam("region")),
    )
)

Count = Callable[[Tx, list[str]], Mapping[str, int]]
"""``(tx, project ids) -> {project id: how many it has}``."""


@dataclass(frozen=True, slots=True)
class Quota:
    """One limited kind: the service and the name that the quota API knows it by, and how it is counted."""

    service: str
    resource: str
    default: int
    count: Count


_near: dict[tuple[str, str], None] = {}
"""Projects and resources that this process has last seen near their limits: a hint, which may be wrong."""
_ordinals, _thread = itertools.count(), threading.local()
_Bounded = Sequence[tuple[str, Quota]]
"""Projects, and what of theirs has a limit."""


def count_rows(project_column: ColumnElement[Any], *where: ColumnElement[bool]) -> Count:
    """Count the rows of a table by its project column, narrowed by ``where``."""

    statement = (
        select(project_column, func.count())
        .where(project_column.in_(bindparam("projects", expanding=True)), *where)
        .group_by(project_column)
    )

    def count(tx: Tx, project_ids: list[str]) -> dict[str, int]:
        rows: Any = tx.rows(statement, {"projects": project_ids})
        return dict(map(tuple, rows))

    return count


def quota_spend(tx: Tx, wanted: Mapping[str | None, int], *quotas: Quota) -> None:
    """Make sure that each project may have ``wanted`` more of every one of the quotas; raises OverQuota.

    Holds quota locks of the projects until the transaction ends. Nobody's resources (no project) are free.
    A transaction spends of a quota once, for all that it makes: its second time it would not see what others
    have seen room for.
    """
    deltas = {project_id: delta for project_id, delta in wanted.items() if project_id and delta > 0}
    if not deltas:
        return
    limits = quota_read(tx, list(deltas), quotas)
    bounded = [
        (project_id, quota)
        for quota in quotas
        for project_id in deltas
        if limits[project_id][quota.resource] != UNLIMITED
    ]
    if not bounded:
        return
    room = {(one, quota.resource): limits[one][quota.resource] - deltas[one] for one, quota in bounded}
    near = any(key in _near for key in room)
    if tx.dialect != "sqlite" and not near and set(deltas.values()) == {1}:
        tx.lock(*_locks(bounded, (_shard(),)))
        used = _used(tx, bounded)
        if all(used[key] + SHARDS - 1 <= most for key, most in room.items()):
            return
        # From now on all are held at once: who holds one and wants more may meet another such in a deadlock.
        if len(_near) > NEAR:
            _near.clear()
        _near.update(dict.fromkeys(room))
    tx.lock(*_locks(bounded, range(SHARDS)))
    used = _used(tx, bounded)
    for key, most in room.items():
        if used[key] + 2 * SHARDS <= most:
            _near.pop(key, None)
    if overs := {resource for (one, resource), most in room.items() if used[one, resource] > most}:
        raise OverQuota(overs=sorted(overs))


def _shard() -> int:
    """The one that this thread holds: two of a process never hold the same while it has no more of them."""
    if not hasattr(_thread, "ordinal"):
        _thread.ordinal = next(_ordinals)
    return int(os.getpid() + _thread.ordinal) % SHARDS


def _locks(bounded: _Bounded, shards: Iterable[int]) -> list[str]:
    several = list(shards)
    return sorted(
        f"quota:{project_id}:{quota.resource}:{shard}" for project_id, quota in bounded for shard in several
    )


def _used(tx: Tx, bounded: _Bounded) -> dict[tuple[str, str], int]:
    """How many each project has, by project and resource; a statement a resource."""
    projects: dict[Quota, list[str]] = {}
    for project_id, quota in bounded:
        projects.setdefault(quota, []).append(project_id)
    found: dict[tuple[str, str], int] = {}
    for quota, several in projects.items():
        counted = quota.count(tx, several)
        found |= {(one, quota.resource): counted.get(one, 0) for one in several}
    return found


def quota_read(tx: Tx, project_ids: list[str], quotas: Iterable[Quota]) -> dict[str, dict[str, int]]:
    """The limits of projects by resource, defaults filled in."""
    several = list(quotas)
    if tx.unified_limits is not None:
        unified = unified_read(tx, project_ids, {quota.service for quota in several})
        return {
            project_id: {
                quota.resource: unified[project_id].get(quota.resource, quota.default) for quota in several
            }
            for project_id in project_ids
        }
    limits = {project_id: {quota.resource: quota.default for quota in several} for project_id in project_ids}
    services = sorted({quota.service for quota in several})
    rows: Any = tx.rows(_LIMITS, {"projects": project_ids, "services": services})
    for project_id, resource, limit in rows:
        if resource in limits[project_id]:
            limits[project_id][resource] = limit
    return limits


def unified_read(tx: Tx, project_ids: list[str], services: Iterable[str]) -> dict[str, dict[str, int]]:
    """The limits that identity has for projects, by the names of resources, of services by their types. One
    statement."""
    parameters = {"projects": project_ids, "services": sorted(services), "region": tx.unified_limits}
    rows = sorted(tx.rows(_UNIFIED, parameters), key=lambda row: row.region_id is not None)
    found: dict[str, dict[str, int]] = {project_id: {} for project_id in project_ids}
    for row in rows:  # defaults first: those of a region over those of none
        for limits in found.values():
            limits[row.resource_name] = row.default_limit
    regional = {row.resource_name for row in rows if row.region_id is not None}
    for row in rows:
        if row.project_id is not None and (row.region_id is not None or row.resource_name not in regional):
            found[row.project_id][row.resource_name] = row.resource_limit
    return found


def quota_usage(tx: Tx, project_id: str, quotas: Iterable[Quota]) -> dict[str, int]:
    """How many of each kind a project has."""
    return {quota.resource: quota.count(tx, [project_id]).get(project_id, 0) for quota in quotas}


def quota_set(tx: Tx, project_id: str, service: str, limits: Mapping[str, int]) -> None:
    """Set limits of a project (-1: none); nothing happens where quotas are identity's, as in Nova."""
    if limits and tx.unified_limits is None:
        tx.execute(
            upsert(tx.dialect, quota_limits, ("hard_limit",)),
            [
                {"project_id": project_id, "service": service, "resource": resource, "hard_limit": limit}
                for resource, limit in limits.items()
            ],
        )


def quota_reset(tx: Tx, project_id: str, service: str) -> int:
    """Back to the defaults; how many limits there were."""
    columns = quota_limits.c
    gone = tx.execute(
        delete(quota_limits).where(columns.project_id == project_id, columns.service == service)
    )
    return gone.rowcount
