"""QoS policies as other nouns need them: which may be used, and which is a project's default."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import bindparam, select

from pileus.core.context import Context
from pileus.core.errors import Forbidden, NotFound
from pileus.resource.declaration import Update
from pileus.services.network.qos.tables import policies
from pileus.services.network.sharing.targets import QOS_POLICIES, caller_of, shared_to
from pileus.store.tx import Tx


class QosPolicyNotFound(NotFound):
    message = "QoS policy {policy_id} could not be found."


class QosRuleNotFound(NotFound):
    message = "QoS rule {rule_id} for policy {policy_id} could not be found."

    def __init__(self, *, policy_id: str = "", rule_id: str = "", **named: str) -> None:
        super().__init__(policy_id=policy_id, rule_id=rule_id or named["id"])


class PolicyRemoveAuthorizationError(Forbidden):
    message = "Failed to remove provided policy {policy_id} because you are not authorized."


_EXISTING = select(
    policies.c.id, policies.c.project_id, shared_to(QOS_POLICIES, bindparam("caller")).label("shared")
).where(policies.c.id.in_(bindparam("ids", expanding=True)))
_DEFAULTS = select(policies.c.project_id, policies.c.id).where(
    policies.c.project_id.in_(bindparam("projects", expanding=True)), policies.c.is_default
)


def check_policies(tx: Tx, context: Context, policy_ids: Collection[str | None]) -> None:
    """QosPolicyNotFound where one of these (None apart) does not exist, or is another project's that is not
    shared; no statement where none is named."""
    wanted = {policy_id for policy_id in policy_ids if policy_id}
    missing = wanted - _usable(tx, context, wanted)
    if missing:
        raise QosPolicyNotFound(policy_id=min(missing))


def check_policy_changes(tx: Tx, context: Context, updates: Sequence[Update]) -> None:
    """The same for what is to have another policy from now on: PolicyRemoveAuthorizationError where the
    one that it has is not this caller's to take away."""
    check_policy_pairs(
        tx,
        context,
        [
            (one.original["qos_policy_id"], one.changes["qos_policy_id"])
            for one in updates
            if "qos_policy_id" in one.changes
            and one.changes["qos_policy_id"] != one.original["qos_policy_id"]
        ],
    )


def check_policy_pairs(tx: Tx, context: Context, pairs: Sequence[tuple[str | None, str | None]]) -> None:
    """The same for pairs of the old policy and the new."""
    usable = _usable(tx, context, {policy_id for pair in pairs for policy_id in pair if policy_id})
    for old, new in pairs:
        if old and old not in usable:
            raise PolicyRemoveAuthorizationError(policy_id=old)
        if new and new not in usable:
            raise QosPolicyNotFound(policy_id=new)


def default_policies(tx: Tx, project_ids: Collection[str]) -> dict[str, str]:
    """The policies that new networks of these projects have unless told otherwise."""
    rows = tx.rows(_DEFAULTS, {"projects": sorted(project_ids)}) if project_ids else []
    return {row.project_id: row.id for row in rows}


def _usable(tx: Tx, context: Context, policy_ids: Collection[str]) -> set[str]:
    if not policy_ids:
        return set()
    mighty = context.is_admin or context.is_service
    return {
        row.id
        for row in tx.rows(_EXISTING, {"ids": sorted(policy_ids), "caller": caller_of(context)})
        if mighty or row.shared or row.project_id == context.project_id
    }
