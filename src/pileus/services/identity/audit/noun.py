"""``/v3/OS-PILEUS-AUDIT/events``: the audit log for its readers, newest first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement

from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.wordings.keystone import KEYSTONE
from pileus.services.identity.common.judging import judging
from pileus.services.identity.common.policy import NOT_DOMAINS, READ, rules
from pileus.services.identity.tables.audit import audit_log
from pileus.web.crud import Crud, crud_routes
from pileus.web.noun import Noun

PAGE = 1000
"""The length of a page where the request names none."""

_TEXT = types.nullable(types.string(255))

AUDIT_EVENT = Resource(
    "audit_event",
    plural="events",
    table=audit_log,
    wording=KEYSTONE,
    rules={"list": "identity:list_audit_events", "get": "identity:get_audit_event"},
    default_sort=(("event_time", True),),
    attributes=(
        Attribute("id", types.string(32), filter=True),
        Attribute("event_time", types.timestamp_micro, sort=True),
        *(
            Attribute(name, types.string(128), filter=True)
            for name in ("event_type", "action", "outcome", "target_type")
        ),
        *(
            Attribute(name, _TEXT, filter=True)
            for name in ("initiator_id", "initiator_name", "project_id", "address", "target_id", "request_id")
        ),
        Attribute("agent", _TEXT),
        Attribute("reason", _TEXT),
        Attribute("details", types.anything),
    ),
)


def _moment(compare: Callable[[ColumnElement[Any], Any], Any]) -> Callable[[Sequence[str]], Any]:
    def condition(texts: Sequence[str]) -> ColumnElement[bool]:
        found: ColumnElement[bool] = compare(audit_log.c.event_time, types.timestamp.query(texts[-1]))
        return found

    return condition


EVENTS = Crud(
    resource=AUDIT_EVENT,
    judge=judging(AUDIT_EVENT, lambda values: {}),
    filters={
        "since": _moment(lambda column, moment: column >= moment),
        "until": _moment(lambda column, moment: column < moment),
    },
    page=PAGE,
)

NOUN = Noun(
    name="audit_event",
    routes=crud_routes(EVENTS, "/v3/OS-PILEUS-AUDIT/events"),
    rules=rules({"list_audit_events": READ, "get_audit_event": READ}, NOT_DOMAINS),
)
