"""Events as records of the audit log, and records as notifications."""

from __future__ import annotations

import datetime as dt

import pytest

from pileus.services.identity.rules.cadf import AUTHENTICATE, Record, notification, record_of_change, wanted

AT = dt.datetime(2026, 1, 2, 3, 4, 5)


def _record(kind: str, **payload: object) -> Record:
    return record_of_change(
        "r", kind, "thing", AT, payload, user_id="ann", user_name="Ann", request_id="req-1"
    )


@pytest.mark.parametrize(
    ("kind", "payload", "event_type", "action"),
    [
        ("user.create", {}, "identity.user.created", "created.user"),
        ("project.update", {}, "identity.project.updated", "updated.project"),
        ("role.delete", {}, "identity.role.deleted", "deleted.role"),
        ("grant.create", {}, "identity.role_assignment.created", "created.role_assignment"),
        ("group.update", {"added": "u"}, "identity.group.added_to", "added_to.group"),
        ("group.update", {"removed": "u"}, "identity.group.removed_from", "removed_from.group"),
        ("group.update", {"changed": ["name"]}, "identity.group.updated", "updated.group"),
        ("trust.create", {}, "identity.OS-TRUST:trust.created", "created.OS-TRUST:trust"),
        ("token_key.rotate", {}, "identity.token_key.rotated", "rotated.token_key"),
    ],
)
def test_events_have_keystones_types(kind, payload, event_type, action):
    record = _record(kind, **payload)
    assert (record.event_type, record.action, record.outcome) == (event_type, action, "success")


def test_a_change_as_cadf_and_basic():
    record = _record("user.create", name="Bob")
    assert notification(record, "basic", "identity") == {"resource_info": "thing"}
    assert notification(record, "cadf", "identity") == {
        "typeURI": "http://schemas.dmtf.org/cloud/audit/1.0/event",
        "eventType": "activity",
        "id": "r",
        "eventTime": "2026-01-02T03:04:05.000000+0000",
        "action": "created.user",
        "outcome": "success",
        "observer": {"typeURI": "service/security", "id": "identity"},
        "initiator": {
            "typeURI": "service/security/account/user", "id": "ann", "user_id": "ann", "username": "Ann",
            "request_id": "req-1", "host": {},
        },
        "target": {"typeURI": "data/security/account/user", "id": "thing"},
        "resource_info": "thing",
    }  # fmt: skip


def test_a_login_is_cadf_in_either_format_and_may_be_left_out():
    record = Record(
        id="r", event_time=AT, event_type=AUTHENTICATE, action="authenticate", outcome="failure",
        target_type="user", address="192.0.2.1", agent="curl", reason="Unauthorized",
    )  # fmt: skip
    for form in ("cadf", "basic"):
        payload = notification(record, form, "identity")
        assert payload["outcome"] == "failure" and payload["initiator"]["id"] == "unknown"
        assert payload["initiator"]["host"] == {"address": "192.0.2.1", "agent": "curl"}
        assert payload["reason"]["reasonType"] == "Unauthorized"
    assert wanted(record, ()) and wanted(record, ["identity.authenticate.success"])
    assert not wanted(record, ["identity.authenticate.failed"])
    assert not wanted(_record("user.create"), ["identity.user.created"])
