"""The declarations of security groups and their rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, exists, select

from pileus.core.context import Context
from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource, Values
from pileus.resource.standard import STANDARD
from pileus.resource.types import Type
from pileus.resource.wordings.neutron import NEUTRON
from pileus.services.network.common.attributes import ID, PROJECT, TEXT
from pileus.services.network.common.errors import InUse
from pileus.services.network.common.policy import (
    ADMIN,
    ADMIN_MEMBER_OR_NETADMIN,
    ADMIN_OR_READER,
    SG_OWNER_MEMBER,
    SG_OWNER_NETADMIN,
    SG_OWNER_READER,
    any_of,
    rules,
)
from pileus.services.network.rules import security
from pileus.services.network.security_groups.membership import DEFAULT, SecurityGroupNotFound
from pileus.services.network.security_groups.tables import (
    default_security_groups,
    security_group_rules,
    security_groups,
)
from pileus.services.network.sharing.targets import SECURITY_GROUPS, seen_shared
from pileus.store.tx import Tx


class SecurityGroupDefaultAlreadyExists(InUse):
    message = "Default security group already exists."


class SecurityGroupRuleNotFound(NotFound):
    message = "Security group rule {id} does not exist"


_IN_DEFAULT_GROUP = exists().where(
    default_security_groups.c.security_group_id == security_group_rules.c.security_group_id
)
_RULES_OF = (
    select(security_group_rules, _IN_DEFAULT_GROUP.label("belongs_to_default_sg"))
    .where(security_group_rules.c.security_group_id.in_(bindparam("ids", expanding=True)))
    .order_by(security_group_rules.c.created_at, security_group_rules.c.id)
)
_OWNERS = (
    select(security_groups.c.id, security_groups.c.project_id, default_security_groups.c.security_group_id)
    .select_from(
        security_groups.outerjoin(
            default_security_groups, default_security_groups.c.security_group_id == security_groups.c.id
        )
    )
    .where(security_groups.c.id.in_(bindparam("ids", expanding=True)))
)
_HIDDEN = frozenset({"digest"})


def _read_by(name: str, parse: Callable[[Any], Any], schema: dict[str, Any]) -> Type:
    """Bodies and queries are read by the same function, as Neutron's converters are used for both."""
    return Type(name, parse, schema, accepts_none=True)


_ETHERTYPE = _read_by("ethertype", security.ethertype_of, {"enum": ["IPv4", "IPv6"]})
_PROTOCOL = _read_by("protocol", security.protocol_of, {"type": ["string", "integer", "null"]})
_PORT = _read_by("port", security.port_of, {"type": ["integer", "null"], "minimum": 0, "maximum": 65535})
_PREFIX = _read_by(
    "ip prefix",
    security.prefix_of,
    {"anyOf": [{"type": "string", "format": "address-or-cidr"}, {"type": "null"}]},
)


MATCHED = (
    Attribute(
        "direction", types.enum("ingress", "egress"), create=True, required=True, filter=True, sort=True
    ),
    Attribute("ethertype", _ETHERTYPE, default="IPv4", create=True, filter=True, sort=True),
    Attribute("protocol", _PROTOCOL, default=None, create=True, filter=True, sort=True),
    Attribute("port_range_min", _PORT, default=None, create=True, filter=True, sort=True),
    Attribute("port_range_max", _PORT, default=None, create=True, filter=True, sort=True),
    Attribute("remote_ip_prefix", _PREFIX, default=None, create=True, filter=True, sort=True),
)
"""The attributes of a rule that packets are compared with, apart from groups of addresses."""


def rule_view(row: Mapping[str, Any]) -> dict[str, Any]:
    """A rule as it stands inside its group."""
    view = {name: value for name, value in row.items() if name not in _HIDDEN}
    view["tenant_id"] = view["project_id"]
    for name in ("created_at", "updated_at"):
        view[name] = types.timestamp.show(view[name])  # type: ignore[misc]
    return view


