"""The declaration of RBAC policies."""

from __future__ import annotations

import re
from typing import Any

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.types import BadValue, Type
from pileus.resource.wordings.neutron import NEUTRON
from pileus.services.network.common.attributes import ID, PROJECT
from pileus.services.network.common.policy import ADMIN, ADMIN_OR_MEMBER, ADMIN_OR_READER, any_of, rules
from pileus.services.network.sharing.tables import rbac_policies
from pileus.services.network.sharing.targets import BY_TYPE, EVERYBODY

_PROJECT_ID = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class RbacPolicyNotFound(NotFound):
    message = "RBAC policy of type unknown with ID {id} not found"


def _parse_type(value: Any) -> str:
    name = value.strip().lower() if isinstance(value, str) else value
    if not isinstance(name, str) or name not in BY_TYPE:
        raise BadValue(f"'{value}' is not a valid RBAC object type", value=value, conversion=True)
    return name


def _parse_target(value: Any) -> str:
    if value != EVERYBODY and not (isinstance(value, str) and _PROJECT_ID.fullmatch(value)):
        raise BadValue(
            f"'{value}' is not a valid target project ID; expected a UUID or '*'",
            value=value,
            conversion=True,
        )
    return str(value)


_TYPE = Type("object type", _parse_type, {"enum": [*BY_TYPE]}, query=str)
_TARGET = Type(
    "target project",
    _parse_target,
    {"type": "string", "anyOf": [{"const": EVERYBODY}, {"pattern": f"^({_PROJECT_ID.pattern})$"}]},
    query=str,
)

RBAC_POLICY = Resource(
    "rbac_policy",
    plural="rbac_policies",
    table=rbac_policies,
    wording=NEUTRON,
    not_found=RbacPolicyNotFound,
    attributes=(
        ID,
        PROJECT,
        Attribute("object_type", _TYPE, create=True, required=True, filter=True, sort=True),
        Attribute("object_id", types.uuid, create=True, required=True, filter=True, sort=True),
        Attribute(
            "target_tenant",
            _TARGET,
            column=rbac_policies.c.target_project,
            create=True,
            update=True,
            required=True,
            policy=True,
            policy_get=False,
            filter=True,
            sort=True,
        ),
        Attribute("action", types.string(255), create=True, required=True, filter=True, sort=True),
        *(Attribute(f"{name}_id", types.uuid, default=None, visible=False) for name in BY_TYPE),
    ),
)

_NOT_EVERYBODY = any_of(ADMIN, "not field:rbac_policy:target_tenant=*")

RULES = rules(
    {
        "create_rbac_policy": ADMIN_OR_MEMBER,
        "create_rbac_policy:target_tenant": _NOT_EVERYBODY,
        "get_rbac_policy": ADMIN_OR_READER,
        "update_rbac_policy": ADMIN_OR_MEMBER,
        "update_rbac_policy:target_tenant": _NOT_EVERYBODY,
        "delete_rbac_policy": ADMIN_OR_MEMBER,
    }
)
