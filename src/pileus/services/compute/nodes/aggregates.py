"""Host aggregates: hosts under a name, with metadata; the metadata ``availability_zone`` makes them a zone.

Source: Compute API reference, "Host aggregates". A host is in one zone at most; an aggregate's zone goes
before the one that the host's agent names.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, select, update

from pileus.core.context import Context
from pileus.core.errors import Conflict, NotFound
from pileus.core.ids import new_id
from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.resource.event import event
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.compute.actions import action_route
from pileus.services.compute.api import NAME, at_least, body_of, enforce, since
from pileus.services.compute.errors import BadRequest, ComputeHostNotFound
from pileus.services.compute.nodes.reading import ZONE
from pileus.services.compute.policy import ADMIN, rules
from pileus.services.compute.replies import (
    FLAG,
    INTEGER,
    MOMENT,
    MOMENT_OR_NULL,
    NULL,
    TEXT,
    TEXT_BY_KEY,
    TEXT_OR_NULL,
    TEXTS,
    UUID,
    always,
    named,
    named_list,
)
from pileus.services.compute.tables.nodes import aggregate_hosts, aggregates, compute_nodes
from pileus.services.compute.tables.servers import servers
from pileus.store.errors import Duplicate
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Action, ByVersion, Route

_ZONE_NAME = types.nullable(types.string(255, minimum=1, pattern=r"[^:]*"))
_CREATE = types.dict_of(
    {"aggregate": types.dict_of({"name": NAME, ZONE: _ZONE_NAME}, required=("name",))},
    required=("aggregate",),
)
_UPDATE = types.dict_of(
    {"aggregate": types.dict_of({"name": NAME, ZONE: _ZONE_NAME})}, required=("aggregate",)
)
_HOST = types.dict_of({"host": types.string(255, minimum=1)}, required=("host",))
_METADATA = types.dict_of(
    {"metadata": types.dict_of({}, additional=types.nullable(types.string(255)))}, required=("metadata",)
)


class AggregateNotFound(NotFound):
    message = "Aggregate {id} could not be found."


class AggregateExists(Conflict):
    message = "Aggregate {name} already exists."


class InvalidAggregate(Conflict):
    message = "Cannot {action} aggregate '{id}'. Reason: {reason}."


def _all(tx: Tx, key: str | None = None) -> list[dict[str, Any]]:
    statement = select(aggregates).order_by(aggregates.c.number)
    if key is not None:
        statement = statement.where(aggregates.c.number == int(key))
    rows = [{**row._mapping} for row in tx.rows(statement)]
    hosts: dict[int, list[str]] = {}
    for row in tx.rows(select(aggregate_hosts).order_by(aggregate_hosts.c.host)):
        hosts.setdefault(row.aggregate, []).append(row.host)
    return [{**row, "hosts": hosts.get(row["number"], [])} for row in rows]


def _one(tx: Tx, key: str) -> dict[str, Any]:
    found = _all(tx, key) if key.isascii() and key.isdigit() and len(key) < 10 else []
    if not found:
        raise AggregateNotFound(id=key)
    return found[0]


def _refuse_move(tx: Tx, key: str, hosts: list[str], zone: str | None, action: str) -> None:
    """A host with servers does not change its zone, and is in no two."""
    if not hosts:
        return
    others = tx.rows(
        select(aggregate_hosts.c.host, aggregates.c.metadata).where(
            aggregate_hosts.c.host.in_(hosts),
            aggregates.c.number == aggregate_hosts.c.aggregate,
            aggregates.c.number != int(key),
        )
    )
    for row in others:
        other = row.metadata.get(ZONE)
        if zone and other and other != zone:
            raise InvalidAggregate(
                action=action, id=key, reason=f"Host {row.host} is in availability zone {other} already"
            )


def _refuse_busy(tx: Tx, key: str, hosts: list[str], action: str) -> None:
    if hosts and tx.first(
        select(servers.c.id).where(servers.c.host.in_(hosts), servers.c.deleted_at.is_(None)).limit(1)
    ):
        raise InvalidAggregate(
            action=action, id=key, reason="One or more hosts contain instances in this zone"
        )


def _create(tx: Tx, context: Context, name: str, zone: str | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": new_id(),
        "name": name,
        "metadata": {ZONE: zone} if zone else {},
        "created_at": context.now,
        "updated_at": None,
    }
    _insert(tx, row)
    tx.emit(event(context, "aggregate.create", row["id"], None, name=name))
    number = tx.scalar(select(aggregates.c.number).where(aggregates.c.id == row["id"]))
    return {**row, "number": number, "hosts": []}


def _insert(tx: Tx, row: Mapping[str, Any]) -> None:
    try:
        with tx.savepoint():
            tx.insert(aggregates, [row])
    except Duplicate:
        raise AggregateExists(name=row["name"]) from None


def _change(
    tx: Tx, context: Context, key: str, name: str | None, changes: Mapping[str, Any]
) -> dict[str, Any]:
    """A new name, and metadata of which None takes an item away."""
    row = _one(tx, key)
    items = {**row["metadata"], **changes}
    items = {item: text for item, text in items.items() if text is not None}
    if ZONE in changes and items.get(ZONE) != row["metadata"].get(ZONE):
        _refuse_busy(tx, key, row["hosts"], "update")
        _refuse_move(tx, key, row["hosts"], items.get(ZONE), "update")
    values = {"name": name or row["name"], "metadata": items, "updated_at": context.now}
    try:
        with tx.savepoint():
            tx.execute(update(aggregates).where(aggregates.c.number == row["number"]).values(values))
    except Duplicate:
        raise AggregateExists(name=name) from None
    tx.emit(event(context, "aggregate.update", row["id"], None, changed=sorted(changes)))
    return {**row, **values}


def _delete(tx: Tx, context: Context, key: str) -> None:
    row = _one(tx, key)
    if row["hosts"]:
        raise InvalidAggregate(action="delete", id=key, reason="Host aggregate is not empty")
    tx.execute(delete(aggregates).where(aggregates.c.number == row["number"]))
    tx.emit(event(context, "aggregate.delete", row["id"], None))


def _host(tx: Tx, context: Context, key: str, host: str, add: bool) -> dict[str, Any]:
    row = _one(tx, key)
    if tx.first(select(compute_nodes.c.host).where(compute_nodes.c.host == host)) is None:
        raise ComputeHostNotFound(host=host)
    zone = row["metadata"].get(ZONE)
    if add:
        if host in row["hosts"]:
            raise Conflict(f"Aggregate {key} already has host {host}.")
        _refuse_move(tx, key, [host], zone, "add host to")
        if zone:
            _refuse_busy(tx, key, [host], "add host to")
        tx.insert(aggregate_hosts, [{"aggregate": row["number"], "host": host}])
        hosts = sorted([*row["hosts"], host])
    else:
        if host not in row["hosts"]:
            raise NotFound(f"Aggregate {key} has no host {host}.")
        if zone:
            _refuse_busy(tx, key, [host], "remove host from")
        tx.execute(
            delete(aggregate_hosts).where(
                aggregate_hosts.c.aggregate == row["number"], aggregate_hosts.c.host == host
            )
        )
        hosts = [one for one in row["hosts"] if one != host]
    tx.execute(update(aggregates).where(aggregates.c.number == row["number"]).values(updated_at=context.now))
    tx.emit(event(context, "aggregate.update", row["id"], None, host=host, added=add))
    return {**row, "hosts": hosts, "updated_at": context.now}


def _view(request: Request, row: Mapping[str, Any], *, new: bool = False) -> dict[str, Any]:
    def moment(at: dt.datetime | None) -> str | None:
        return None if at is None else at.isoformat(timespec="microseconds")

    view = {
        "id": row["number"],
        "name": row["name"],
        "availability_zone": row["metadata"].get(ZONE),
        "created_at": moment(row["created_at"]),
        "updated_at": moment(row["updated_at"]),
        "deleted": False,
        "deleted_at": None,
    }
    if not new:
        view |= {"hosts": row["hosts"], "metadata": row["metadata"]}
    if since(request, "2.41"):
        view["uuid"] = row["id"]
    return view


async def list_aggregates(request: Request) -> Reply:
    """List aggregates."""
    enforce(request)
    return Reply.json({"aggregates": [_view(request, row) for row in await request.read(_all)]})


async def create_aggregate(request: Request) -> Reply:
    """Create an aggregate without hosts."""
    enforce(request)
    asked = body_of(request)["aggregate"]
    row = await request.write(_create, request.context, asked["name"], asked.get(ZONE))
    return Reply.json({"aggregate": _view(request, row, new=True)})


async def show_aggregate(request: Request) -> Reply:
    """Show one."""
    enforce(request)
    row = await request.read(_one, request.path["id"])
    return Reply.json({"aggregate": _view(request, row)})


async def update_aggregate(request: Request) -> Reply:
    """Change its name or zone."""
    enforce(request)
    asked = body_of(request)["aggregate"]
    if not asked:
        raise BadRequest(
            "Invalid input for field/attribute aggregate. Value: {}. {} does not have enough properties"
        )
    changes = {ZONE: asked[ZONE]} if ZONE in asked else {}
    row = await request.write(_change, request.context, request.path["id"], asked.get("name"), changes)
    return Reply.json({"aggregate": _view(request, row)})


async def delete_aggregate(request: Request) -> Reply:
    """Delete one without hosts."""
    enforce(request)
    await request.write(_delete, request.context, request.path["id"])
    return Reply.empty(200)


async def add_host(request: Request, argument: Any) -> Reply:
    """Put a host into an aggregate (``add_host``)."""
    return await _change_host(request, argument["host"], add=True)


async def remove_host(request: Request, argument: Any) -> Reply:
    """Take a host out of an aggregate (``remove_host``)."""
    return await _change_host(request, argument["host"], add=False)


async def _change_host(request: Request, host: str, *, add: bool) -> Reply:
    enforce(request)
    row = await request.write(_host, request.context, request.path["id"], host, add)
    return Reply.json({"aggregate": _view(request, row)})


async def set_metadata(request: Request, argument: Any) -> Reply:
    """Set items of metadata, and take away those that are null (``set_metadata``)."""
    enforce(request)
    row = await request.write(_change, request.context, request.path["id"], None, argument["metadata"])
    return Reply.json({"aggregate": _view(request, row)})


def _shown(version: Version, *, new: bool = False) -> Type:
    fields = {
        "id": INTEGER,
        "name": TEXT,
        "availability_zone": TEXT_OR_NULL,
        "created_at": MOMENT,
        "updated_at": MOMENT_OR_NULL,
        "deleted": FLAG,
        "deleted_at": NULL,
    }
    if not new:
        fields |= {"hosts": TEXTS, "metadata": TEXT_BY_KEY}
    if at_least(version, "2.41"):
        fields["uuid"] = UUID
    return always(fields)


_ALL, _ONE = "/v2.1/os-aggregates", "/v2.1/os-aggregates/{id}"
_RULE = "os_compute_api:os-aggregates:"
_LIST = ByVersion(lambda version: named_list("aggregates", _shown(version)))
_SHOW = ByVersion(lambda version: named("aggregate", _shown(version)))
_NEW = ByVersion(lambda version: named("aggregate", _shown(version, new=True)))


def _action(argument: Type, handler: Any, name: str, summary: str) -> Action:
    return Action(argument, handler, rule=_RULE + name, reply=_SHOW, status=200, summary=summary)


AGGREGATES = Noun(
    name="aggregate",
    rules=rules(
        {
            f"os-aggregates:{name}": ADMIN
            for name in (
                "index",
                "create",
                "show",
                "update",
                "delete",
                "add_host",
                "remove_host",
                "set_metadata",
            )
        }
    ),
    extensions=(Extension("os-aggregates", "Aggregates", "Admin-only aggregate administration."),),
    routes=(
        Route("GET", _ALL, list_aggregates, rule=_RULE + "index", reply=_LIST, summary="List aggregates"),
        Route(
            "POST",
            _ALL,
            create_aggregate,
            rule=_RULE + "create",
            body=_CREATE,
            reply=_NEW,
            summary="Create an aggregate",
        ),
        Route("GET", _ONE, show_aggregate, rule=_RULE + "show", reply=_SHOW, summary="Show an aggregate"),
        Route(
            "PUT",
            _ONE,
            update_aggregate,
            rule=_RULE + "update",
            body=_UPDATE,
            reply=_SHOW,
            summary="Change an aggregate",
        ),
        Route(
            "DELETE",
            _ONE,
            delete_aggregate,
            rule=_RULE + "delete",
            reply=NO_BODY,
            summary="Delete an aggregate",
        ),
        action_route(
            f"{_ONE}/action",
            {
                "add_host": _action(_HOST, add_host, "add_host", "Add a host"),
                "remove_host": _action(_HOST, remove_host, "remove_host", "Remove a host"),
                "set_metadata": _action(_METADATA, set_metadata, "set_metadata", "Set metadata"),
            },
            status=200,
            summary="Add or remove a host, set metadata",
        ),
    ),
)
