"""Units of work of the audit log: take events into it, write log-ins, forget what is old."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import bindparam, select

from pileus.core.ids import new_hex_id
from pileus.services.identity.audit.refusals import refusals_write
from pileus.services.identity.common.generation import SCOPE
from pileus.services.identity.rules.cadf import AUTHENTICATE, Outcome, Record, record_of_change
from pileus.services.identity.tables.audit import audit_cursor, audit_log
from pileus.services.identity.tables.credentials import application_credentials, credentials
from pileus.services.identity.tables.projects import projects
from pileus.services.identity.tables.users import users
from pileus.store.event import event_of, events
from pileus.store.events import newest_position
from pileus.store.tx import Tx
from pileus.store.upsert import upsert

BATCH = 500

_ONLY_ROW = 1
_CURSOR = select(audit_cursor.c.position).where(audit_cursor.c.id == _ONLY_ROW)
_EVENTS = (
    select(events)
    .where(
        events.c.position > bindparam("after"),
        events.c.position <= bindparam("up_to"),
        events.c.scopes.contains(f'"{SCOPE}"', autoescape=True),
    )
    .order_by(events.c.position)
    .limit(BATCH)
)
_NAMES = select(users.c.id, users.c.name).where(users.c.id.in_(bindparam("ids", expanding=True)))
_domains = projects.alias("domains")
_NAMED = (
    select(users.c.id, users.c.name, users.c.domain_id, _domains.c.name.label("domain_name"))
    .select_from(users.join(_domains, _domains.c.id == users.c.domain_id))
    .where(users.c.name.in_(bindparam("names", expanding=True)), users.c.origin == "")
)
_OWNERS = tuple(
    select(table.c.id, table.c.user_id).where(table.c.id.in_(bindparam("ids", expanding=True)))
    for table in (application_credentials, credentials)
)
_OLD = select(audit_log.c.id).where(audit_log.c.event_time <= bindparam("until")).limit(BATCH)
_REFUSED = audit_log.c.outcome == "failure"
_NEWEST_FIRST = (
    select(audit_log.c.event_time).order_by(audit_log.c.event_time.desc()).limit(1).offset(bindparam("count"))
)
_FORGET = audit_log.delete().where(audit_log.c.id.in_(bindparam("ids", expanding=True)))


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt to log in. Whom it was for is by id, or by name and the id or name of a domain, or by the id
    of the application credential or EC2 credential that was used."""

    at: dt.datetime
    outcome: Outcome
    methods: tuple[str, ...]
    address: str
    agent: str | None
    request_id: str | None
    user_id: str | None = None
    name: str | None = None
    domain_id: str | None = None
    domain_name: str | None = None
    credential_id: str | None = None
    project_id: str | None = None
    reason: str | None = None
    route: str = ""
    proved: bool = True
    """Whether a proof was looked at: a body that can't be read costs nothing to send again."""


class Bounds(msgspec.Struct, frozen=True):
    """How many lines are kept at most, and how many of them of refused log-ins."""

    events: int
    refused: int


def audit_collect(tx: Tx) -> tuple[list[Record], bool]:
    """Take the next events of this service into the log: the records, and whether there may be more.

    Of several servers each takes what none has taken yet.
    """
    tx.lock("audit")
    cursor = tx.scalar(_CURSOR) or 0
    up_to = newest_position(tx)
    if up_to <= cursor:
        return [], False
    found = [event_of(row) for row in tx.rows(_EVENTS, {"after": cursor, "up_to": up_to})]
    names = _names(tx, (one.user_id for one in found))
    records = [
        record_of_change(
            new_hex_id(),
            one.kind,
            one.resource_id,
            one.at,
            one.payload,
            user_id=one.user_id,
            user_name=names.get(one.user_id or ""),
            request_id=one.request_id,
        )
        for one in found
    ]
    more = len(found) == BATCH
    reached = found[-1].position if more else up_to
    _write(tx, records)
    tx.execute(upsert(tx.dialect, audit_cursor, ("position",)), {"id": _ONLY_ROW, "position": reached})
    return records, more


def audit_logins(tx: Tx, logins: Sequence[Login]) -> list[Record]:
    """Write log-ins. Only users who exist are named: a password typed as a name is not kept."""
    owners = _owners(tx, (one.credential_id for one in logins))
    by_id = _names(tx, (*(one.user_id for one in logins), *owners.values()))
    by_name = _named(tx, logins)
    records, single, repeatable = [], [], []
    for one in logins:
        user_id = (
            _known(by_id, one.user_id)
            or by_name.get((one.name, one.domain_id or one.domain_name))
            or _known(by_id, owners.get(one.credential_id or ""))
        )
        named = by_id.get(user_id or "") or (one.name if user_id else None)
        record = _record(one, user_id, named)
        records.append(record)
        if one.outcome == "failure" and (user_id is None or not one.proved):
            repeatable.append((one.route, record))
        else:
            single.append(record)
    _write(tx, single)
    refusals_write(tx, repeatable)
    return records


def _record(login: Login, user_id: str | None, name: str | None) -> Record:
    return Record(
        id=new_hex_id(),
        event_time=login.at,
        event_type=AUTHENTICATE,
        action="authenticate",
        outcome=login.outcome,
        target_type="user",
        target_id=user_id,
        initiator_id=user_id,
        initiator_name=name,
        project_id=login.project_id,
        address=login.address or None,
        agent=login.agent,
        request_id=login.request_id,
        reason=login.reason,
        details={"methods": list(login.methods)},
    )


def audit_trim(tx: Tx, before: dt.datetime, bounds: Bounds) -> int:
    """Delete a batch of what is older than a moment, or beyond the bounds; how many.

    Refused log-ins have a bound of their own, so that nobody drives changes out of the log with them.
    """
    until = tx.scalar(_NEWEST_FIRST, {"count": bounds.events}) or before
    ids = [row.id for row in tx.rows(_OLD, {"until": max(until, before)})]
    if not ids:
        beyond = tx.scalar(_NEWEST_FIRST.where(_REFUSED), {"count": bounds.refused})
        rows = [] if beyond is None else tx.rows(_OLD.where(_REFUSED), {"until": beyond})
        ids = [row.id for row in rows]
    if ids:
        tx.execute(_FORGET, {"ids": ids})
    return len(ids)


def _names(tx: Tx, ids: Iterable[str | None]) -> dict[str, str]:
    wanted = sorted({one for one in ids if one is not None})
    return {row.id: row.name for row in tx.rows(_NAMES, {"ids": wanted})} if wanted else {}


def _known(by_id: Mapping[str, str], user_id: str | None) -> str | None:
    return user_id if user_id in by_id else None


def _owners(tx: Tx, ids: Iterable[str | None]) -> dict[str, str]:
    """Whose these credentials are."""
    wanted = sorted({one for one in ids if one is not None})
    if not wanted:
        return {}
    return {row.id: row.user_id for find in _OWNERS for row in tx.rows(find, {"ids": wanted})}


def _named(tx: Tx, logins: Sequence[Login]) -> dict[tuple[str | None, str | None], str]:
    names = sorted({one.name for one in logins if one.name is not None})
    if not names:
        return {}
    rows: Sequence[Any] = tx.rows(_NAMED, {"names": names})
    return {
        **{(row.name, row.domain_name): row.id for row in rows},
        **{(row.name, row.domain_id): row.id for row in rows},
    }


def _write(tx: Tx, records: Sequence[Record]) -> None:
    if records:
        tx.insert(audit_log, [msgspec.structs.asdict(one) for one in records])
