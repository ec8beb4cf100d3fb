"""The declarations of QoS: today's policies and bandwidth limits, and seed 004's ``ovsqos``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, select

from pileus.core.context import Context
from pileus.core.errors import NotFound
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
    rules,
)
from pileus.services.network.qos.reading import QosPolicyNotFound
from pileus.services.network.qos.tables import bandwidth_limits, policies
from pileus.store.tx import Tx


class QosRuleNotFound(NotFound):
    message = "QoS rule {id} could not be found."


class OvsqosNotFound(NotFound):
    message = "QoS {id} could not be found."


_RULES_OF = select(bandwidth_limits).where(
    bandwidth_limits.c.qos_policy_id.in_(bindparam("ids", expanding=True))
)
_OWNERS = select(policies.c.id, policies.c.project_id).where(
    policies.c.id.in_(bindparam("ids", expanding=True))
)


def _rules(tx: Tx, policy_ids: list[str]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in tx.rows(_RULES_OF, {"ids": policy_ids}):
        found.setdefault(row.qos_policy_id, []).append({**row._mapping, "type": "bandwidth_limit"})
    return found


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

BANDWIDTH_LIMIT_RULE = Resource(
    "bandwidth_limit_rule",
    table=bandwidth_limits,
    source=bandwidth_limits.join(policies, policies.c.id == bandwidth_limits.c.qos_policy_id),
    wording=NEUTRON,
    bulk=False,
    not_found=QosRuleNotFound,
    rules={
        "create": "create_policy_bandwidth_limit_rule",
        "get": "get_policy_bandwidth_limit_rule",
        "list": "get_policy_bandwidth_limit_rule",
        "update": "update_policy_bandwidth_limit_rule",
        "delete": "delete_policy_bandwidth_limit_rule",
    },
    parents={"policy_id": POLICY},
    targets=_policy_targets,
    policy_columns={"ext_parent:project_id": policies.c.project_id},
    attributes=(
        ID,
        Attribute("policy_id", types.uuid, column=bandwidth_limits.c.qos_policy_id, visible=False),
        Attribute("max_kbps", number(0), create=True, update=True, required=True, filter=True, sort=True),
        Attribute("max_burst_kbps", number(0), default=0, create=True, update=True, filter=True, sort=True),
        Attribute(
            "direction",
            types.enum("egress"),
            default="egress",
            create=True,
            update=True,
            filter=True,
            sort=True,
            description="What the guest sends; the other way is not limited yet.",
        ),
    ),
)

# Seed 004's client, `quantum qos-create --name N --rate R --burst B`, speaks of one flat thing. Its commands
# add an "s" to the resource's name for paths and lists, hence ``ovsqoss``.
OVSQOS = Resource(
    "ovsqos",
    plural="ovsqoss",
    table=policies,
    source=policies.outerjoin(
        bandwidth_limits,
        (bandwidth_limits.c.qos_policy_id == policies.c.id) & (bandwidth_limits.c.direction == "egress"),
    ),
    wording=NEUTRON,
    not_found=OvsqosNotFound,
    rules={
        "create": "create_policy",
        "get": "get_policy",
        "list": "get_policy",
        "update": "update_policy",
        "delete": "delete_policy",
    },
    policy_columns={"shared": policies.c.shared},
    attributes=(
        ID,
        NAME,
        PROJECT,
        Attribute(
            "rate",
            number(0),
            column=bandwidth_limits.c.max_kbps,
            create=True,
            update=True,
            required=True,
            filter=True,
            description="Kilobits a second.",
        ),
        Attribute(
            "burst",
            number(0),
            column=bandwidth_limits.c.max_burst_kbps,
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

_PARENT_READER = any_of(ADMIN, PARENT_OWNER_READER)
_PARENT_MANAGER = any_of(ADMIN, PARENT_OWNER_MANAGER)

RULES = rules(
    {
        "get_policy": any_of(ADMIN_OR_READER, "rule:shared_qos_policy"),
        "create_policy": ADMIN_OR_MANAGER,
        "create_policy:shared": ADMIN,
        "update_policy": ADMIN_OR_MANAGER,
        "update_policy:shared": ADMIN,
        "delete_policy": ADMIN_OR_MANAGER,
        "get_policy_bandwidth_limit_rule": _PARENT_READER,
        "create_policy_bandwidth_limit_rule": _PARENT_MANAGER,
        "update_policy_bandwidth_limit_rule": _PARENT_MANAGER,
        "delete_policy_bandwidth_limit_rule": _PARENT_MANAGER,
        "get_rule_type": "role:reader",
    }
)
