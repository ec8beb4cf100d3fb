"""Limits of projects and users, and how much of them is used.

Usage is counted from the servers themselves inside the unit that adds one, with the project's lock held:
it can't drift and it can't be overrun.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import func, select

from pileus.resource.quota import UNLIMITED, quota_limits, unified_read
from pileus.services.compute.errors import QuotaError
from pileus.services.compute.rules import states
from pileus.services.compute.tables.servers import server_groups, servers
from pileus.store.tx import Tx

SERVICE = "compute"
DEFAULT_CLASS = "default"
CLASS_SERVICE = "compute-class"
USER_SERVICE = "compute-user:"

DEFAULTS: Mapping[str, int] = {
    "instances": 10,
    "cores": 20,
    "ram": 51200,
    "floating_ips": UNLIMITED,
    "fixed_ips": UNLIMITED,
    "metadata_items": 128,
    "injected_files": 5,
    "injected_file_content_bytes": 10240,
    "injected_file_path_bytes": 255,
    "security_groups": UNLIMITED,
    "security_group_rules": UNLIMITED,
    "key_pairs": 100,
    "server_groups": 10,
    "server_group_members": 10,
}


UNIFIED_NAMES: Mapping[str, str] = {
    "instances": "servers",
    "cores": "class:VCPU",
    "ram": "class:MEMORY_MB",
    "metadata_items": "server_metadata_items",
    "injected_files": "server_injected_files",
    "injected_file_content_bytes": "server_injected_file_content_bytes",
    "injected_file_path_bytes": "server_injected_file_path_bytes",
    "key_pairs": "server_key_pairs",
    "server_groups": "server_groups",
    "server_group_members": "server_group_members",
}
"""The names that these limits have among identity's, where quotas are read there."""


class Usage(NamedTuple):
    """The use that a project makes of the counted kinds."""

    instances: int
    cores: int
    ram: int
    server_groups: int = 0


def usage_of(tx: Tx, project_id: str, user_id: str | None = None) -> Usage:
    """Count a project's servers, or one user's in it, and what they are promised; one statement."""
    where = [
        servers.c.project_id == project_id,
        servers.c.deleted_at.is_(None),
        servers.c.vm_state != states.SOFT_DELETED,
    ]
    if user_id is not None:
        where.append(servers.c.user_id == user_id)
    row: Any = tx.first(
        select(
            func.count().label("instances"),
            func.coalesce(func.sum(servers.c.vcpus), 0).label("cores"),
            func.coalesce(func.sum(servers.c.memory_mib), 0).label("ram"),
        ).where(*where)
    )
    return Usage(int(row.instances), int(row.cores), int(row.ram))


def usage_with_groups(tx: Tx, project_id: str, user_id: str | None = None) -> Usage:
    """The same, and its server groups."""
    where = [server_groups.c.project_id == project_id]
    if user_id is not None:
        where.append(server_groups.c.user_id == user_id)
    groups = tx.scalar(select(func.count()).where(*where))
    return usage_of(tx, project_id, user_id)._replace(server_groups=int(groups))


class Limits(NamedTuple):
    """The limits of a project, and those that one of its users has of his own."""

    project: dict[str, int]
    user: dict[str, int]

    @property
    def together(self) -> dict[str, int]:
        """The limits that count for the user."""
        return {**self.project, **self.user}


def user_service(user_id: str) -> str:
    """Under which service a user's own limits are kept, in the rows of his project."""
    name = f"{USER_SERVICE}{user_id}"
    return name if len(name) <= 64 else USER_SERVICE + hashlib.sha256(user_id.encode()).hexdigest()[:48]


