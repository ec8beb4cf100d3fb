"""The audit log: who did what to what and when, with which outcome; and how far events were taken into it."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, String, Table

from pileus.store.schema import BigInt, JsonText, LongText, Moment, Name, metadata

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("event_time", Moment, nullable=False, index=True),
    Column("event_type", String(128), nullable=False),
    Column("action", String(128), nullable=False),
    Column("outcome", String(8), nullable=False),
    Column("initiator_id", String(64), index=True),
    Column("initiator_name", Name),
    Column("project_id", String(64)),
    Column("address", String(64)),
    Column("agent", Name),
    Column("target_type", String(64), nullable=False),
    Column("target_id", Name, index=True),
    Column("request_id", String(64), index=True),
    Column("reason", LongText),
    Column("details", JsonText),
    Index("ix_audit_log_outcome_event_time", "outcome", "event_time"),
)

audit_cursor = Table(
    "audit_cursor",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("position", BigInt, nullable=False),
)
