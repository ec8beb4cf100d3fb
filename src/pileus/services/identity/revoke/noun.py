"""``/v3/OS-REVOKE/events``: which tokens ended before their time, as long as they would have lived.

Tokens are checked here at each request, so nothing of Pileus reads this; it is for services that keep what
they were told about a token, and ask now and then.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import bindparam, or_, select

from pileus.core.times import parse_time
from pileus.resource import types
from pileus.services.identity.common.errors import ValidationError
from pileus.services.identity.common.policy import NOT_DOMAINS, rules
from pileus.services.identity.common.replies import TEXT, listed, one_page_links, shape
from pileus.services.identity.tables.users import users
from pileus.services.identity.tokens.revocations import revocations
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

_TOKENS = select(revocations.c.audit_id, revocations.c.revoked_at).where(
    revocations.c.expires_at >= bindparam("now"), revocations.c.revoked_at >= bindparam("since")
)
_USERS = select(users.c.id, users.c.tokens_after).where(
    users.c.tokens_after >= bindparam("since"),
    or_(users.c.created_at.is_(None), users.c.tokens_after > users.c.created_at),
)


def events_read(tx: Tx, now: dt.datetime, since: dt.datetime) -> list[dict[str, Any]]:
    """The events since a moment, the oldest first: two statements."""
    of_tokens = [
        (row.revoked_at, {"audit_id": row.audit_id}) for row in tx.rows(_TOKENS, {"now": now, "since": since})
    ]
    of_users = [(row.tokens_after, {"user_id": row.id}) for row in tx.rows(_USERS, {"since": since})]
    ordered = sorted((*of_tokens, *of_users), key=lambda one: one[0])
    return [{**what, "issued_before": _time(at), "revoked_at": _time(at)} for at, what in ordered]


class RevocationHandlers:
    """The handler; no token lives longer than ``lifetime``."""

    def __init__(self, lifetime: dt.timedelta) -> None:
        self._lifetime = lifetime

    async def list(self, request: Request) -> Reply:
        """GET /v3/OS-REVOKE/events"""
        request.authorise("identity:list_revoke_events")
        now = request.context.now
        since, given = now - self._lifetime, request.parameter("since")
        if given:
            try:
                since = max(since, parse_time(given))
            except ValueError:
                raise ValidationError(f"invalidate date format {given}") from None
        found = await request.read(events_read, now, since)
        return Reply.json({"events": found, "links": one_page_links(request)})


def _time(moment: dt.datetime) -> str:
    return moment.isoformat(timespec="microseconds") + "Z"


_EVENT = shape({"issued_before": TEXT, "revoked_at": TEXT}, {"audit_id": TEXT, "user_id": TEXT})


def noun(handlers: RevocationHandlers) -> Noun:
    """Make the noun."""
    return Noun(
        name="revocation_event",
        routes=(
            Route(
                "GET",
                "/v3/OS-REVOKE/events",
                handlers.list,
                rule="identity:list_revoke_events",
                reply=listed("events", _EVENT),
                query={"since": types.string(None)},
                summary="List revocation events",
            ),
        ),
        rules=rules({"list_revoke_events": "rule:service_or_admin"}, NOT_DOMAINS),
    )
