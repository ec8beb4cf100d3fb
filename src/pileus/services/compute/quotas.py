"""Quotas of the compute API: limits, their administration, and how much is used.

Usage is counted from the servers themselves inside the unit that adds one, with the project's lock held:
it can't drift and it can't be overrun. Source: Compute API reference, "Quota Sets".
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import delete, func, select

from pileus.core.context import Context
from pileus.resource import types
from pileus.resource.quota import UNLIMITED, quota_limits, quota_reset, quota_set
from pileus.resource.types import Type
from pileus.resource.versions import Version, parse
from pileus.services.compute.declared import body_of, by_version
from pileus.services.compute.errors import BadRequest, QuotaError
from pileus.services.compute.policy import ADMIN, ADMIN_OR_READER, ANYBODY, any_of, rules
from pileus.services.compute.servers.tables import server_groups, servers
from pileus.store.tx import Tx
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

SERVICE = "compute"
DEFAULT_CLASS = "default"
_CLASS_SERVICE = "compute-class"
_USER_SERVICE = "compute-user:"

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
_NETWORK = frozenset({"floating_ips", "fixed_ips", "security_groups", "security_group_rules"})
_FILES = frozenset({"injected_files", "injected_file_content_bytes", "injected_file_path_bytes"})
_GROUPS = frozenset({"server_groups", "server_group_members"})

RULES = rules(
    {
        "os-quota-sets:show": ADMIN_OR_READER,
        "os-quota-sets:defaults": ANYBODY,
        "os-quota-sets:detail": ADMIN_OR_READER,
        "os-quota-sets:update": ADMIN,
        "os-quota-sets:delete": ADMIN,
        "os-quota-class-sets:show": any_of(ADMIN, "quota_class:%(quota_class)s"),
        "os-quota-class-sets:update": ADMIN,
    }
)


class Usage(NamedTuple):
    """What a project has of the counted kinds."""

    instances: int
    cores: int
    ram: int
    server_groups: int = 0


def usage_of(tx: Tx, project_id: str, user_id: str | None = None) -> Usage:
    """Count a project's servers, or one user's in it, and what they are promised; one statement."""
    where = [servers.c.project_id == project_id, servers.c.deleted_at.is_(None)]
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
    """What a project may have, and what of it one of its users has limits of his own for."""

    project: dict[str, int]
    user: dict[str, int]

    @property
    def together(self) -> dict[str, int]:
        """What counts for the user."""
        return {**self.project, **self.user}


def _user_service(user_id: str) -> str:
    """Under which service a user's own limits are kept, in the rows of his project."""
    name = f"{_USER_SERVICE}{user_id}"
    return name if len(name) <= 64 else _USER_SERVICE + hashlib.sha256(user_id.encode()).hexdigest()[:48]


def limits_read(tx: Tx, project_id: str, user_id: str | None = None) -> Limits:
    """A project's limits: its own, else those of the default class, else the built-in ones; and those of
    a user alone. One statement."""
    columns = quota_limits.c
    mine = _user_service(user_id) if user_id else SERVICE
    rows = tx.rows(
        select(columns.service, columns.resource, columns.hard_limit, columns.project_id).where(
            columns.project_id.in_((project_id, DEFAULT_CLASS)),
            columns.service.in_((SERVICE, _CLASS_SERVICE, mine)),
        )
    )
    limits, own = dict(DEFAULTS), {}
    for row in sorted(rows, key=lambda one: one.service == SERVICE):  # the project's own over the class's
        if row.resource not in limits:
            continue
        if row.service in (SERVICE, _CLASS_SERVICE):
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
    """How many servers of a size a user may have more, ``maximum`` at most; QuotaError where not even
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
    """Make sure that a user may have this much more; QuotaError (403) in Nova's words otherwise.

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


def _hidden(version: Version | None) -> frozenset[str]:
    assert version is not None
    hidden: frozenset[str] = frozenset()
    if version >= parse("2.36"):
        hidden |= _NETWORK
    if version >= parse("2.57"):
        hidden |= _FILES
    return hidden


def _hidden_in_class(version: Version | None) -> frozenset[str]:
    assert version is not None
    hidden = _GROUPS if version < parse("2.50") else _NETWORK
    return hidden | _FILES if version >= parse("2.57") else hidden


_LIMIT = types.integer(-1, 2**31 - 1)


@by_version
def _update_type(version: Version) -> Type:
    fields = {name: _LIMIT for name in DEFAULTS if name not in _hidden(version)}
    return types.dict_of(
        {"quota_set": types.dict_of({**fields, "force": types.boolean, "tenant_id": types.string()})},
        required=("quota_set",),
    )


@by_version
def _class_type(version: Version) -> Type:
    fields = {name: _LIMIT for name in DEFAULTS if name not in _hidden_in_class(version)}
    return types.dict_of({"quota_class_set": types.dict_of(fields)}, required=("quota_class_set",))


def _target(request: Request, action: str) -> str:
    project_id = request.path["project_id"]
    request.authorise(f"os_compute_api:os-quota-sets:{action}", {"project_id": project_id})
    return project_id


def _view(request: Request, limits: Mapping[str, Any], project_id: str | None = None) -> dict[str, Any]:
    hidden = _hidden(request.version)
    view = {name: limits[name] for name in DEFAULTS if name not in hidden}
    return view if project_id is None else {"id": project_id, **view}


async def show_quota(request: Request) -> Reply:
    """A project's limits."""
    project_id = _target(request, "show")
    limits = await request.read(limits_of, project_id, request.parameter("user_id") or None)
    return Reply.json({"quota_set": _view(request, limits, project_id)})


