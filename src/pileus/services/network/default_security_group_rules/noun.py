"""Default security group rules as a part of the API."""

from __future__ import annotations

from pileus.resource.declaration import Extension
from pileus.services.network.default_security_group_rules import work
from pileus.services.network.default_security_group_rules.resource import DEFAULT_SECURITY_GROUP_RULE, RULES
from pileus.web.crud import crud
from pileus.web.noun import Noun

NOUN = Noun(
    name="default_security_group_rule",
    routes=crud(
        DEFAULT_SECURITY_GROUP_RULE,
        "/v2.0/default-security-group-rules",
        create=work.default_rule_create,
        delete=work.default_rule_delete,
    ),
    rules=RULES,
    extensions=(
        Extension(
            "security-groups-default-rules",
            "Default rules for security groups",
            "Configure set of security group rules used as default rules for every new security group",
            "2022-12-19T10:00:00-00:00",
        ),
    ),
)
