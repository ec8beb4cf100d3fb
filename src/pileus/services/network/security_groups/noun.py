"""Security groups and their rules as a part of the API."""

from __future__ import annotations

import re

from pileus.resource.declaration import Extension
from pileus.services.network.common.policy import tag_rule_names, tag_rules
from pileus.services.network.security_groups import work
from pileus.services.network.security_groups.resource import RULES, SECURITY_GROUP, SECURITY_GROUP_RULE
from pileus.services.network.security_groups.work import GROUP_QUOTA, RULE_QUOTA
from pileus.web.crud import crud, list_handler
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route
from pileus.web.tags import tag_routes

GROUPS, GROUP_RULES = "/v2.0/security-groups", "/v2.0/security-group-rules"
EXTENSIONS = (
    Extension(
        "security-group", "security-group", "The security groups extension.", "2012-10-05T10:00:00-00:00"
    ),
    Extension(
        "stateful-security-group",
        "Stateful security group",
        "Indicates if the security group is stateful or not",
        "2019-11-26T09:00:00-00:00",
    ),
    Extension(
        "security-groups-normalized-cidr",
        "Normalized CIDR field for security group rules",
        "Add new field with normalized remote_ip_prefix cidr in SG rule",
        "2020-05-16T10:00:00-00:00",
    ),
    Extension(
        "security-groups-remote-address-group",
        "Remote address group id field for security group rules",
        "Add new field of remote address group id in SG rules",
        "2020-08-25T10:00:00-00:00",
    ),
    Extension(
        "security-groups-rules-belongs-to-default-sg",
        "Security group rule belongs to the project's default security group",
        "Flag to determine if the security group rule belongs to the project's default security group",
        "2023-05-23T10:00:00-00:00",
    ),
    Extension(
        "security-groups-shared-filtering",
        "Security group filtering on the shared field",
        "Support filtering security groups on the shared field",
        "2021-10-05T09:00:00-00:00",
    ),
)

_PROJECT_ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_list_groups = list_handler(SECURITY_GROUP)
_list_rules = list_handler(SECURITY_GROUP_RULE)


async def list_security_groups(request: Request) -> Reply:
    """List groups; a project has its default group when it looks for the first time."""
    await _ensure_default(request)
    return await _list_groups(request)


async def list_security_group_rules(request: Request) -> Reply:
    """List rules, those of the default group among them."""
    await _ensure_default(request)
    return await _list_rules(request)


async def _ensure_default(request: Request) -> None:
    """Make the caller's default group where there is none, or that of the project that an administrator
    asks for."""
    asked = [text for name, text in request.query if name in ("project_id", "tenant_id")]
    project_id = request.context.project_id
    if asked and request.context.is_admin:
        project_id = asked[0] if _PROJECT_ID.fullmatch(asked[0]) else None
    if project_id and not await request.read(work.default_group_exists, project_id):
        await request.write(work.ensure_default_group, request.context, project_id)


NOUN = Noun(
    name="security_group",
    routes=(
        Route(
            "GET",
            GROUPS,
            list_security_groups,
            resource=SECURITY_GROUP,
            action="list",
            rule="get_security_group",
            summary="List security group",
        ),
        *crud(
            SECURITY_GROUP,
            GROUPS,
            create=work.security_group_create,
            update=work.security_group_update,
            delete=work.security_group_delete,
            list_=False,
        ),
        *tag_routes(SECURITY_GROUP, GROUPS, rules=tag_rule_names("security_group")),
        Route(
            "GET",
            GROUP_RULES,
            list_security_group_rules,
            resource=SECURITY_GROUP_RULE,
            action="list",
            rule="get_security_group_rule",
            summary="List security group rule",
        ),
        *crud(
            SECURITY_GROUP_RULE,
            GROUP_RULES,
            create=work.security_group_rule_create,
            delete=work.security_group_rule_delete,
            list_=False,
        ),
    ),
    rules=(*RULES, *tag_rules("security_group")),
    quotas=(GROUP_QUOTA, RULE_QUOTA),
    extensions=EXTENSIONS,
)
