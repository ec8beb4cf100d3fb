"""Units of work of QoS rules, whatever their kind: the policy's facts, then the check, then one write."""

from __future__ import annotations

from collections.abc import Sequence

from pileus.core.context import Context
from pileus.core.errors import NotFound
from pileus.resource.declaration import Resource, Update, Values
from pileus.resource.event import event
from pileus.services.network.common.revisions import touch
from pileus.services.network.qos.conflicts import RuleFacts, check_rule
from pileus.services.network.qos.kinds import Kind
from pileus.services.network.qos.reading import QosPolicyNotFound, QosRuleNotFound
from pileus.services.network.qos.resource import rules_of
from pileus.services.network.qos.tables import policies
from pileus.services.network.qos.uses import concerned, refuse_unsupported_rule
from pileus.store.errors import Duplicate, Referenced
from pileus.store.tx import Tx
from pileus.web.request import Request


def rule_create(
    tx: Tx, context: Context, specs: Sequence[Values], *, kind: Kind, resource: Resource
) -> list[Values]:
    """Write a policy's new rules. QoSRulesConflict, QoSRuleParameterConflict, QosRuleNotSupported."""
    _check(tx, context, kind, specs)
    try:
        with tx.savepoint():
            resource.insert(tx, context, specs)
    except Duplicate:  # somebody has just made one: what is there says which
        _check(tx, context, kind, specs)
        raise
    except Referenced:
        raise QosPolicyNotFound(policy_id=specs[0]["policy_id"]) from None
    tell(tx, context, {spec["policy_id"] for spec in specs})
    return list(specs)


def rule_update(
    tx: Tx, context: Context, updates: Sequence[Update], *, kind: Kind, resource: Resource
) -> list[Values]:
    """Change rules; whatever enforces them looks again."""
    _check(tx, context, kind, [Values({**one.original, **one.changes}) for one in updates])
    after = resource.change(tx, context, updates)
    tell(tx, context, {one["policy_id"] for one in after})
    return after


def rule_delete(tx: Tx, context: Context, originals: Sequence[Values], *, resource: Resource) -> None:
    """Delete rules."""
    policy_ids = {one["policy_id"] for one in originals}
    touch(tx, policies, policy_ids, context.now)
    resource.remove(tx, originals)
    tell(tx, context, policy_ids)


def tell(tx: Tx, context: Context, policy_ids: set[str]) -> None:
    """Emit an event for each policy; whatever enforces one looks again."""
    scopes = concerned(tx, policy_ids)
    tx.emit_many(
        [event(context, "qos_policy.update", policy_id, None, scopes) for policy_id in sorted(policy_ids)]
    )


def rule_missing(request: Request) -> NotFound:
    """The error of a rule that its policy does not have; by alias, of one that no policy has."""
    return QosRuleNotFound(policy_id=request.path.get("policy_id", ""), rule_id=request.path["id"])


def _check(tx: Tx, context: Context, kind: Kind, wanted: Sequence[Values]) -> None:
    """Count a change of the policies, which also keeps others from changing their rules meanwhile; then see
    whether the new rules go with those that are there, and with the ports that have the policies."""
    policy_ids = {one["policy_id"] for one in wanted}
    touch(tx, policies, policy_ids, context.now)
    there = rules_of(tx, sorted(policy_ids))
    for one in wanted:
        new = RuleFacts(
            one["id"],
            one["policy_id"],
            kind.name,
            one["direction"],
            one[kind.amount],
            one[kind.burst or "burst"],
        )
        check_rule(new, there.get(new.qos_policy_id, ()))
    refuse_unsupported_rule(tx, kind.name, policy_ids)
