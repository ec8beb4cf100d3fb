"""The table of console tokens: who has one may use a console of one server, until a moment.

Of a token only its SHA-256 is kept: whoever reads the database can open no console.
"""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, String, Table

from pileus.store.schema import Id, Moment, metadata

console_tokens = Table(
    "console_tokens",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("server_id", Id, ForeignKey("servers.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("type", String(16), nullable=False),
    Column("user_id", String(64)),
    Column("ends_at", Moment, nullable=False, index=True),
)
