"""Segments of networks."""

from __future__ import annotations

import uuid

import sqlalchemy as sa
from alembic import op

from pileus.store import schema

_KEYS = ("network_type", "physical_network", "segmentation_id", "network_id")
_before = sa.table("network_segments", *(sa.column(name) for name in _KEYS))
_networks = sa.table("networks", sa.column("id"), sa.column("created_at", schema.Moment()))
_after = sa.table(
    "segments",
    *(sa.column(name) for name in (*_KEYS, "id", "segment_index", "description", "revision_number")),
    sa.column("created_at", schema.Moment()),
    sa.column("updated_at", schema.Moment()),
)


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "segments",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("network_id", sa.String(length=36), nullable=False),
        sa.Column("network_type", sa.String(length=16), nullable=False),
        sa.Column("physical_network", sa.String(length=64), nullable=False),
        sa.Column("segmentation_id", sa.BigInteger(), nullable=False),
        sa.Column("segment_index", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("created_at", schema.Moment(), nullable=False),
        sa.Column("updated_at", schema.Moment(), nullable=False),
        sa.Column("revision_number", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["network_id"], ["networks.id"], name=op.f("fk_segments_network_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_segments")),
        sa.UniqueConstraint(
            "network_type", "physical_network", "segmentation_id", name="uq_segments_carrier"
        ),
    )
    with op.batch_alter_table("segments", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_segments_network_id"), ["network_id"], unique=False)

    _move()
    op.drop_table("network_segments")

    with op.batch_alter_table("networks", schema=None) as batch_op:
        batch_op.add_column(sa.Column("segments", schema.JsonText(), nullable=True))

    with op.batch_alter_table("subnets", schema=None) as batch_op:
        batch_op.add_column(sa.Column("segment_id", sa.String(length=36), nullable=True))
        batch_op.create_index(batch_op.f("ix_subnets_segment_id"), ["segment_id"], unique=False)
        batch_op.create_foreign_key(batch_op.f("fk_subnets_segment_id"), "segments", ["segment_id"], ["id"])


def _move() -> None:
    """Give each segment that is there an id of its own; it is the first of its network."""
    connection = op.get_bind()
    found = connection.execute(
        sa.select(*(_before.c[name] for name in _KEYS), _networks.c.created_at).join(
            _networks, _networks.c.id == _before.c.network_id
        )
    ).all()
    if found:
        connection.execute(
            _after.insert(),
            [
                {
                    **{name: row._mapping[name] for name in _KEYS},
                    "id": str(uuid.uuid4()),
                    "segment_index": 0,
                    "description": "",
                    "revision_number": 1,
                    "created_at": row.created_at,
                    "updated_at": row.created_at,
                }
                for row in found
            ],
        )
