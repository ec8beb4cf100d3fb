"""What other nouns ask of QoS policies."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import bindparam, select

from pileus.core.errors import NotFound
from pileus.services.network.qos.tables import policies
from pileus.store.tx import Tx


class QosPolicyNotFound(NotFound):
    message = "QoS policy {policy_id} could not be found."


_EXISTING = select(policies.c.id).where(policies.c.id.in_(bindparam("ids", expanding=True)))


def check_policies_exist(tx: Tx, policy_ids: Collection[str | None]) -> None:
    """QosPolicyNotFound where one of these (None apart) does not exist; no statement where none is named."""
    wanted = sorted(policy_id for policy_id in policy_ids if policy_id)
    if wanted:
        missing = set(wanted) - {row.id for row in tx.rows(_EXISTING, {"ids": wanted})}
        if missing:
            raise QosPolicyNotFound(policy_id=min(missing))
