"""Bounded audit log."""

from __future__ import annotations

from alembic import op


def upgrade() -> None:
    """Go one revision up."""
    with op.batch_alter_table("audit_log", schema=None) as batch_op:
        batch_op.create_index("ix_audit_log_outcome_event_time", ["outcome", "event_time"], unique=False)
