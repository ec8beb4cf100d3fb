"""Tables of what operators tell of resources, in Placement's words.

Hosts and their cards are providers without a row here: they are there because a node has told of them. A row
of ``placement_providers`` is what an operator has made (``derived`` False), or what he has changed of one of
those, whose name and parent are then not looked at. So are inventories: what an operator says of VCPU,
MEMORY_MB and DISK_GB of a host goes before the settings, but how much there is (``total``) says the node.

``placement_allocations`` is what consumers other than servers and migrations take; what those take is
promised by the rows of ``allocations`` and ``server_migrations``, where the scheduler counts it. Keys of
providers lead nowhere, since the providers of nodes have no rows.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Double, ForeignKey, Integer, Table

from pileus.store.schema import Id, Moment, Name, metadata

placement_providers = Table(
    "placement_providers",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Name, nullable=False, unique=True),
    Column("derived", Boolean, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("parent_id", Id),
    Column("root_id", Id, nullable=False, index=True),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
)

placement_inventories = Table(
    "placement_inventories",
    metadata,
    Column("provider_id", Id, primary_key=True),
    Column("resource_class", Name, primary_key=True),
    Column("total", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
    Column("min_unit", BigInteger, nullable=False),
    Column("max_unit", BigInteger, nullable=False),
    Column("step_size", BigInteger, nullable=False),
    Column("allocation_ratio", Double, nullable=False),
)

placement_classes = Table(
    "placement_classes",
    metadata,
    Column("name", Name, primary_key=True),
    Column("created_at", Moment, nullable=False),
)

placement_traits = Table(
    "placement_traits",
    metadata,
    Column("name", Name, primary_key=True),
    Column("created_at", Moment, nullable=False),
)

placement_provider_traits = Table(
    "placement_provider_traits",
    metadata,
    Column("provider_id", Id, primary_key=True),
    Column("trait", Name, primary_key=True),
)

placement_aggregates = Table(
    "placement_aggregates",
    metadata,
    Column("provider_id", Id, primary_key=True),
    Column("aggregate_id", Id, primary_key=True),
)

placement_consumers = Table(
    "placement_consumers",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Name, nullable=False, index=True),
    Column("user_id", Name, nullable=False),
    Column("kind", Name),
    Column("generation", Integer, nullable=False),
    Column("updated_at", Moment, nullable=False),
)

placement_allocations = Table(
    "placement_allocations",
    metadata,
    Column("consumer_id", Id, ForeignKey("placement_consumers.id", ondelete="CASCADE"), primary_key=True),
    Column("provider_id", Id, primary_key=True, index=True),
    Column("resource_class", Name, primary_key=True),
    Column("used", BigInteger, nullable=False),
)