def _rules(tx: Tx, group_ids: list[str]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in tx.rows(_RULES_OF, {"ids": group_ids}):
        found.setdefault(row.security_group_id, []).append(rule_view(row._asdict()))
    return found


def _group_targets(tx: Tx, context: Context, several: Sequence[Values]) -> list[Mapping[str, Any]]:
    """Rules with their groups' owner beside them, and whether those are default groups;
    SecurityGroupNotFound where a group does not exist."""
    wanted = {one["security_group_id"] for one in several}
    groups = {row.id: row for row in tx.rows(_OWNERS, {"ids": sorted(wanted)})}
    missing = wanted - groups.keys()
    if missing:
        raise SecurityGroupNotFound(id=min(missing))
    return [
        {
            **one,
            "security_group:project_id": groups[one["security_group_id"]].project_id,
            "belongs_to_default_sg": groups[one["security_group_id"]].security_group_id is not None,
        }
        for one in several
    ]


SECURITY_GROUP = Resource(
    "security_group",
    table=security_groups,
    wording=NEUTRON,
    not_found=SecurityGroupNotFound,
    attributes=(
        ID,
        Attribute("name", TEXT, default="", create=True, update=True, filter=True, sort=True),
        PROJECT,
        Attribute("stateful", types.boolean, default=True, create=True, update=True, filter=True),
        Attribute("shared", types.boolean, seen=seen_shared(SECURITY_GROUPS), default=False, filter=True),
        Attribute("security_group_rules", types.anything, loader=_rules, empty=()),
        *STANDARD,
    ),
)

SECURITY_GROUP_RULE = Resource(
    "security_group_rule",
    table=security_group_rules,
    source=security_group_rules.join(
        security_groups, security_groups.c.id == security_group_rules.c.security_group_id
    ),
    wording=NEUTRON,
    not_found=SecurityGroupRuleNotFound,
    parents={"security_group_id": SECURITY_GROUP},
    targets=_group_targets,
    policy_columns={"security_group:project_id": security_groups.c.project_id},
    attributes=(
        ID,
        PROJECT,
        Attribute("security_group_id", types.string(36), create=True, required=True, filter=True, sort=True),
        *MATCHED,
        Attribute("normalized_cidr", types.nullable(types.cidr), default=None, filter=True, sort=True),
        Attribute(
            "remote_group_id",
            # Any text, as the API has it: one that is no group's id is not found.
            types.nullable(types.string(36)),
            default=None,
            create=True,
            filter=True,
            sort=True,
        ),
        Attribute(
            "remote_address_group_id",
            types.nullable(types.string(36)),
            default=None,
            create=True,
            filter=True,
            sort=True,
        ),
        Attribute(
            "belongs_to_default_sg",
            types.boolean,
            column=_IN_DEFAULT_GROUP,
            default=False,
            filter=True,
            description="Whether its group is the default group of a project.",
        ),
        Attribute("digest", types.string(40), visible=False),
        *(one for one in STANDARD if one.name != "tags"),
    ),
)


def check_new_name(name: str) -> None:
    """SecurityGroupDefaultAlreadyExists for the name that belongs to the default group."""
    if name.lower() == DEFAULT:
        raise SecurityGroupDefaultAlreadyExists()


RULES = rules(
    {
        "create_security_group": ADMIN_MEMBER_OR_NETADMIN,
        "get_security_group": any_of(ADMIN_OR_READER, "rule:shared_security_group"),
        "update_security_group": ADMIN_MEMBER_OR_NETADMIN,
        "delete_security_group": ADMIN_MEMBER_OR_NETADMIN,
        "create_security_group_rule": any_of(ADMIN, SG_OWNER_MEMBER, SG_OWNER_NETADMIN),
        "get_security_group_rule": any_of(ADMIN, SG_OWNER_READER),
        "delete_security_group_rule": any_of(ADMIN, SG_OWNER_MEMBER, SG_OWNER_NETADMIN),
    }
)