def limits_read(tx: Tx, project_id: str, user_id: str | None = None) -> Limits:
    """A project's limits: its own, else those of the default class, else the built-in ones; and those of
    a user alone. One statement. Where quotas are identity's, users have none of their own."""
    if tx.unified_limits is not None:
        unified = unified_read(tx, [project_id], [SERVICE])[project_id]
        names = UNIFIED_NAMES
        return Limits({one: unified.get(names.get(one, ""), most) for one, most in DEFAULTS.items()}, {})
    columns = quota_limits.c
    mine = user_service(user_id) if user_id else SERVICE
    rows = tx.rows(
        select(columns.service, columns.resource, columns.hard_limit, columns.project_id).where(
            columns.project_id.in_((project_id, DEFAULT_CLASS)),
            columns.service.in_((SERVICE, CLASS_SERVICE, mine)),
        )
    )
    limits, own = dict(DEFAULTS), {}
    for row in sorted(rows, key=lambda one: one.service == SERVICE):  # the project's own over the class's
        if row.resource not in limits:
            continue
        if row.service in (SERVICE, CLASS_SERVICE):
            limits[row.resource] = row.hard_limit
        elif row.project_id == project_id:
            own[row.resource] = row.hard_limit
    return Limits(limits, own)


def limits_of(tx: Tx, project_id: str, user_id: str | None = None) -> dict[str, int]:
    """The limits that count for a project, or for one user of it. One statement."""
    return limits_read(tx, project_id, user_id).together


def limit_of(tx: Tx, project_id: str, resource: str, user_id: str | None = None) -> int:
    """One limit of a project, or of one user of it; -1 is none."""
    return limits_of(tx, project_id, user_id)[resource]


def class_limits(tx: Tx) -> dict[str, int]:
    """The limits of the default class."""
    return limits_of(tx, DEFAULT_CLASS)


def spend_up_to(
    tx: Tx, project_id: str, user_id: str, minimum: int, maximum: int, cores: int, ram: int
) -> int:
    """Count the servers of a size that a user may still have, ``maximum`` at most; QuotaError where not even
    ``minimum`` fit. Holds the project's lock until the transaction ends. Three statements, and one more
    for a user with limits of his own."""
    room = maximum
    for limits, used in _accounts(tx, project_id, user_id):
        for name, each in (("instances", 1), ("cores", cores), ("ram", ram)):
            if limits.get(name, UNLIMITED) != UNLIMITED and each > 0:
                room = min(room, (limits[name] - getattr(used, name)) // each)
        if room < minimum:
            _refuse(limits, used, {"instances": minimum, "cores": minimum * cores, "ram": minimum * ram})
    return room


def spend(tx: Tx, project_id: str, user_id: str, instances: int, cores: int, ram: int) -> None:
    """Raise QuotaError (403), in Nova's words, unless a user may have this much more.

    Holds the project's lock until the transaction ends. Three statements, or four.
    """
    for limits, used in _accounts(tx, project_id, user_id):
        _refuse(limits, used, {"instances": instances, "cores": cores, "ram": ram})


def _accounts(tx: Tx, project_id: str, user_id: str) -> list[tuple[Mapping[str, int], Usage]]:
    """Limits and use of a project; and of the user, where he has limits of his own."""
    limits = limits_read(tx, project_id, user_id)
    tx.lock(f"quota:{project_id}:compute")
    accounts: list[tuple[Mapping[str, int], Usage]] = [(limits.project, usage_of(tx, project_id))]
    if {"instances", "cores", "ram"} & {*limits.user}:
        accounts.append((limits.user, usage_of(tx, project_id, user_id)))
    return accounts


def _refuse(limits: Mapping[str, int], used: Usage, wanted: Mapping[str, int]) -> None:
    """QuotaError that names what would be exceeded, where something would."""
    overs = [
        name
        for name, more in wanted.items()
        if more > 0 and limits.get(name, UNLIMITED) != UNLIMITED and getattr(used, name) + more > limits[name]
    ]
    if overs:
        raise QuotaError(
            f"Quota exceeded for {', '.join(overs)}: "
            f"Requested {', '.join(str(wanted[name]) for name in overs)}, "
            f"but already used {', '.join(str(getattr(used, name)) for name in overs)} "
            f"of {', '.join(str(limits[name]) for name in overs)} {', '.join(overs)}"
        )
