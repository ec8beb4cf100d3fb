"""The keys that servers of one database share: those of tokens, and those of what users keep here.

A key is sealed with one that is derived from the key file, which is on every server and in no database.
"""

from __future__ import annotations

from sqlalchemy import Column, String, Table, Text

from pileus.store.schema import Moment, metadata

shared_keys = Table(
    "shared_keys",
    metadata,
    Column("purpose", String(16), primary_key=True),
    Column("id", String(16), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("sealed", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("retired_at", Moment),
)
