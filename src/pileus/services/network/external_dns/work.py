"""Units of work of published names: what is to be done, and what has become of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, delete, select, update

from pileus.core.context import Context
from pileus.core.dns import DnsRecord
from pileus.resource.event import event
from pileus.services.network.config import NetworkConfig
from pileus.services.network.external_dns.desired import Key, Owner, desired_records
from pileus.services.network.external_dns.tables import dns_records
from pileus.store.event import Event
from pileus.store.tx import Tx

ACTIVE, PENDING, ERROR, DELETING = "ACTIVE", "PENDING", "ERROR", "DELETING"
MOST = 1000
"""Records of one round, each way."""
LONGEST_REASON = 255


class Round(NamedTuple):
    """News for the server outside. ``wanted``: records that must stay, whosever row goes."""

    add: dict[Key, Owner]
    remove: dict[Key, Owner]
    wanted: frozenset[DnsRecord]

    @property
    def added(self) -> set[DnsRecord]:
        return {record for record, _ in self.add}

    @property
    def removed(self) -> set[DnsRecord]:
        return {record for record, _ in self.remove} - self.wanted


class _Row(NamedTuple):
    """A row as this round sees it; ``tried_at`` where it has failed."""

    owner: Owner
    status: str
    tried_at: dt.datetime | None = None


_ALL = select(dns_records)
_IS = and_(
    dns_records.c.name == bindparam("of_name"),
    dns_records.c.record_type == bindparam("of_type"),
    dns_records.c.data == bindparam("of_data"),
    dns_records.c.resource_id == bindparam("of_resource"),
)
_SET = (
    update(dns_records)
    .where(_IS)
    .values(status=bindparam("now_status"), reason=bindparam("why"), updated_at=bindparam("now"))
)
_DELETE = delete(dns_records).where(_IS)


def records_compare(tx: Tx, context: Context, config: NetworkConfig, retry_s: float) -> Round:
    """Write which records are wanted and which no longer, and return what is due. What has failed is due
    again after ``retry_s`` seconds."""
    wanted = desired_records(tx, config)
    rows = {
        (DnsRecord(row.name, row.record_type, row.data), row.resource_id): _Row(
            Owner(row.resource_id, row.resource_type, row.project_id),
            row.status,
            row.updated_at if row.reason else None,
        )
        for row in tx.rows(_ALL)
    }
    new = {key: _Row(owner, PENDING) for key, owner in wanted.items() if key not in rows}
    tx.insert(dns_records, [_values(context, key, row) for key, row in new.items()])
    rows |= new
    for keys, status in (
        ([key for key, row in rows.items() if key not in wanted and row.status != DELETING], DELETING),
        ([key for key, row in rows.items() if key in wanted and row.status == DELETING], PENDING),
    ):
        _write(tx, context, keys, status)
        rows |= {key: _Row(rows[key].owner, status) for key in keys}
    since = context.now - dt.timedelta(seconds=retry_s)
    due = {key: row for key, row in rows.items() if row.tried_at is None or row.tried_at <= since}
    return Round(
        _some(due, (PENDING, ERROR)), _some(due, (DELETING,)), frozenset(record for record, _ in wanted)
    )


def records_settle(tx: Tx, context: Context, done: Round, refused: Mapping[DnsRecord, str]) -> None:
    """Write what has become of a round: records are ACTIVE, gone, or refused with a reason."""
    active = [key for key in done.add if key[0] not in refused]
    gone = [key for key in done.remove if key[0] not in refused]
    _write(tx, context, active, ACTIVE)
    if gone:
        tx.execute(_DELETE, [_where(key) for key in gone])
    events = _events(context, "dns_published", {key: done.add[key] for key in active}, {})
    for keys, status in ((done.add, ERROR), (done.remove, DELETING)):
        failed = {key: owner for key, owner in keys.items() if key[0] in refused}
        _write(tx, context, failed, status, refused)
        events += _events(context, "dns_failed", failed, refused)
    tx.emit_many(events)


def records_wait(tx: Tx, context: Context, waiting: Round, reason: str) -> None:
    """Write that the server gives no answer, which is why a round's records wait."""
    for keys, status in ((waiting.add, PENDING), (waiting.remove, DELETING)):
        _write(tx, context, keys, status, {record: reason for record, _ in keys})


def _some(due: Mapping[Key, _Row], statuses: Collection[str]) -> dict[Key, Owner]:
    found = [(key, row.owner) for key, row in due.items() if row.status in statuses]
    return dict(found[:MOST])


def _values(context: Context, key: Key, row: _Row) -> dict[str, Any]:
    record, resource_id = key
    return {
        "name": record.name,
        "record_type": record.kind,
        "data": record.data,
        "resource_id": resource_id,
        "resource_type": row.owner.resource_type,
        "project_id": row.owner.project_id,
        "status": row.status,
        "reason": None,
        "updated_at": context.now,
    }


def _where(key: Key) -> dict[str, Any]:
    record, resource_id = key
    return {
        "of_name": record.name,
        "of_type": record.kind,
        "of_data": record.data,
        "of_resource": resource_id,
    }


def _write(
    tx: Tx,
    context: Context,
    keys: Iterable[Key],
    status: str,
    reasons: Mapping[DnsRecord, str] | None = None,
) -> None:
    rows = [
        {
            **_where(key),
            "now_status": status,
            "why": reasons[key[0]][:LONGEST_REASON] if reasons else None,
            "now": context.now,
        }
        for key in keys
    ]
    if rows:
        tx.execute(_SET, rows)


def _events(
    context: Context, what: str, keys: Mapping[Key, Owner], reasons: Mapping[DnsRecord, str]
) -> list[Event]:
    return [
        event(
            context,
            f"{owner.resource_type}.{what}",
            owner.resource_id,
            owner.project_id,
            detail=f"{record.name} {record.kind} {record.data}",
            **({"reason": reasons[record]} if record in reasons else {}),
        )
        for (record, _), owner in keys.items()
    ]
