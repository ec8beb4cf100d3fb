"""The table of RBAC policies.

An object that everybody may use says so in a column of its own table too (``shared``, where it has one), so
that the usual question needs no other table; ``sharing`` and ``rbac_policies`` write both together.
"""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, String, Table, UniqueConstraint

from pileus.store.schema import Id, metadata


def _object(object_type: str, table: str) -> Column[str]:
    """A column that names the object once more, by which the policy goes with it."""
    return Column(f"{object_type}_id", Id, ForeignKey(f"{table}.id", ondelete="CASCADE"), index=True)


rbac_policies = Table(
    "rbac_policies",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False, index=True),
    Column("object_type", String(32), nullable=False),
    Column("object_id", Id, nullable=False),
    Column("action", String(32), nullable=False),
    Column("target_project", Id, nullable=False),
    _object("network", "networks"),
    _object("qos_policy", "qos_policies"),
    _object("security_group", "security_groups"),
    _object("subnetpool", "subnetpools"),
    _object("address_scope", "address_scopes"),
    _object("address_group", "address_groups"),
    UniqueConstraint("object_id", "action", "target_project"),
    Index("ix_rbac_policies_target_project_action", "target_project", "action"),
)
