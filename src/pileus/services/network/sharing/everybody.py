"""Policies for everybody that come and go by a field of the thing itself: ``shared``, ``router:external``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import bindparam, delete

from pileus.core.context import Context
from pileus.resource.declaration import Update, Values
from pileus.services.network.common.derived_ids import derived_id
from pileus.services.network.sharing.tables import rbac_policies
from pileus.services.network.sharing.targets import EVERYBODY, SHARED, Kind
from pileus.services.network.sharing.uses import refuse_stranded, stranded
from pileus.store.tx import Tx

_IDS: Any = bindparam("ids", expanding=True)
_FOR_EVERYBODY = delete(rbac_policies).where(
    rbac_policies.c.object_id.in_(_IDS),
    rbac_policies.c.action == bindparam("act"),
    rbac_policies.c.target_project == EVERYBODY,
)
_FOR_ANYBODY = delete(rbac_policies).where(
    rbac_policies.c.object_id.in_(_IDS), rbac_policies.c.action == bindparam("act")
)


def grant_everybody(
    tx: Tx, context: Context, kind: Kind, owners: Iterable[tuple[str, str]], action: str = SHARED
) -> None:
    """Write a policy for everybody for each object (``(id, project id)``), made or changed to be for all."""
    rows = [
        {
            "id": derived_id(context, object_id, action),
            "project_id": project_id,
            "object_type": kind.object_type,
            "object_id": object_id,
            "action": action,
            "target_project": EVERYBODY,
            kind.object_column: object_id,
        }
        for object_id, project_id in owners
    ]
    if rows:
        tx.insert(rbac_policies, rows)


def share_new(tx: Tx, context: Context, kind: Kind, specs: Sequence[Values]) -> None:
    """Write the policies of new objects that are shared from the beginning."""
    grant_everybody(tx, context, kind, [(one["id"], one["project_id"]) for one in specs if one["shared"]])


def share_changed(tx: Tx, context: Context, kind: Kind, updates: Sequence[Update]) -> None:
    """Write or take away the policies of objects whose ``shared`` changes; RbacPolicyInUse where others than
    the owner use one, and would not be let any more."""
    changed = [
        one
        for one in updates
        if "shared" in one.changes and bool(one.changes["shared"]) != one.original["shared"]
    ]
    gone = [one.original for one in changed if not one.changes["shared"]]
    for one in gone:
        refuse_stranded(one["id"], stranded(tx, kind, SHARED, one["id"], one["project_id"], EVERYBODY))
    revoke_everybody(tx, [one["id"] for one in gone])
    new = [one.original for one in changed if one.changes["shared"]]
    grant_everybody(tx, context, kind, [(one["id"], one["project_id"]) for one in new])


def revoke_everybody(tx: Tx, object_ids: Sequence[str], action: str = SHARED) -> None:
    """Delete the policies of objects that are for everybody."""
    if object_ids:
        tx.execute(_FOR_EVERYBODY, {"ids": list(object_ids), "act": action})


def revoke_anybody(tx: Tx, object_ids: Sequence[str], action: str) -> None:
    """Delete all policies of objects for an action."""
    if object_ids:
        tx.execute(_FOR_ANYBODY, {"ids": list(object_ids), "act": action})
