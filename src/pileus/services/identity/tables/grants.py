"""Grants: a user or a group has a role on a project, on a domain, or on the system.

``target_id`` of the system is ``system``.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, String, Table, false

from pileus.store.schema import Id, UserId, metadata

grants = Table(
    "grants",
    metadata,
    Column("actor_kind", String(8), primary_key=True),
    Column("actor_id", UserId, primary_key=True),
    Column("target_kind", String(8), primary_key=True),
    Column("target_id", Id, primary_key=True, index=True),
    Column("role_id", Id, ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("inherited", Boolean, primary_key=True, server_default=false()),
)
