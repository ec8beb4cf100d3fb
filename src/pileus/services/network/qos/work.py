"""Units of work of QoS policies, their bandwidth limits, and their seed-004 face."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, select, update

from pileus.core.context import Context
from pileus.core.errors import Conflict
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.services.network.common.derived_ids import derived_id
from pileus.services.network.common.errors import InUse
from pileus.services.network.common.revisions import touch
from pileus.services.network.networks.tables import networks
from pileus.services.network.ports.tables import ports
from pileus.services.network.qos.reading import QosPolicyNotFound, default_policies
from pileus.services.network.qos.resource import BANDWIDTH_LIMIT_RULE, OVSQOS, POLICY
from pileus.services.network.qos.tables import bandwidth_limits, policies
from pileus.store.errors import Duplicate, Referenced
from pileus.store.tx import Tx
from pileus.wire import scopes


class QosPolicyInUse(InUse):
    message = "QoS Policy {policy_id} is used by {object_type} {object_id}."


class QosPolicyDefaultAlreadyExists(Conflict):
    message = "A default QoS policy exists for project {project_id}."


class QoSRulesConflict(Conflict):
    message = (
        "Rule {new_rule_type} conflicts with rule {rule_id} which already exists in QoS Policy {policy_id}."
    )


_PORTS_OF = select(ports.c.id, ports.c.host).where(
    ports.c.qos_policy_id.in_(bindparam("ids", expanding=True))
)
_NETWORKS_OF = select(networks.c.id).where(networks.c.qos_policy_id.in_(bindparam("ids", expanding=True)))
_SAME = select(bandwidth_limits.c.id).where(
    bandwidth_limits.c.qos_policy_id == bindparam("policy"), bandwidth_limits.c.direction == bindparam("way")
)
_SET_LIMIT = (
    update(bandwidth_limits)
    .where(bandwidth_limits.c.qos_policy_id == bindparam("policy"), bandwidth_limits.c.direction == "egress")
    .values(max_kbps=bindparam("rate"), max_burst_kbps=bindparam("burst"))
)


def policy_create(tx: Tx, context: Context, specs: Sequence[Values]) -> list[Values]:
    """Write new policies, without rules; QosPolicyDefaultAlreadyExists for a project's second default."""
    _one_default(tx, [spec for spec in specs if spec["is_default"]])
    POLICY.insert(tx, context, specs)
    tx.emit_many([_event(context, "qos_policy.create", spec["id"], spec["project_id"], ()) for spec in specs])
    return list(specs)


def policy_update(tx: Tx, context: Context, updates: Sequence[Update]) -> list[Values]:
    """Change policies' names and sharing, which no switch cares about."""
    _one_default(
        tx,
        [one.original for one in updates if one.changes.get("is_default") and not one.original["is_default"]],
    )
    after = POLICY.change(tx, context, updates)
    tx.emit_many([_event(context, "qos_policy.update", one["id"], one["project_id"], ()) for one in after])
    return after


def policy_delete(tx: Tx, context: Context, originals: Sequence[Values]) -> None:
    """Delete policies with their rules; QosPolicyInUse while a port or network has one."""
    ids = [policy["id"] for policy in originals]
    for kind, statement in (("port", _PORTS_OF), ("network", _NETWORKS_OF)):
        used = tx.first(statement.limit(1), {"ids": ids})
        if used is not None:
            raise QosPolicyInUse(policy_id=ids[0], object_type=kind, object_id=used.id)
    try:
        with tx.savepoint():
            POLICY.remove(tx, originals)
    except Referenced:
        raise QosPolicyInUse(policy_id=ids[0], object_type="port", object_id="") from None
    tx.emit_many(
        [_event(context, "qos_policy.delete", one["id"], one["project_id"], ()) for one in originals]
    )


