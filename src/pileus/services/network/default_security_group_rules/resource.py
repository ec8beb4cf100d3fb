"""The declaration of default security group rules."""

from __future__ import annotations

from sqlalchemy import case

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.wordings.neutron import NEUTRON
from pileus.services.network.common.attributes import ID, TEXT
from pileus.services.network.common.policy import ADMIN, rules
from pileus.services.network.default_security_group_rules.tables import default_security_group_rules
from pileus.services.network.security_groups.resource import MATCHED
from pileus.services.network.security_groups.templates import PARENT


class DefaultSecurityGroupRuleNotFound(NotFound):
    message = "Default Security Group rule {id} does not exist"


_TABLE = default_security_group_rules.c

DEFAULT_SECURITY_GROUP_RULE = Resource(
    "default_security_group_rule",
    table=default_security_group_rules,
    wording=NEUTRON,
    bulk=False,
    not_found=DefaultSecurityGroupRuleNotFound,
    attributes=(
        ID,
        # Taken and not kept, as in Neutron: these rules are the cloud's.
        Attribute("project_id", types.string(255), alias="tenant_id", create=True, visible=False),
        *MATCHED,
        Attribute(
            "remote_group_id",
            types.nullable(types.string(36)),
            column=case((_TABLE.remote_is_parent, PARENT), else_=_TABLE.remote_to_group_id),
            default=None,
            create=True,
            filter=True,
            sort=True,
            description="PARENT stands for the group that the rule will be in.",
        ),
        Attribute(
            "remote_address_group_id",
            types.nullable(types.string(36)),
            default=None,
            create=True,
            filter=True,
            sort=True,
        ),
        Attribute("used_in_default_sg", types.boolean, default=False, create=True, filter=True),
        Attribute("used_in_non_default_sg", types.boolean, default=True, create=True, filter=True),
        Attribute("description", TEXT, default="", create=True, filter=True),
        Attribute("remote_is_parent", types.boolean, default=False, visible=False),
        Attribute("remote_to_group_id", types.nullable(types.uuid), default=None, visible=False),
        Attribute("digest", types.string(40), visible=False),
    ),
)

RULES = rules(
    {
        "create_default_security_group_rule": ADMIN,
        "get_default_security_group_rule": "role:reader",
        "delete_default_security_group_rule": ADMIN,
    }
)
