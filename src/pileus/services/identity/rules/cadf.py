"""Records of the audit log out of events, and their notifications: CADF, or Keystone's basic format. Pure.

Source: Keystone's "Event notifications"; DMTF DSP0262.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Any, Literal

import msgspec

Outcome = Literal["success", "failure"]
Format = Literal["cadf", "basic"]

AUTHENTICATE = "identity.authenticate"

_PAST = {
    "create": "created",
    "update": "updated",
    "delete": "deleted",
    "rotate": "rotated",
    "withdraw": "withdrawn",
}
_NAMES = {"grant": "role_assignment", "trust": "OS-TRUST:trust", "consumer": "OS-OAUTH1:consumer"}
_TAXONOMY = {
    "user": "data/security/account/user",
    "group": "data/security/group",
    "project": "data/security/project",
    "role": "data/security/role",
    "domain": "data/security/domain",
    "region": "data/security/region",
    "endpoint": "data/security/endpoint",
    "service": "data/security/service",
    "policy": "data/security/policy",
    "OS-TRUST:trust": "data/security/trust",
    "application_credential": "data/security/credential",
    "credential": "data/security/credential",
}
_USER = "service/security/account/user"


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the audit log."""

    id: str
    event_time: dt.datetime
    event_type: str
    action: str
    outcome: Outcome
    target_type: str
    target_id: str | None = None
    initiator_id: str | None = None
    initiator_name: str | None = None
    project_id: str | None = None
    address: str | None = None
    agent: str | None = None
    request_id: str | None = None
    reason: str | None = None
    details: dict[str, Any] | None = None


def record_of_change(
    record_id: str,
    kind: str,
    resource_id: str,
    at: dt.datetime,
    payload: Mapping[str, Any],
    *,
    user_id: str | None,
    user_name: str | None,
    request_id: str | None,
) -> Record:
    """The record of an event of this service, such as ``user.create``."""
    noun, _, verb = kind.partition(".")
    noun = _NAMES.get(noun, noun)
    operation = _PAST.get(verb, verb)
    if noun == "group" and "added" in payload:
        operation = "added_to"
    elif noun == "group" and "removed" in payload:
        operation = "removed_from"
    return Record(
        id=record_id,
        event_time=at,
        event_type=f"identity.{noun}.{operation}",
        action=f"{operation}.{noun}",
        outcome="success",
        target_type=noun,
        target_id=resource_id,
        initiator_id=user_id,
        initiator_name=user_name,
        request_id=request_id,
        details=dict(payload) or None,
    )


def wanted(record: Record, opt_out: Collection[str]) -> bool:
    """Whether nobody opted out of a notification, by the names that Keystone's setting has."""
    outcome = {"success": "success", "failure": "failed"}[record.outcome]
    return record.event_type not in opt_out and f"{record.event_type}.{outcome}" not in opt_out


def notification(record: Record, form: Format, observer: str) -> dict[str, Any]:
    """The payload of a record's notification. Log-ins are CADF in either format."""
    if form == "basic" and record.event_type != AUTHENTICATE:
        return {"resource_info": record.target_id}
    host = {"address": record.address, "agent": record.agent}
    initiator = {
        "typeURI": _USER,
        "id": record.initiator_id or "unknown",
        "user_id": record.initiator_id,
        "username": record.initiator_name,
        "project_id": record.project_id,
        "request_id": record.request_id,
        "host": {name: value for name, value in host.items() if value is not None},
    }
    target_type = _USER if record.event_type == AUTHENTICATE else _TAXONOMY.get(record.target_type, "unknown")
    payload: dict[str, Any] = {
        "typeURI": "http://schemas.dmtf.org/cloud/audit/1.0/event",
        "eventType": "activity",
        "id": record.id,
        "eventTime": record.event_time.isoformat(timespec="microseconds") + "+0000",
        "action": record.action,
        "outcome": record.outcome,
        "observer": {"typeURI": "service/security", "id": observer},
        "initiator": {name: value for name, value in initiator.items() if value is not None},
        "target": {"typeURI": target_type, "id": record.target_id or "unknown"},
    }
    if record.reason is not None:
        payload["reason"] = {"reasonCode": "401", "reasonType": record.reason}
    if record.event_type != AUTHENTICATE:
        payload["resource_info"] = record.target_id
    return payload
