"""Hardware addresses of hosts that route."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    """Go one revision up."""
    op.create_table(
        "dvr_host_macs",
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("mac_address", sa.String(length=17), nullable=False),
        sa.PrimaryKeyConstraint("host", name=op.f("pk_dvr_host_macs")),
        sa.UniqueConstraint("mac_address", name=op.f("uq_dvr_host_macs_mac_address")),
    )
