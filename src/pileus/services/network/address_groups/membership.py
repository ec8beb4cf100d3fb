"""Address groups as security group rules need them: which of them a caller may name."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import bindparam, select

from pileus.core.context import Context
from pileus.services.network.address_groups.resource import AddressGroupNotFound
from pileus.services.network.address_groups.tables import address_groups
from pileus.services.network.sharing.targets import ADDRESS_GROUPS, caller_of, shared_to
from pileus.store.tx import Tx

_EXISTING = select(
    address_groups.c.id,
    address_groups.c.project_id,
    shared_to(ADDRESS_GROUPS, bindparam("caller")).label("shared"),
).where(address_groups.c.id.in_(bindparam("ids", expanding=True)))


def check_address_groups(tx: Tx, context: Context, group_ids: Collection[str]) -> None:
    """AddressGroupNotFound where one does not exist or is another project's that is not shared
    (administrators see all)."""
    if not group_ids:
        return
    mine = {
        row.id
        for row in tx.rows(_EXISTING, {"ids": sorted(group_ids), "caller": caller_of(context)})
        if context.is_admin or row.shared or row.project_id == context.project_id
    }
    missing = set(group_ids) - mine
    if missing:
        raise AddressGroupNotFound(address_group_id=min(missing))
