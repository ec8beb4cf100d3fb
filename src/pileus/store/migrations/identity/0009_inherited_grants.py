"""Grants that are inherited by the projects below."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

_KEY = ("actor_kind", "actor_id", "target_kind", "target_id", "role_id", "inherited")


def upgrade() -> None:
    """Go one revision up: the same role may be granted both ways, so the key holds the way."""
    with op.batch_alter_table("grants", schema=None) as batch_op:
        batch_op.add_column(sa.Column("inherited", sa.Boolean(), server_default=sa.false(), nullable=False))
    with op.batch_alter_table("grants", schema=None) as batch_op:
        batch_op.drop_constraint("pk_grants", type_="primary")
        batch_op.create_primary_key("pk_grants", list(_KEY))
