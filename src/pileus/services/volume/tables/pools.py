"""Tables of the services that answer for pools, of the pools, and of messages for users."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Index, Integer, String, Table, UniqueConstraint

from pileus.services.volume.tables.volumes import PoolHost
from pileus.store.schema import BigInt, Id, JsonText, LongText, Moment, Name, metadata

volume_services = Table(
    "volume_services",
    metadata,
    Column("id", Id, primary_key=True),
    Column("host", PoolHost, nullable=False),
    Column("binary", String(64), nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("disabled_reason", Name),
    Column("frozen", Boolean, nullable=False),
    Column("reported_at", Moment, nullable=False),
    Column("created_at", Moment, nullable=False),
    UniqueConstraint("host", "binary"),
)

volume_pools = Table(
    "volume_pools",
    metadata,
    Column("node", Name, primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("driver", String(64), nullable=False),
    Column("backend_name", Name, nullable=False),
    Column("protocol", String(64), nullable=False),
    Column("total_bytes", BigInt, nullable=False),
    Column("free_bytes", BigInt, nullable=False),
    Column("thin", Boolean, nullable=False),
    Column("over_subscription_ratio", Float, nullable=False),
    Column("reserved_percentage", Integer, nullable=False),
    Column("multiattach", Boolean, nullable=False),
    Column("backups", Boolean, nullable=False),
    Column("backup_place", String(64), nullable=False, server_default=""),
    Column("shared", String(64), nullable=False),
    Column("availability_zone", Name, nullable=False),
    Column("disk_formats", JsonText, nullable=False),
    Column("capabilities", JsonText, nullable=False),
    Column("error", LongText),
    Column("updated_at", Moment, nullable=False),
)

volume_messages = Table(
    "volume_messages",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False),
    Column("request_id", String(64)),
    Column("resource_type", String(64), nullable=False),
    Column("resource_uuid", Id),
    Column("event_id", Name, nullable=False),
    Column("user_message", LongText, nullable=False),
    Column("message_level", String(16), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("guaranteed_until", Moment, nullable=False),
    Index("ix_volume_messages_project", "project_id", "created_at"),
)
