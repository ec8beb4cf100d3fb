"""The declarations of QoS policies and of their rules, below their policy and by alias."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, select

from pileus.core.context import Context
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource, Values
from pileus.resource.standard import STANDARD
from pileus.resource.wordings.neutron import NEUTRON
from pileus.services.network.common.attributes import ID, NAME, PROJECT, number
from pileus.services.network.common.policy import (
    ADMIN,
    ADMIN_OR_MANAGER,
    ADMIN_OR_READER,
    PARENT_OWNER_MANAGER,
    PARENT_OWNER_READER,
    any_of,
)
from pileus.services.network.common.policy import rules as as_rules
from pileus.services.network.qos.conflicts import RuleFacts, in_order
from pileus.services.network.qos.kinds import EGRESS, KINDS, MINIMUM_PACKET_RATE, PACKET_RATE_LIMIT, Kind
from pileus.services.network.qos.reading import QosPolicyNotFound, QosRuleNotFound
from pileus.services.network.qos.tables import policies, rules
from pileus.services.network.sharing.targets import QOS_POLICIES, seen_shared
from pileus.store.tx import Tx

_RULES_OF = select(rules).where(rules.c.qos_policy_id.in_(bindparam("ids", expanding=True)))
_OWNERS = select(policies.c.id, policies.c.project_id).where(
    policies.c.id.in_(bindparam("ids", expanding=True))
)


def rules_of(tx: Tx, policy_ids: Sequence[str]) -> dict[str, list[RuleFacts]]:
    """The rules of policies, in their order; one statement."""
    found: dict[str, list[RuleFacts]] = {}
    for row in tx.rows(_RULES_OF, {"ids": list(policy_ids)}):
        found.setdefault(row.qos_policy_id, []).append(
            RuleFacts(row.id, row.qos_policy_id, row.rule_type, row.direction, row.amount, row.burst)
        )
    return {policy_id: in_order(several) for policy_id, several in found.items()}


def _rules(tx: Tx, policy_ids: list[str]) -> dict[str, list[dict[str, Any]]]:
    return {key: [rule.view() for rule in several] for key, several in rules_of(tx, policy_ids).items()}


def _policy_targets(tx: Tx, context: Context, several: Sequence[Values]) -> list[Mapping[str, Any]]:
    """Rules with their policies' owner beside them, None for a policy that is not there: nobody's."""
    wanted = {one["policy_id"] for one in several}
    owners = {row.id: row.project_id for row in tx.rows(_OWNERS, {"ids": sorted(wanted)})}
    return [{**one, "ext_parent:project_id": owners.get(one["policy_id"])} for one in several]


POLICY = Resource(
    "policy",
    plural="policies",
    table=policies,
    wording=NEUTRON,
    not_found=QosPolicyNotFound,
    unknown_marker_ends=True,
    attributes=(
        ID,
        NAME,
        PROJECT,
        Attribute(
            "shared",
            types.boolean,
            seen=seen_shared(QOS_POLICIES),
            default=False,
            create=True,
            update=True,
            policy=True,
            policy_get=False,
            filter=True,
        ),
        Attribute("is_default", types.boolean, default=False, create=True, update=True, filter=True),
        Attribute("rules", types.anything, loader=_rules, empty=()),
        *STANDARD,
    ),
)


def _attributes(kind: Kind, *, made: bool) -> tuple[Attribute, ...]:
    """The attributes of a rule; ``made``: rules are made under this name too."""
    burst = Attribute("burst", number(0), default=0, visible=False)
    if kind.burst:
        burst = Attribute(
            kind.burst,
            number(0),
            column=rules.c.burst,
            default=0,
            create=made,
            update=True,
            filter=True,
            sort=True,
        )
    direction = Attribute("direction", types.string(8), default="", visible=False)
    if kind.directions:
        direction = Attribute(
            "direction",
            kind.direction_type,
            default=EGRESS,
            create=made,
            update=True,
            filter=True,
            sort=True,
            description="``egress``: what the guest sends.",
        )
    return (
        ID,
        Attribute("policy_id", types.uuid, column=rules.c.qos_policy_id, visible=False),
        Attribute("rule_type", types.string(32), default=kind.name, visible=False),
        Attribute(
            kind.amount,
            kind.amount_type,
            column=rules.c.amount,
            create=made,
            update=True,
            required=made,
            filter=True,
            sort=True,
        ),
        burst,
        direction,
    )


def _rule(kind: Kind) -> Resource:
    return Resource(
        kind.rule,
        table=rules,
        source=rules.join(policies, policies.c.id == rules.c.qos_policy_id),
        wording=NEUTRON,
        bulk=False,
        not_found=QosRuleNotFound,
        rules={
            "create": f"create_policy_{kind.rule}",
            "get": f"get_policy_{kind.rule}",
            "list": f"get_policy_{kind.rule}",
            "update": f"update_policy_{kind.rule}",
            "delete": f"delete_policy_{kind.rule}",
        },
        parents={"policy_id": POLICY},
        targets=_policy_targets,
        policy_columns={"ext_parent:project_id": policies.c.project_id},
        attributes=_attributes(kind, made=True),
    )


def _alias(kind: Kind) -> Resource:
    """The same rule without the way through its policy: it is shown, changed and deleted, not made."""
    return Resource(
        f"alias_{kind.rule}",
        table=rules,
        source=rules.join(policies, policies.c.id == rules.c.qos_policy_id),
        wording=NEUTRON,
        bulk=False,
        not_found=QosRuleNotFound,
        targets=_policy_targets,
        policy_columns={"ext_parent:project_id": policies.c.project_id},
        attributes=_attributes(kind, made=False),
    )


RULES_BY_KIND = {kind: _rule(kind) for kind in KINDS}
ALIASES = {kind: _alias(kind) for kind in KINDS if kind is not PACKET_RATE_LIMIT}
"""Neutron has no alias for packet rate limits."""

_PARENT_READER = any_of(ADMIN, PARENT_OWNER_READER)
_PARENT_MANAGER = any_of(ADMIN, PARENT_OWNER_MANAGER)


def _alias_check(verb: str, kind: Kind) -> str:
    if kind is MINIMUM_PACKET_RATE:
        return f"rule:{verb}_policy_{kind.rule}"
    return _PARENT_READER if verb == "get" else _PARENT_MANAGER


RULES = as_rules(
    {
        "get_policy": any_of(ADMIN_OR_READER, "rule:shared_qos_policy"),
        "create_policy": ADMIN_OR_MANAGER,
        "create_policy:shared": ADMIN,
        "update_policy": ADMIN_OR_MANAGER,
        "update_policy:shared": ADMIN,
        "delete_policy": ADMIN_OR_MANAGER,
        "get_rule_type": "role:reader",
        **{f"get_policy_{kind.rule}": _PARENT_READER for kind in KINDS},
        **{
            f"{verb}_policy_{kind.rule}": _PARENT_MANAGER
            for kind in KINDS
            for verb in ("create", "update", "delete")
        },
        **{
            f"{verb}_alias_{kind.rule}": _alias_check(verb, kind)
            for kind in ALIASES
            for verb in ("get", "update", "delete")
        },
    }
)
