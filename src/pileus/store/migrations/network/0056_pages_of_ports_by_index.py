"""Pages of ports by index."""

from __future__ import annotations

from alembic import op


def upgrade() -> None:
    """Go one revision up."""
    with op.batch_alter_table("ports", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_ports_project_id"))
        batch_op.create_index("ix_ports_network_id_id", ["network_id", "id"], unique=False)
        batch_op.create_index("ix_ports_project_id_id", ["project_id", "id"], unique=False)
