"""Host aggregates: hosts under a name, with metadata; the metadata ``availability_zone`` makes them a zone.

Source: Compute API reference, "Host aggregates". A host is in one zone at most; an aggregate's zone goes
before the one that the host's agent names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, select

from pileus.core.context import Context
from pileus.core.errors import Conflict, NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Extension, Resource, Update, Values, fresh_id, request_time
from pileus.resource.event import event
from pileus.resource.listing import Listing
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.resource.wordings.nova import NOVA
from pileus.services.compute.actions import action_route
from pileus.services.compute.api import NAME, at_least, judging, wrapped
from pileus.services.compute.errors import ComputeHostNotFound
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
from pileus.web.crud import Crud, crud_reply, crud_routes, find_judged
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Action, ByVersion

_ZONE_NAME = types.nullable(types.string(255, minimum=1, pattern=r"[^:]*"))
_CREATE = wrapped("aggregate", {"name": NAME, ZONE: _ZONE_NAME}, ("name",))
_UPDATE = wrapped("aggregate", {"name": NAME, ZONE: _ZONE_NAME})
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


def _hosts(tx: Tx, numbers: list[Any]) -> dict[Any, list[str]]:
    found: dict[Any, list[str]] = {}
    columns = aggregate_hosts.c
    statement = select(columns.aggregate, columns.host).where(columns.aggregate.in_(numbers))
    for row in tx.rows(statement.order_by(columns.host)):
        found.setdefault(row.aggregate, []).append(row.host)
    return found


AGGREGATE = Resource(
    "aggregate",
    table=aggregates,
    collection="os-aggregates",
    wording=NOVA,
    not_found=AggregateNotFound,
    attributes=(
        Attribute("id", types.integer(), column=aggregates.c.number),
        Attribute("uuid", types.uuid, column=aggregates.c.id, default=fresh_id, versions=("2.41", "")),
        Attribute("name", NAME, create=True, update=True),
        Attribute(
            ZONE, _ZONE_NAME, create=True, update=True, compute=lambda values: values["metadata"].get(ZONE)
        ),
        Attribute("hosts", types.list_of(types.string()), loader=_hosts, empty=[]),
        Attribute("metadata", Type("metadata", dict, {"type": "object"}, show=dict)),
        Attribute("created_at", types.timestamp_plain, default=request_time),
        Attribute("updated_at", types.timestamp_plain),
        Attribute("deleted_at", types.null, compute=lambda values: None),
        Attribute("deleted", types.boolean, compute=lambda values: False),
    ),
    default_sort=(("id", False),),
    description="Hosts under a name, with metadata.",
)


def _refuse_move(tx: Tx, aggregate: Values, hosts: list[str], zone: str | None, action: str) -> None:
    """A host with servers does not change its zone, and is in no two."""
    if not hosts:
        return
    others = tx.rows(
        select(aggregate_hosts.c.host, aggregates.c.metadata).where(
            aggregate_hosts.c.host.in_(hosts),
            aggregates.c.number == aggregate_hosts.c.aggregate,
            aggregates.c.number != aggregate["id"],
        )
    )
    for row in others:
        other = row.metadata.get(ZONE)
        if zone and other and other != zone:
            reason = f"Host {row.host} is in availability zone {other} already"
            raise InvalidAggregate(action=action, id=aggregate["id"], reason=reason)


def _refuse_busy(tx: Tx, aggregate: Values, hosts: list[str], action: str) -> None:
    if hosts and tx.first(
        select(servers.c.id).where(servers.c.host.in_(hosts), servers.c.deleted_at.is_(None)).limit(1)
    ):
        reason = "One or more hosts contain instances in this zone"
        raise InvalidAggregate(action=action, id=aggregate["id"], reason=reason)


def aggregate_create(tx: Tx, context: Context, specs: list[Values]) -> list[Values]:
    """Write aggregates, without hosts."""
    for spec in specs:
        zone = spec.get(ZONE)
        spec["metadata"] = {ZONE: zone} if zone else {}
    try:
        with tx.savepoint():
            AGGREGATE.insert(tx, context, specs)
    except Duplicate:
        raise AggregateExists(name=specs[0]["name"]) from None
    tx.emit_many([event(context, "aggregate.create", one["uuid"], None, name=one["name"]) for one in specs])
    uuids = [one["uuid"] for one in specs]
    numbers = dict(
        map(tuple, tx.rows(select(aggregates.c.id, aggregates.c.number).where(aggregates.c.id.in_(uuids))))
    )
    return [Values({**one, "id": numbers[one["uuid"]]}) for one in specs]


def aggregate_update(tx: Tx, context: Context, updates: list[Update]) -> list[Values]:
    """Change names and zones."""
    changed = []
    for one in updates:
        items = {ZONE: one.changes[ZONE]} if ZONE in one.changes else {}
        changed.append(_change(tx, context, one.original, one.changes.get("name"), items))
    return changed


def _change(tx: Tx, context: Context, original: Values, name: str | None, items: Mapping[str, Any]) -> Values:
    """A new name, and metadata of which None takes an item away."""
    metadata = {item: text for item, text in {**original["metadata"], **items}.items() if text is not None}
    if ZONE in items and metadata.get(ZONE) != original["metadata"].get(ZONE):
        _refuse_busy(tx, original, original["hosts"], "update")
        _refuse_move(tx, original, original["hosts"], metadata.get(ZONE), "update")
    values = Values({"name": name or original["name"], "metadata": metadata})
    try:
        with tx.savepoint():
            changed = AGGREGATE.change(tx, context, [Update(original, values)])[0]
    except Duplicate:
        raise AggregateExists(name=name) from None
    tx.emit(event(context, "aggregate.update", original["uuid"], None, changed=sorted(items)))
    return changed


def aggregate_delete(tx: Tx, context: Context, originals: list[Values]) -> None:
    """Delete aggregates without hosts."""
    for one in originals:
        if one["hosts"]:
            raise InvalidAggregate(action="delete", id=one["id"], reason="Host aggregate is not empty")
    AGGREGATE.remove(tx, originals)
    tx.emit_many([event(context, "aggregate.delete", one["uuid"], None) for one in originals])


def _change_host(tx: Tx, request: Request, host: str, add: bool) -> Values:
    aggregate = find_judged(tx, request, _CRUD, "update", lock=True)
    hosts, zone, key = aggregate["hosts"], aggregate["metadata"].get(ZONE), aggregate["id"]
    if tx.first(select(compute_nodes.c.host).where(compute_nodes.c.host == host)) is None:
        raise ComputeHostNotFound(host=host)
    if add:
        if host in hosts:
            raise Conflict(f"Aggregate {key} already has host {host}.")
        _refuse_move(tx, aggregate, [host], zone, "add host to")
        if zone:
            _refuse_busy(tx, aggregate, [host], "add host to")
        tx.insert(aggregate_hosts, [{"aggregate": key, "host": host}])
        hosts = sorted([*hosts, host])
    else:
        if host not in hosts:
            raise NotFound(f"Aggregate {key} has no host {host}.")
        if zone:
            _refuse_busy(tx, aggregate, [host], "remove host from")
        tx.execute(
            delete(aggregate_hosts).where(aggregate_hosts.c.aggregate == key, aggregate_hosts.c.host == host)
        )
        hosts = [one for one in hosts if one != host]
    changed = AGGREGATE.change(tx, request.context, [Update(aggregate, Values())])[0]
    tx.emit(event(request.context, "aggregate.update", aggregate["uuid"], None, host=host, added=add))
    return Values({**changed, "hosts": hosts})


def _set_metadata(tx: Tx, request: Request, items: Mapping[str, Any]) -> Values:
    return _change(tx, request.context, find_judged(tx, request, _CRUD, "update", lock=True), None, items)


async def add_host(request: Request, argument: Any) -> Reply:
    """Put a host into an aggregate (``add_host``)."""
    return _shown_reply(request, await request.write(_change_host, request, argument["host"], True))


async def remove_host(request: Request, argument: Any) -> Reply:
    """Take a host out of an aggregate (``remove_host``)."""
    return _shown_reply(request, await request.write(_change_host, request, argument["host"], False))


async def set_metadata(request: Request, argument: Any) -> Reply:
    """Set items of metadata, and take away those that are null (``set_metadata``)."""
    return _shown_reply(request, await request.write(_set_metadata, request, argument["metadata"]))


def _shown_reply(request: Request, aggregate: Values) -> Reply:
    return crud_reply(request, _CRUD, aggregate, "update")


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


_RULE = "os_compute_api:os-aggregates:"
_LIST = ByVersion(lambda version: named_list("aggregates", _shown(version)))
_SHOW = ByVersion(lambda version: named("aggregate", _shown(version)))
_NEW = ByVersion(lambda version: named("aggregate", _shown(version, new=True)))

_CRUD = Crud(
    resource=AGGREGATE,
    create=aggregate_create,
    update=aggregate_update,
    delete=aggregate_delete,
    judge=judging(),
    listing=lambda request: Listing(paged=False),
    bodies={"create": _CREATE, "update": _UPDATE},
    replies={"list": _LIST, "create": _NEW, "get": _SHOW, "update": _SHOW},
    shown={"create": tuple(name for name in AGGREGATE.attributes if name not in ("hosts", "metadata"))},
    statuses={"delete": 200},
)


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
        *crud_routes(_CRUD, "/v2.1/os-aggregates"),
        action_route(
            "/v2.1/os-aggregates/{id}/action",
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
