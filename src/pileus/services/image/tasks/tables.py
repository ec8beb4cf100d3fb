"""The table of tasks."""

from __future__ import annotations

from sqlalchemy import Column, Index, String, Table

from pileus.store.schema import Id, JsonText, LongText, Moment, Name, metadata

image_tasks = Table(
    "image_tasks",
    metadata,
    Column("id", Id, primary_key=True),
    Column("type", String(30), nullable=False),
    Column("status", String(20), nullable=False),
    Column("owner", Name, nullable=False),
    # No foreign key: a task tells of an image also after its end.
    Column("image_id", Id, index=True),
    Column("user_id", Name),
    Column("request_id", String(64)),
    Column("input", JsonText, nullable=False),
    Column("result", JsonText),
    Column("message", LongText, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Index("ix_image_tasks_expires_at", "expires_at"),
)
