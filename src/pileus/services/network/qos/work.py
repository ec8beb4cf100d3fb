"""Units of work of QoS policies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pileus.core.context import Context
from pileus.core.errors import Conflict
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.resource.wordings.neutron import BadRequest
from pileus.services.network.qos.reading import default_policies
from pileus.services.network.qos.resource import POLICY
from pileus.services.network.qos.uses import QosPolicyInUse, refuse_used
from pileus.services.network.sharing.everybody import share_changed, share_new
from pileus.services.network.sharing.targets import QOS_POLICIES
from pileus.store.errors import Referenced
from pileus.store.event import Event
from pileus.store.tx import Tx


class QoSPolicyDefaultAlreadyExists(Conflict):
    message = "A default QoS policy exists for project {project_id}."


def policy_create(tx: Tx, context: Context, specs: Sequence[Values]) -> list[Values]:
    """Write new policies, without rules; QoSPolicyDefaultAlreadyExists for a project's second default."""
    if not all(spec["project_id"] for spec in specs):
        raise BadRequest(resource="QoS policy", msg='Must have "policy_id"')
    _one_default(tx, [spec for spec in specs if spec["is_default"]])
    POLICY.insert(tx, context, specs)
    share_new(tx, context, QOS_POLICIES, specs)
    tx.emit_many([_event(context, "qos_policy.create", spec) for spec in specs])
    return list(specs)


def policy_update(tx: Tx, context: Context, updates: Sequence[Update]) -> list[Values]:
    """Change policies' names and sharing, which no switch cares about."""
    _one_default(
        tx,
        [one.original for one in updates if one.changes.get("is_default") and not one.original["is_default"]],
    )
    share_changed(tx, context, QOS_POLICIES, updates)
    after = POLICY.change(tx, context, updates)
    tx.emit_many([_event(context, "qos_policy.update", one) for one in after])
    return after


def policy_delete(tx: Tx, context: Context, originals: Sequence[Values]) -> None:
    """Delete policies with their rules; QosPolicyInUse while anything has one."""
    ids = [policy["id"] for policy in originals]
    refuse_used(tx, ids)
    try:
        with tx.savepoint():
            POLICY.remove(tx, originals)
    except Referenced:
        raise QosPolicyInUse(policy_id=ids[0], object_type="port", object_id="") from None
    tx.emit_many([_event(context, "qos_policy.delete", one) for one in originals])


def _one_default(tx: Tx, new: Sequence[Values]) -> None:
    projects = Counter(policy["project_id"] for policy in new)
    if not projects:
        return
    tx.lock(*sorted(f"qos_default:{project_id}" for project_id in projects))
    taken = default_policies(tx, projects)
    for project_id, number in projects.items():
        if number > 1 or project_id in taken:
            raise QoSPolicyDefaultAlreadyExists(project_id=project_id)


def _event(context: Context, kind: str, policy: Values) -> Event:
    return event(context, kind, policy["id"], policy["project_id"], ())
