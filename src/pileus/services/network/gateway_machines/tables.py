"""The table of gateway machines."""

from __future__ import annotations

from sqlalchemy import Column, Integer, String, Table

from pileus.store.schema import Id, Moment, metadata

# Which server a router is. The compute service keeps the rows, and they outlive their routers until the
# server is gone, so neither id refers to a row. ``failures`` counts machines that came to nothing since the
# last one that worked; none is made before ``try_at``; ``ailing_since``: the machine runs and does not work.
gateway_machines = Table(
    "gateway_machines",
    metadata,
    Column("router_id", Id, primary_key=True),
    Column("server_id", Id, unique=True),
    Column("failures", Integer, nullable=False),
    Column("reason", String(1024)),
    Column("try_at", Moment),
    Column("ailing_since", Moment),
    Column("created_at", Moment, nullable=False),
)
