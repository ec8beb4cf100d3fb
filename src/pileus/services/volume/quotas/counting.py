"""Limits of projects, and how much of them is used.

Usage is counted from the rows themselves inside the unit that adds one, with the project's lock held: it
can't drift and it can't be overrun. Besides the seven kinds of old each volume type has three of its own
(``volumes_TYPE``, ``gigabytes_TYPE``, ``snapshots_TYPE``), without a limit unless one is set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, func, literal, or_, select, union_all

from pileus.resource.quota import UNLIMITED, quota_limits, unified_read
from pileus.services.volume.errors import BadRequest, QuotaError
from pileus.services.volume.tables.backups import volume_backups
from pileus.services.volume.tables.groups import volume_groups
from pileus.services.volume.tables.types import volume_type_projects, volume_types
from pileus.services.volume.tables.volumes import volume_snapshots, volumes
from pileus.store.schema import Id
from pileus.store.tx import Tx

SERVICE = "volume"
DEFAULT_CLASS = "default"
CLASS_SERVICE = "volume-class"
UNIFIED_SERVICES = ("block-storage", "volumev3")

DEFAULTS: Mapping[str, int] = {
    "volumes": 10,
    "per_volume_gigabytes": UNLIMITED,
    "snapshots": 10,
    "gigabytes": 1000,
    "backups": 10,
    "backup_gigabytes": 1000,
    "groups": 10,
}
OF_A_TYPE = ("volumes", "gigabytes", "snapshots")

_v, _s, _b = volumes.c, volume_snapshots.c, volume_backups.c
_SIZE = func.coalesce(_v.wanted_size_gib, _v.size_gib)
_USED = union_all(
    select(
        literal("volumes").label("kind"),
        _v.volume_type_id.label("type_id"),
        func.count().label("many"),
        func.coalesce(func.sum(_SIZE), 0).label("gib"),
    )
    .where(_v.project_id == bindparam("project"), _v.consumes_quota)
    .group_by(_v.volume_type_id),
    select(
        literal("snapshots"),
        _v.volume_type_id,
        func.count(),
        func.coalesce(func.sum(_s.size_gib), 0),
    )
    .select_from(volume_snapshots.join(volumes, _v.id == _s.volume_id))
    .where(_s.project_id == bindparam("project"), _s.consumes_quota)
    .group_by(_v.volume_type_id),
    select(
        literal("backups"), literal(None, Id), func.count(), func.coalesce(func.sum(_b.size_gib), 0)
    ).where(_b.project_id == bindparam("project")),
    select(literal("groups"), literal(None, Id), func.count(), literal(0)).where(
        volume_groups.c.project_id == bindparam("project")
    ),
)
_NAMES = select(volume_types.c.id, volume_types.c.name)
_GIVEN = select(volume_type_projects.c.volume_type_id).where(
    volume_type_projects.c.project_id == bindparam("project")
)
_NAMES_SEEN = _NAMES.where(or_(volume_types.c.is_public, volume_types.c.id.in_(_GIVEN)))
_LIMITS = select(quota_limits.c.service, quota_limits.c.resource, quota_limits.c.hard_limit).where(
    quota_limits.c.project_id.in_((bindparam("project"), DEFAULT_CLASS)),
    quota_limits.c.service.in_((SERVICE, CLASS_SERVICE)),
)


def of_type(kind: str, type_name: str) -> str:
    """The name of a limit for one volume type."""
    return f"{kind}_{type_name}"


def type_names(tx: Tx) -> dict[str, str]:
    """The names of all volume types by their ids."""
    return {row.id: row.name for row in tx.rows(_NAMES)}


def type_names_seen(tx: Tx, project_id: str) -> dict[str, str]:
    """The same of those that a project may use: of others it is not to know."""
    return {row.id: row.name for row in tx.rows(_NAMES_SEEN, {"project": project_id})}


def usage_of(tx: Tx, project_id: str, names: Mapping[str, str] | None = None) -> dict[str, int]:
    """Count what a project has, by the names of limits; two statements."""
    names = type_names(tx) if names is None else names
    used = dict.fromkeys(all_names(names), 0)
    for row in tx.rows(_USED, {"project": project_id}):
        used[row.kind] += int(row.many)
        used["backup_gigabytes" if row.kind == "backups" else "gigabytes"] += int(row.gib)
        if row.type_id in names:
            used[of_type(row.kind, names[row.type_id])] += int(row.many)
            used[of_type("gigabytes", names[row.type_id])] += int(row.gib)
    return used


def all_names(names: Mapping[str, str]) -> list[str]:
    """The names of all limits, those of volume types among them."""
    return [*DEFAULTS, *(of_type(kind, name) for name in names.values() for kind in OF_A_TYPE)]


def limits_of(tx: Tx, project_id: str, names: Mapping[str, str] | None = None) -> dict[str, int]:
    """A project's limits: its own, else those of the default class, else the built-in ones; two
    statements."""
    names = type_names(tx) if names is None else names
    limits = {name: DEFAULTS.get(name, UNLIMITED) for name in all_names(names)}
    if tx.unified_limits is not None:
        unified = unified_read(tx, [project_id], UNIFIED_SERVICES)[project_id]
        return {name: unified.get(name, most) for name, most in limits.items()}
    rows = tx.rows(_LIMITS, {"project": project_id})
    for row in sorted(rows, key=lambda one: one.service == SERVICE):  # the project's own over the class's
        if row.resource in limits:
            limits[row.resource] = row.hard_limit
    return limits


def class_limits(tx: Tx, names: Mapping[str, str] | None = None) -> dict[str, int]:
    """The limits of the default class."""
    return limits_of(tx, DEFAULT_CLASS, names)


def spend(
    tx: Tx,
    project_id: str,
    wanted: Mapping[str, int],
    type_id: str | None = None,
    *,
    of_type_alone: bool = False,
) -> None:
    """Raise QuotaError (413) unless a project may have this much more (``volumes``, ``gigabytes``,
    ``snapshots``, ``backups``, …) of a volume type. Holds the project's lock until the transaction
    ends. Four statements."""
    tx.lock(f"quota:{project_id}:volume")
    names = type_names(tx)
    limits, used = limits_of(tx, project_id, names), usage_of(tx, project_id, names)
    asked = {} if of_type_alone else dict(wanted)
    if type_id in names:
        asked |= {of_type(kind, names[type_id]): more for kind, more in wanted.items() if kind in OF_A_TYPE}
    for name, more in asked.items():
        if limits[name] != UNLIMITED and more > 0 and used[name] + more > limits[name]:
            raise _exceeded(name, more, limits[name], used[name])


def _exceeded(name: str, more: int, limit: int, used: int) -> QuotaError:
    if name.startswith(("gigabytes", "backup_gigabytes")):
        what = "backup" if name.startswith("backup") else "volume or snapshot"
        return QuotaError(
            f"Requested {what} exceeds allowed {name} quota. Requested {more}G, quota is {limit}G and "
            f"{used}G has been consumed."
        )
    kind = name.partition("_")[0]
    return QuotaError(f"Maximum number of {kind} allowed ({limit}) exceeded for quota '{name}'.")


def check_size(limits: Mapping[str, Any], size: int) -> None:
    """Raise BadRequest for one volume that is larger than a project's volumes may be."""
    most = limits["per_volume_gigabytes"]
    if most != UNLIMITED and size > most:
        raise BadRequest(f"Requested volume size {size} is larger than maximum allowed limit {most}.")
