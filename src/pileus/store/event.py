"""An event, and the tables that hold events: the ground that transactions and ``store.events`` stand on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec
from sqlalchemy import Column, Row, String, Table, UniqueConstraint

from pileus.store.schema import BigInt, BigSerial, Id, LongText, Moment, Name, metadata

NEWEST = "*"
PUBLISHED = "*published"
TRIMMED = "*trimmed"

events = Table(
    "events",
    metadata,
    Column("id", BigSerial, primary_key=True, autoincrement=True),
    Column("position", BigInt),
    Column("kind", String(64), nullable=False),
    Column("resource_type", String(64), nullable=False),
    Column("resource_id", Name, nullable=False, index=True),
    Column("project_id", Id),
    Column("request_id", String(64), index=True),
    Column("user_id", String(64)),
    Column("host", Name),
    Column("at", Moment, nullable=False),
    Column("payload", LongText, nullable=False),
    Column("scopes", LongText, nullable=False),
    UniqueConstraint("position"),
)

scope_positions = Table(
    "scope_positions",
    metadata,
    Column("scope", Name, primary_key=True),
    Column("position", BigInt, nullable=False),
)


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened. ``kind`` is ``port.create``; ``scopes`` say who should look again.

    ``at`` is naive UTC. ``resource_type`` is the part of ``kind`` before the dot unless given.
    ``position`` is 0 until the store has given one.
    """

    kind: str
    resource_id: str
    at: dt.datetime
    scopes: tuple[str, ...] = ()
    payload: dict[str, Any] = msgspec.field(default_factory=dict)
    resource_type: str = ""
    project_id: str | None = None
    request_id: str | None = None
    user_id: str | None = None
    host: str | None = None
    position: int = 0


class Published(msgspec.Struct, frozen=True):
    """Told to subscribers: all events up to ``position`` that they had not been told of, in order.

    No events but a new position means that the store can't tell any more (they were trimmed): compare.
    """

    position: int
    scopes: frozenset[str]
    events: tuple[Event, ...]


EventRow: TypeAlias = tuple[Event, dict[str, Any]]

_encode = msgspec.json.Encoder().encode
_decode_payload = msgspec.json.Decoder(dict[str, Any]).decode
_decode_scopes = msgspec.json.Decoder(tuple[str, ...]).decode


def event_row(event: Event) -> EventRow:
    """An event and its row, encoded at once so that what can't be encoded fails in the unit that emits it."""
    return event, {
        "position": None,
        "kind": event.kind,
        "resource_type": event.resource_type or event.kind.partition(".")[0],
        "resource_id": event.resource_id,
        "project_id": event.project_id,
        "request_id": event.request_id,
        "user_id": event.user_id,
        "host": event.host,
        "at": event.at,
        "payload": _encode(event.payload).decode(),
        "scopes": _encode(event.scopes).decode(),
    }


def asked_by(rows: list[EventRow], request_ids: Mapping[str, str]) -> None:
    """Note of events that several requests made together which of them asked, by the resource's id."""
    for number, (event, _) in enumerate(rows):
        request_id = request_ids.get(event.resource_id)
        if request_id is not None and request_id != event.request_id:
            rows[number] = event_row(msgspec.structs.replace(event, request_id=request_id))


def event_of(row: Row[Any]) -> Event:
    """The event that a row of ``events`` holds."""
    return Event(
        kind=row.kind,
        resource_id=row.resource_id,
        at=row.at,
        scopes=_decode_scopes(row.scopes),
        payload=_decode_payload(row.payload),
        resource_type=row.resource_type,
        project_id=row.project_id,
        request_id=row.request_id,
        user_id=row.user_id,
        host=row.host,
        position=row.position or 0,
    )
