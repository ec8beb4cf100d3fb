"""Tables of compute services, of what their hosts have, and of host aggregates.

``number`` is the id of old microversions. ``certificate`` is that by which a host's agent is known to other
hosts' agents.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Integer, String, Table, UniqueConstraint

from pileus.store.schema import BigInt, BigSerial, Id, JsonText, LongText, Moment, Name, metadata

compute_services = Table(
    "compute_services",
    metadata,
    Column("number", BigSerial, primary_key=True, autoincrement=True),
    Column("id", Id, nullable=False, unique=True),
    Column("host", Name, nullable=False),
    Column("binary", String(64), nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("disabled_reason", Name),
    Column("forced_down", Boolean, nullable=False),
    Column("reported_at", Moment, nullable=False),
    Column("created_at", Moment, nullable=False),
    UniqueConstraint("host", "binary"),
)

compute_nodes = Table(
    "compute_nodes",
    metadata,
    Column("number", BigSerial, primary_key=True, autoincrement=True),
    Column("id", Id, nullable=False, unique=True),
    Column("host", Name, nullable=False, unique=True),
    Column("hypervisor_hostname", Name, nullable=False),
    Column("hypervisor_type", String(64), nullable=False),
    Column("hypervisor_version", BigInt, nullable=False),
    Column("vcpus", Integer, nullable=False),
    Column("memory_mib", Integer, nullable=False),
    Column("disk_gib", Integer, nullable=False),
    Column("memory_used_mib", Integer, nullable=False),
    Column("disk_free_gib", Integer, nullable=False),
    Column("cpu_info", JsonText, nullable=False),
    Column("virtualisation", String(32), nullable=False),
    Column("availability_zone", Name, nullable=False),
    Column("booted_at", Name, nullable=False),
    Column("certificate", LongText),
    Column("updated_at", Moment, nullable=False),
)

aggregates = Table(
    "aggregates",
    metadata,
    Column("number", BigSerial, primary_key=True, autoincrement=True),
    Column("id", Id, nullable=False, unique=True),
    Column("name", Name, nullable=False, unique=True),
    Column("metadata", JsonText, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment),
)

aggregate_hosts = Table(
    "aggregate_hosts",
    metadata,
    Column("aggregate", BigInt, ForeignKey("aggregates.number", ondelete="CASCADE"), primary_key=True),
    Column("host", Name, primary_key=True, index=True),
)
