"""Roles: routes and rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement

from pileus.services.identity.common.judging import judging
from pileus.services.identity.common.policy import ADMIN, NOT_DOMAINS, READ, rules
from pileus.services.identity.roles.inferences import INFERENCE_ROUTES
from pileus.services.identity.roles.resource import ROLE, role_target
from pileus.services.identity.roles.work import role_create, role_delete, role_update
from pileus.services.identity.tables.roles import roles
from pileus.web.crud import Crud, crud_routes
from pileus.web.noun import Noun
from pileus.web.request import Request


def _rules(action: str, values: Mapping[str, Any]) -> tuple[str, ...]:
    """Roles of a domain have rules of their own."""
    return (f"identity:{action}_domain_role",) if values["domain_id"] is not None else (ROLE.rule(action),)


def _list_rule(request: Request) -> str:
    return "identity:list_roles" if request.parameter("domain_id") is None else "identity:list_domain_roles"


def _global_only(request: Request) -> Sequence[ColumnElement[bool]]:
    """A list is of global roles, unless it asks for those of a domain."""
    return (roles.c.domain_id.is_(None),) if request.parameter("domain_id") is None else ()


ROLES = Crud(
    resource=ROLE,
    create=role_create,
    update=role_update,
    delete=role_delete,
    judge=judging(ROLE, role_target, _rules),
    found_first=frozenset({"get", "update", "delete"}),
    list_rule=_list_rule,
    list_where=_global_only,
)

NOUN = Noun(
    name="role",
    routes=(*crud_routes(ROLES, "/v3/roles"), *INFERENCE_ROUTES),
    rules=(
        *rules(
            {
                "get_role": f"{READ} or (role:manager and rule:domain_managed_target_role)",
                "list_roles": f"{READ} or (role:manager and not domain_id:None)",
            }
        ),
        *rules(
            {
                "create_role": ADMIN,
                "update_role": ADMIN,
                "delete_role": ADMIN,
                "get_domain_role": READ,
                "list_domain_roles": READ,
                "create_domain_role": ADMIN,
                "update_domain_role": ADMIN,
                "delete_domain_role": ADMIN,
                "get_implied_role": READ,
                "list_implied_roles": READ,
                "list_role_inference_rules": READ,
                "check_implied_role": READ,
                "create_implied_role": ADMIN,
                "delete_implied_role": ADMIN,
            },
            NOT_DOMAINS,
        ),
    ),
)
