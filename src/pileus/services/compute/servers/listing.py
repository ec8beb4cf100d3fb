"""Lists of servers: Nova's filters as SQL. Source: Compute API reference, "List Servers"."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, false, not_, or_

from pileus.core.addresses import canonical
from pileus.core.errors import Forbidden
from pileus.resource import types
from pileus.resource.declaration import Values
from pileus.resource.listing import Listing, bound, page_statement, tag_conditions
from pileus.resource.rows import fetch, plan
from pileus.resource.types import BadValue
from pileus.services.compute.api import COMPUTE, enforce, since, time_asked
from pileus.services.compute.errors import BadRequest
from pileus.services.compute.policy import is_admin
from pileus.services.compute.rules import states
from pileus.services.compute.rules.patterns import MOST
from pileus.services.compute.servers.pattern_filters import TEXTS, VERSIONS, Test, read_filter, search
from pileus.services.compute.servers.resource import SERVER
from pileus.services.compute.tables.servers import servers
from pileus.store.tx import Tx
from pileus.web.request import Request

_c = servers.c
Condition = Callable[[str], ColumnElement[bool]]


def _same(column: ColumnElement[Any]) -> Condition:
    return lambda text: column == text


def _same_address(column: ColumnElement[Any]) -> Condition:
    return lambda text: column == (canonical(text) or text)


def _number(column: ColumnElement[Any]) -> Condition:
    return lambda text: (
        column == int(text) if text.isascii() and text.isdigit() and len(text) < 10 else false()
    )


def _boolean(column: ColumnElement[Any]) -> Condition:
    def condition(text: str) -> ColumnElement[bool]:
        try:
            return column.is_(bool(types.boolean.parse(text)))
        except BadValue:
            raise BadRequest(f"Invalid value for a filter: '{text}' is not a boolean") from None

    return condition


_LOCKED: Condition = lambda text: (  # noqa: E731 - a table of conditions
    _c.locked_by.is_not(None) if bool(types.boolean.parse(text)) else _c.locked_by.is_(None)
)

FOR_ALL: Mapping[str, Condition] = {
    "image": _same(_c.image_id),
    "flavor": _same(_c.flavor_id),
}
_OPEN_SINCE_283: Mapping[str, Condition] = {
    "config_drive": _boolean(_c.config_drive),
    "created_at": lambda text: _c.created_at == time_asked("created_at", text),
    "launched_at": lambda text: _c.launched_at == time_asked("launched_at", text),
    "terminated_at": lambda text: _c.terminated_at == time_asked("terminated_at", text),
    "power_state": _number(_c.power_state),
    "task_state": _same(_c.task_state),
    "vm_state": _same(_c.vm_state),
    "user_id": _same(_c.user_id),
    "launch_index": _number(_c.launch_index),
    "progress": lambda text: false(),
    "root_device_name": lambda text: _c.id.is_not(None) if text == "/dev/vda" else false(),
}
FOR_ADMINS: Mapping[str, Condition] = {
    "host": _same(_c.host),
    "project_id": _same(_c.project_id),
    "tenant_id": _same(_c.project_id),
    "uuid": _same(_c.id),
    "image_ref": _same(_c.image_id),
    "accessIPv4": _same_address(_c.access_ip_v4),
    "accessIPv6": _same_address(_c.access_ip_v6),
    "access_ip_v4": _same_address(_c.access_ip_v4),
    "access_ip_v6": _same_address(_c.access_ip_v6),
    "instance_name": lambda text: false(),
    "kernel_id": lambda text: false(),
    "ramdisk_id": lambda text: false(),
    "auto_disk_config": lambda text: _c.disk_config == ("AUTO" if types.boolean.parse(text) else "MANUAL"),
    "disk_config": _same(_c.disk_config),
    "block_device_mapping": lambda text: false(),
}
_PATTERNS = frozenset({"name", "reservation_id", "ip", "ip6"})
_PATTERNS_SINCE_283 = frozenset(
    {"availability_zone", "key_name", "description", "display_description", "hostname"}
)
_PATTERNS_FOR_ADMINS = frozenset({*TEXTS, *VERSIONS})
_TAGS = ("tags", "tags-any", "not-tags", "not-tags-any")
_OTHER = frozenset(
    {
        "limit", "marker", "sort_key", "sort_dir", "sort", "all_tenants", "deleted", "status",
        "changes-since", "changes-before", "locked", "soft_deleted", *_TAGS,
    }
)  # fmt: skip


class Wanted(NamedTuple):
    """A list request: what the database is asked, and what is tested of its rows (``pattern_filters.py``)."""

    listing: Listing
    tests: list[Test]


def read_listing(request: Request) -> Wanted:
    """Read what a list request asks for."""
    admin = is_admin(request.access)
    all_filters = request.access.allows("os_compute_api:servers:allow_all_filters")
    query = request.query
    _check_names(request)
    listing = COMPUTE.listing(request, SERVER)
    listing.where = []
    if not admin and any(sort.name in ("host", "node") for sort in listing.sort):
        raise Forbidden("Only administrators can sort servers by host or node.")
    given: dict[str, list[str]] = {}
    for name, text in query:
        given.setdefault(name, []).append(text)
    where = listing.where
    _whose(request, given, where)
    listing.visible = tuple(where)
    _how_old(request, given, where, admin)
    _statuses(request, given, where, admin)
    allowed = {**FOR_ALL}
    if all_filters or since(request, "2.83"):
        allowed |= _OPEN_SINCE_283
    if all_filters:
        allowed |= FOR_ADMINS
    patterns = _PATTERNS_FOR_ADMINS if all_filters else _PATTERNS
    if since(request, "2.83"):
        patterns |= _PATTERNS_SINCE_283
    tests: list[Test] = []
    for name, texts in given.items():
        if name in patterns:
            if len(texts) + sum(len(test.patterns) for test in tests) > MOST:
                raise BadRequest(f"Invalid input for query parameters {name}. More than {MOST} expressions.")
            found = read_filter(name, texts)
            if isinstance(found, Test):
                tests.append(found)
            else:
                where.append(found)
            continue
        make = allowed.get(name)
        if make is None or (name in ("project_id", "tenant_id") and not _all_projects(request, given)):
            continue
        try:
            where.append(or_(*(make(text) for text in texts)) if len(texts) > 1 else make(texts[0]))
        except BadValue as bad:
            raise request.dialect.bad_value(name, texts[0], bad) from None
    if since(request, "2.26"):
        for name in _TAGS:
            if name in given:
                where += tag_conditions(SERVER, name, given[name])
    if "locked" in given and since(request, "2.73"):
        try:
            where.append(_LOCKED(given["locked"][-1]))
        except BadValue:
            text = given["locked"][-1]
            raise BadRequest(f"Invalid value '{text}' for the filter locked") from None
    bound(listing, COMPUTE.default_limit, request.settings.page_limit or COMPUTE.max_limit)
    return Wanted(listing, tests)


def _check_names(request: Request) -> None:
    """Since 2.75 a parameter that nobody knows is refused."""
    if not since(request, "2.75"):
        return
    known = {*FOR_ALL, *_OPEN_SINCE_283, *FOR_ADMINS, *_PATTERNS_FOR_ADMINS, *_OTHER}
    unknown = sorted({name for name, _ in request.query} - known)
    if unknown:
        raise BadRequest(
            f"Invalid input for query parameters {unknown[0]}. Additional properties are not allowed "
            f"({', '.join(map(repr, unknown))} {'was' if len(unknown) == 1 else 'were'} unexpected)"
        )


def _all_projects(request: Request, given: Mapping[str, Sequence[str]]) -> bool:
    if "all_tenants" not in given:
        return False
    text = given["all_tenants"][-1]
    if text == "":
        return True
    try:
        return bool(types.boolean.parse(text))
    except BadValue:
        raise BadRequest(
            f"Invalid input for query parameters all_tenants. Value: {text}. '{text}' is not a boolean"
        ) from None


def _whose(request: Request, given: Mapping[str, Sequence[str]], where: list[ColumnElement[bool]]) -> None:
    enforce(request, {"project_id": request.context.project_id})
    if _all_projects(request, given):
        request.authorise(f"{request.route.rule}:get_all_tenants")
        return
    where.append(_c.project_id == (request.context.project_id or ""))


def _how_old(
    request: Request, given: Mapping[str, Sequence[str]], where: list[ColumnElement[bool]], admin: bool
) -> None:
    """changes-since and changes-before tell of deleted servers too; otherwise only administrators ask."""
    deleted = False
    if "changes-since" in given:
        where.append(_c.updated_at >= time_asked("changes-since", given["changes-since"][-1]))
        deleted = True
    if "changes-before" in given and since(request, "2.66"):
        before = time_asked("changes-before", given["changes-before"][-1])
        if "changes-since" in given and before < time_asked("changes-since", given["changes-since"][-1]):
            raise BadRequest("The value of changes-since must be less than or equal to changes-before.")
        where.append(_c.updated_at <= before)
        deleted = True
    if admin and "deleted" in given:
        wanted = given["deleted"][-1].lower() in ("true", "1", "t", "yes", "")
        where.append(_c.deleted_at.is_not(None) if wanted else _c.deleted_at.is_(None))
    elif not deleted and "DELETED" not in {text.upper() for text in given.get("status", ())}:
        where.append(_c.deleted_at.is_(None))
    asked = {text.upper() for text in given.get("status", ())}
    if not deleted and "SOFT_DELETED" not in asked and not (admin and "soft_deleted" in given):
        where.append(_c.vm_state != states.SOFT_DELETED)


def _statuses(
    request: Request, given: Mapping[str, Sequence[str]], where: list[ColumnElement[bool]], admin: bool
) -> None:
    if "status" not in given:
        return
    selections, unknown = states.states_of(given["status"])
    if unknown and since(request, "2.38"):
        raise BadRequest("Invalid status value")
    if any(one.vm_state == states.DELETED for one in selections):
        if not admin:
            raise Forbidden("Only administrators may list deleted instances")
        where.append(_c.deleted_at.is_not(None))
        return
    choices = []
    for one in selections:
        of_task: ColumnElement[bool] = _c.task_state.in_(one.tasks)
        if one.without:
            of_task = or_(_c.task_state.is_(None), not_(of_task)) if one.tasks else _c.id.is_not(None)
        choices.append(and_(_c.vm_state == one.vm_state, of_task))
    where.append(or_(*choices) if choices else false())


def list_servers(tx: Tx, request: Request, asked: Wanted) -> list[Values]:
    """A page of servers; one statement, two with a marker, and those of a search."""
    listing, tests = asked
    wanted = plan(SERVER, tuple(SERVER.attributes), as_json=False)
    if tests:
        ids = search(tx, listing, tests)
        by_id = {one["id"]: one for one in fetch(tx, SERVER, ids)} if ids else {}
        return [by_id[key] for key in ids if key in by_id]
    missing = COMPUTE.missing_marker(SERVER, listing.marker or "")
    rows = tx.rows(page_statement(tx, SERVER, wanted.columns, listing, missing))
    return [Values(one) for one in wanted.dictionaries(rows, ())]
