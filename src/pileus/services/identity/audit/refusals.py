"""Refused log-ins of nobody in particular: an hour's of one kind, from one place, are one line with a count.

Such an attempt costs whoever makes it next to nothing; a line for each would fill the log.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import bindparam, select

from pileus.services.identity.rules.cadf import Record
from pileus.services.identity.tables.audit import audit_log
from pileus.store.tx import Tx
from pileus.web.client import share_of

_WRITTEN = (
    select(audit_log.c.id, audit_log.c.details)
    .where(audit_log.c.id.in_(bindparam("ids", expanding=True)))
    .with_for_update()
)
_COUNT = audit_log.update().where(audit_log.c.id == bindparam("key")).values(details=bindparam("counted"))


def refusals_write(tx: Tx, refusals: Sequence[tuple[str, Record]]) -> None:
    """Write refused attempts, each with the route by which it came: three statements at most.

    A line keeps what its first attempt said; ``attempts`` and ``last_time`` are added with the second.
    """
    if not refusals:
        return
    tx.lock("audit")
    lines: dict[str, list[Record]] = {}
    for route, record in refusals:
        lines.setdefault(_line_of(route, record), []).append(record)
    before = {row.id: row.details for row in tx.rows(_WRITTEN, {"ids": sorted(lines)})}
    fresh = [
        {**msgspec.structs.asdict(several[0]), "id": key, "details": _details(None, several)}
        for key, several in lines.items()
        if key not in before
    ]
    if fresh:
        tx.insert(audit_log, fresh)
    if before:
        tx.execute(
            _COUNT, [{"key": key, "counted": _details(old, lines[key])} for key, old in before.items()]
        )


def _line_of(route: str, record: Record) -> str:
    """The id of the line that counts an attempt: of nothing that whoever sent it can choose freely."""
    hour = record.event_time.strftime("%Y-%m-%dT%H")
    parts = (route, record.reason, record.initiator_id, share_of(record.address or ""), hour)
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:32]


def _details(before: dict[str, Any] | None, several: Sequence[Record]) -> dict[str, Any]:
    first = before if before is not None else (several[0].details or {})
    count = len(several) + (first.get("attempts", 1) if before is not None else 0)
    if count == 1:
        return first
    last = max(one.event_time for one in several).isoformat(timespec="microseconds") + "Z"
    return {**first, "attempts": count, "last_time": last}
