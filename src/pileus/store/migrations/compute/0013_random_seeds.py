"""Random seeds: what a guest's random generator begins with comes from a secret, not from the server's id."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

_servers = sa.table(
    "servers",
    sa.column("id", sa.String()),
    sa.column("random_seed", sa.String()),
    sa.column("deleted_at", sa.DateTime()),
)


def upgrade() -> None:
    """Go one revision up."""
    with op.batch_alter_table("servers") as batch_op:
        batch_op.add_column(sa.Column("random_seed", sa.String(length=64), nullable=True))
    connection = op.get_bind()
    alive = connection.execute(sa.select(_servers.c.id).where(_servers.c.deleted_at.is_(None))).fetchall()
    if alive:
        connection.execute(
            _servers.update()
            .where(_servers.c.id == sa.bindparam("key"))
            .values(random_seed=sa.bindparam("seed")),
            [{"key": row.id, "seed": secrets.token_hex(32)} for row in alive],
        )
