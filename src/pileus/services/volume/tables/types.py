"""Tables of volume types: their access, encryption, QoS specs, and the default types of projects."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Integer, String, Table

from pileus.store.schema import Id, JsonText, Moment, Name, metadata

volume_qos_specs = Table(
    "volume_qos_specs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Name, nullable=False, unique=True),
    Column("consumer", String(16), nullable=False),
    Column("specs", JsonText, nullable=False),
    Column("created_at", Moment, nullable=False),
)

volume_types = Table(
    "volume_types",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Name, nullable=False, unique=True),
    Column("description", Name),
    Column("is_public", Boolean, nullable=False),
    Column("extra_specs", JsonText, nullable=False),
    Column("qos_specs_id", Id, ForeignKey("volume_qos_specs.id")),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment),
)

volume_type_projects = Table(
    "volume_type_projects",
    metadata,
    Column("volume_type_id", Id, ForeignKey("volume_types.id", ondelete="CASCADE"), primary_key=True),
    Column("project_id", Id, primary_key=True),
)

volume_type_encryption = Table(
    "volume_type_encryption",
    metadata,
    Column("volume_type_id", Id, ForeignKey("volume_types.id", ondelete="CASCADE"), primary_key=True),
    Column("id", Id, nullable=False, unique=True),
    Column("provider", Name, nullable=False),
    Column("control_location", String(16), nullable=False),
    Column("cipher", Name),
    Column("key_size", Integer),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment),
)

volume_default_types = Table(
    "volume_default_types",
    metadata,
    Column("project_id", Id, primary_key=True),
    Column("volume_type_id", Id, ForeignKey("volume_types.id", ondelete="CASCADE"), nullable=False),
)
