"""The options that a domain has of its own. Sensitive ones are sealed as credentials are."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, String, Table, UniqueConstraint

from pileus.store.schema import Id, JsonText, LongText, metadata

domain_options = Table(
    "domain_options",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("domain_id", Id, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("group_name", String(64), nullable=False),
    Column("option_name", String(64), nullable=False),
    Column("value", JsonText),
    Column("sealed", LongText),
    UniqueConstraint("domain_id", "group_name", "option_name"),
)
