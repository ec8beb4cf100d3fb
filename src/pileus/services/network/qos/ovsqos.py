"""Seed 004's face of a policy: one flat thing with a rate and a burst.

Its client, ``quantum qos-create --name N --rate R --burst B``, adds an "s" to the resource's name for paths
and lists, hence ``ovsqoss``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import and_, bindparam, update

from pileus.core.context import Context
from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource, Update, Values
from pileus.resource.event import event
from pileus.resource.standard import STANDARD
from pileus.resource.wordings.neutron import NEUTRON
from pileus.services.network.common.attributes import ID, NAME, PROJECT, number
from pileus.services.network.common.derived_ids import derived_id
from pileus.services.network.qos.conflicts import RuleFacts, check_rule
from pileus.services.network.qos.kinds import BANDWIDTH_LIMIT, EGRESS
from pileus.services.network.qos.resource import rules_of
from pileus.services.network.qos.rule_work import tell
from pileus.services.network.qos.tables import policies, rules
from pileus.services.network.qos.uses import refuse_unsupported_rule
from pileus.services.network.sharing.targets import QOS_POLICIES, seen_shared
from pileus.store.tx import Tx


class OvsqosNotFound(NotFound):
    message = "QoS {id} could not be found."


_LIMIT = and_(rules.c.rule_type == BANDWIDTH_LIMIT.name, rules.c.direction == EGRESS)
_SET_LIMIT = (
    update(rules)
    .where(rules.c.qos_policy_id == bindparam("policy"), _LIMIT)
    .values(amount=bindparam("rate"), burst=bindparam("kilobits"))
)

OVSQOS = Resource(
    "ovsqos",
    plural="ovsqoss",
    table=policies,
    source=policies.outerjoin(rules, and_(rules.c.qos_policy_id == policies.c.id, _LIMIT)),
    wording=NEUTRON,
    not_found=OvsqosNotFound,
    rules={
        "create": "create_policy",
        "get": "get_policy",
        "list": "get_policy",
        "update": "update_policy",
        "delete": "delete_policy",
    },
    policy_columns={"shared": seen_shared(QOS_POLICIES)},
    attributes=(
        ID,
        NAME,
        PROJECT,
        Attribute(
            "rate",
            number(0),
            column=rules.c.amount,
            create=True,
            update=True,
            required=True,
            filter=True,
            description="Kilobits a second.",
        ),
        Attribute(
            "burst",
            number(0),
            column=rules.c.burst,
            default=0,
            create=True,
            update=True,
            filter=True,
            description="Kilobits; 0 leaves it to the switch.",
        ),
        *(
            Attribute(one.name, one.type, default=one.default, visible=False)
            for one in STANDARD
            if one.name != "tags"
        ),
        Attribute("shared", types.boolean, default=False, visible=False),
        Attribute("is_default", types.boolean, default=False, visible=False),
    ),
)


def ovsqos_create(tx: Tx, context: Context, specs: Sequence[Values]) -> list[Values]:
    """Write policies with their one limit."""
    OVSQOS.insert(tx, context, specs)
    tx.insert(rules, [_limit(context, spec)._asdict() for spec in specs])
    tx.emit_many([event(context, "qos_policy.create", spec["id"], spec["project_id"], ()) for spec in specs])
    return list(specs)


def ovsqos_update(tx: Tx, context: Context, updates: Sequence[Update]) -> list[Values]:
    """Change name, rate or burst."""
    after = OVSQOS.change(tx, context, updates)
    there = rules_of(tx, [one["id"] for one in after])
    for one, new in zip(updates, after, strict=True):
        if new["rate"] is None:  # made by today's face, and without a limit still
            continue
        limit = _limit(context, new)
        others = there.get(new["id"], [])
        check_rule(limit, [rule for rule in others if (rule.rule_type, rule.direction) != limit[2:4]])
        if one.original["rate"] is None:
            refuse_unsupported_rule(tx, limit.rule_type, [new["id"]])
            tx.insert(rules, [limit._asdict()])
        else:
            tx.execute(_SET_LIMIT, {"policy": new["id"], "rate": limit.amount, "kilobits": limit.burst})
    tell(tx, context, {one["id"] for one in after})
    return after


def _limit(context: Context, spec: Mapping[str, Any]) -> RuleFacts:
    return RuleFacts(
        derived_id(context, spec["id"], EGRESS),
        spec["id"],
        BANDWIDTH_LIMIT.name,
        EGRESS,
        spec["rate"],
        spec["burst"] or 0,
    )
