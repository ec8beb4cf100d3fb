"""Trusts: one user lets another have some of his roles in a project.

A trust keeps the ids of its roles even where a role is deleted: it then gives nothing any more.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Integer, Table, UniqueConstraint

from pileus.store.schema import Id, JsonText, Moment, UserId, metadata

trusts = Table(
    "trusts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("trustor_user_id", UserId, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("trustee_user_id", UserId, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("project_id", Id, ForeignKey("projects.id", ondelete="CASCADE"), index=True),
    Column("impersonation", Boolean, nullable=False),
    Column("expires_at", Moment),
    Column("remaining_uses", Integer),
    Column("redelegation_count", Integer, nullable=False),
    Column("redelegated_trust_id", Id, ForeignKey("trusts.id", ondelete="CASCADE"), index=True),
    Column("extra", JsonText),
    UniqueConstraint(
        "trustor_user_id",
        "trustee_user_id",
        "project_id",
        "impersonation",
        "expires_at",
        name="uq_trusts_alike",  # the name of all columns is longer than MariaDB takes
    ),
)

trust_roles = Table(
    "trust_roles",
    metadata,
    Column("trust_id", Id, ForeignKey("trusts.id", ondelete="CASCADE"), primary_key=True),
    Column("role_id", Id, primary_key=True),
)