def _one_default(tx: Tx, new: Sequence[Values]) -> None:
    projects = Counter(policy["project_id"] for policy in new)
    if not projects:
        return
    tx.lock(*sorted(f"qos_default:{project_id}" for project_id in projects))
    taken = default_policies(tx, projects)
    for project_id, number in projects.items():
        if number > 1 or project_id in taken:
            raise QosPolicyDefaultAlreadyExists(project_id=project_id)


def limit_create(tx: Tx, context: Context, specs: Sequence[Values]) -> list[Values]:
    """Write a policy's limit; QoSRulesConflict where it has one in that direction."""
    for spec in specs:
        try:
            with tx.savepoint():
                BANDWIDTH_LIMIT_RULE.insert(tx, context, [spec])
        except Duplicate:
            same = tx.first(_SAME, {"policy": spec["policy_id"], "way": spec["direction"]})
            raise QoSRulesConflict(
                new_rule_type="bandwidth_limit",
                rule_id=same.id if same else "unknown",
                policy_id=spec["policy_id"],
            ) from None
        except Referenced:
            raise QosPolicyNotFound(policy_id=spec["policy_id"]) from None
    _changed(tx, context, {spec["policy_id"] for spec in specs})
    return list(specs)


def limit_update(tx: Tx, context: Context, updates: Sequence[Update]) -> list[Values]:
    """Change limits; the hosts whose ports have them look again."""
    after = BANDWIDTH_LIMIT_RULE.change(tx, context, updates)
    _changed(tx, context, {one["policy_id"] for one in after})
    return after


def limit_delete(tx: Tx, context: Context, originals: Sequence[Values]) -> None:
    """Delete limits."""
    BANDWIDTH_LIMIT_RULE.remove(tx, originals)
    _changed(tx, context, {one["policy_id"] for one in originals})


def ovsqos_create(tx: Tx, context: Context, specs: Sequence[Values]) -> list[Values]:
    """Write policies with their one limit, as seed 004's client asks for them."""
    OVSQOS.insert(tx, context, specs)
    tx.insert(bandwidth_limits, [_limit_row(context, spec) for spec in specs])
    tx.emit_many([_event(context, "qos_policy.create", spec["id"], spec["project_id"], ()) for spec in specs])
    return list(specs)


def ovsqos_update(tx: Tx, context: Context, updates: Sequence[Update]) -> list[Values]:
    """Change name, rate or burst."""
    after = OVSQOS.change(tx, context, updates)
    for one, new in zip(updates, after, strict=True):
        if one.original["rate"] is None:
            # Made by today's face, and without a limit until now.
            tx.insert(bandwidth_limits, [_limit_row(context, new)])
        else:
            tx.execute(_SET_LIMIT, {"policy": new["id"], "rate": new["rate"], "burst": new["burst"] or 0})
    _tell(tx, context, {one["id"] for one in after})
    return after


def _limit_row(context: Context, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": derived_id(context, spec["id"], "egress"),
        "qos_policy_id": spec["id"],
        "direction": "egress",
        "max_kbps": spec["rate"],
        "max_burst_kbps": spec["burst"] or 0,
    }


def _changed(tx: Tx, context: Context, policy_ids: set[str]) -> None:
    """Other rules are a change of their policies."""
    touch(tx, policies, policy_ids, context.now)
    _tell(tx, context, policy_ids)


def _tell(tx: Tx, context: Context, policy_ids: set[str]) -> None:
    """Wake the hosts of ports that have these policies, by themselves or through their network."""
    ids = sorted(policy_ids)
    concerned = {scopes.host(row.host) for row in tx.rows(_PORTS_OF, {"ids": ids}) if row.host}
    concerned |= {scopes.network(row.id) for row in tx.rows(_NETWORKS_OF, {"ids": ids})}
    tx.emit_many([_event(context, "qos_policy.update", policy_id, None, concerned) for policy_id in ids])


def _event(
    context: Context, kind: str, policy_id: str, project_id: str | None, concerned: Sequence[str] | set[str]
) -> Any:
    return event(context, kind, policy_id, project_id, concerned)