async def show_default(request: Request) -> Reply:
    """What a project has that nobody gave limits to."""
    project_id = _target(request, "defaults")
    return Reply.json({"quota_set": _view(request, await request.read(class_limits), project_id)})


def _details(tx: Tx, project_id: str, user_id: str | None) -> dict[str, dict[str, int]]:
    limits = limits_of(tx, project_id, user_id)
    used = usage_with_groups(tx, project_id, user_id)._asdict()
    return {
        name: {"limit": limit, "in_use": used.get(name, 0), "reserved": 0} for name, limit in limits.items()
    }


async def show_detail(request: Request) -> Reply:
    """Limits, and how much of them is used."""
    project_id = _target(request, "detail")
    details = await request.read(_details, project_id, request.parameter("user_id") or None)
    return Reply.json({"quota_set": _view(request, details, project_id)})


def quota_update(
    tx: Tx, context: Context, project_id: str, user_id: str | None, wanted: dict[str, int], force: bool
) -> dict[str, int]:
    """Set limits of a project, or of one user of it: below what is used only with ``force``, and a user's
    never above his project's."""
    used = usage_with_groups(tx, project_id, user_id)._asdict()
    most = limits_of(tx, project_id) if user_id is not None else {}
    for name, limit in wanted.items():
        if not force and limit != UNLIMITED and used.get(name, 0) > limit:
            raise BadRequest(
                f"Quota limit {limit} for {name} must be greater than or equal to already used "
                f"and reserved {used[name]}."
            )
        bound = most.get(name, UNLIMITED)
        if bound != UNLIMITED and (limit == UNLIMITED or limit > bound):
            raise BadRequest(f"Quota limit {limit} for {name} must be less than or equal to {bound}.")
    quota_set(tx, project_id, _service(user_id), wanted)
    return limits_of(tx, project_id, user_id)


def _service(user_id: str | None) -> str:
    return SERVICE if user_id is None else _user_service(user_id)


async def update_quota(request: Request) -> Reply:
    """Set limits of a project, or of the user that the query names."""
    project_id = _target(request, "update")
    user_id = request.parameter("user_id") or None
    wanted = dict(body_of(request, _update_type(request))["quota_set"])
    force = bool(wanted.pop("force", False))
    wanted.pop("tenant_id", None)
    limits = await request.write(quota_update, request.context, project_id, user_id, wanted, force)
    return Reply.json({"quota_set": _view(request, limits)})


def _reset(tx: Tx, project_id: str, user_id: str | None) -> None:
    quota_reset(tx, project_id, _service(user_id))
    if user_id is None:
        columns = quota_limits.c
        of_users = columns.service.startswith(_USER_SERVICE, autoescape=True)
        tx.execute(delete(quota_limits).where(columns.project_id == project_id, of_users))


async def delete_quota(request: Request) -> Reply:
    """Back to the defaults, or a user's back to his project's."""
    project_id = _target(request, "delete")
    await request.write(_reset, project_id, request.parameter("user_id") or None)
    return Reply.empty(202)


def _class_view(request: Request, limits: Mapping[str, int], name: str | None) -> dict[str, Any]:
    hidden = _hidden_in_class(request.version)
    view: dict[str, Any] = {key: limits[key] for key in DEFAULTS if key not in hidden}
    return view if name is None else {"id": name, **view}


async def show_class(request: Request) -> Reply:
    """The limits of a class; only the default one means anything."""
    name = request.path["quota_class"]
    request.authorise("os_compute_api:os-quota-class-sets:show", {"quota_class": name})
    limits = await request.read(class_limits)
    return Reply.json({"quota_class_set": _class_view(request, limits, name)})


def _set_class(tx: Tx, wanted: dict[str, int]) -> dict[str, int]:
    quota_set(tx, DEFAULT_CLASS, _CLASS_SERVICE, wanted)
    return class_limits(tx)


async def update_class(request: Request) -> Reply:
    """Set the limits that projects have without their own."""
    name = request.path["quota_class"]
    request.authorise("os_compute_api:os-quota-class-sets:update", {"quota_class": name})
    wanted = body_of(request, _class_type(request))["quota_class_set"]
    if name != DEFAULT_CLASS:
        raise BadRequest(f"There is one quota class, '{DEFAULT_CLASS}'; nothing would use '{name}'.")
    limits = await request.write(_set_class, wanted)
    return Reply.json({"quota_class_set": _class_view(request, limits, None)})


def _rule(action: str) -> str:
    return f"os_compute_api:os-quota-sets:{action}"


_ONE = "/v2.1/os-quota-sets/{project_id}"
_CLASS = "/v2.1/os-quota-class-sets/{quota_class}"
ROUTES = (
    Route("GET", _ONE, show_quota, rule=_rule("show"), summary="Show quotas"),
    Route("PUT", _ONE, update_quota, rule=_rule("update"), summary="Set quotas"),
    Route("DELETE", _ONE, delete_quota, rule=_rule("delete"), status=202, summary="Reset quotas"),
    Route("GET", f"{_ONE}/defaults", show_default, rule=_rule("defaults"), summary="Show default quotas"),
    Route("GET", f"{_ONE}/detail", show_detail, rule=_rule("detail"), summary="Show quotas and use"),
    Route("GET", _CLASS, show_class, rule="os_compute_api:os-quota-class-sets:show", summary="Show a class"),
    Route(
        "PUT", _CLASS, update_class, rule="os_compute_api:os-quota-class-sets:update", summary="Set a class"
    ),
)
