"""The table of key pairs."""

from __future__ import annotations

from sqlalchemy import Column, String, Table, UniqueConstraint

from pileus.store.schema import BigSerial, LongText, Moment, Name, metadata

keypairs = Table(
    "keypairs",
    metadata,
    Column("id", BigSerial, primary_key=True, autoincrement=True),
    Column("user_id", String(64), nullable=False),
    Column("name", Name, nullable=False),
    Column("type", String(8), nullable=False),
    Column("fingerprint", Name, nullable=False),
    Column("public_key", LongText, nullable=False),
    Column("created_at", Moment, nullable=False),
    UniqueConstraint("user_id", "name"),
)
