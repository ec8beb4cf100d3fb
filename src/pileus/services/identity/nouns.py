"""The nouns that have the five standard routes: what is declared, joined to what changes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.services.identity.catalog.endpoints import (
    ENDPOINT,
    endpoint_create,
    endpoint_delete,
    endpoint_target,
    endpoint_update,
)
from pileus.services.identity.catalog.regions import (
    REGION,
    region_create,
    region_delete,
    region_target,
    region_update,
)
from pileus.services.identity.catalog.services import (
    SERVICE,
    service_create,
    service_delete,
    service_target,
    service_update,
)
from pileus.services.identity.declared import Noun
from pileus.services.identity.groups import GROUP, group_create, group_target, group_update, groups
from pileus.services.identity.projects import (
    DOMAIN,
    PROJECT,
    TAG_FILTERS,
    domain_create,
    domain_target,
    domain_update,
    project_create,
    project_target,
    project_update,
    projects,
)
from pileus.services.identity.removal import (
    domain_delete,
    group_delete,
    project_delete,
    role_delete,
    user_delete,
)
from pileus.services.identity.roles import ROLE, role_create, role_target, role_update
from pileus.services.identity.standing import guarded
from pileus.services.identity.users import USER, USER_FILTERS, user_create, user_target, user_update, users


def _project_rules(action: str, values: Mapping[str, Any]) -> tuple[str, ...]:
    """A project that is a domain is made, changed and deleted by who may do so with domains."""
    own = PROJECT.rule(action)
    changes = action in ("create", "update", "delete")
    return (own, DOMAIN.rule(action)) if changes and values["is_domain"] else (own,)


def _role_rules(action: str, values: Mapping[str, Any]) -> tuple[str, ...]:
    """Roles of a domain have rules of their own."""
    return (f"identity:{action}_domain_role",) if values["domain_id"] is not None else (ROLE.rule(action),)


DOMAINS = Noun(
    resource=DOMAIN,
    target=domain_target,
    create=domain_create,
    update=domain_update,
    delete=domain_delete,
    columns={"target.domain.id": projects.c.id, "target.domain_id": projects.c.id},
    where=(projects.c.is_domain.is_(True),),
    home=projects.c.id,
    found_first=frozenset({"update", "delete"}),
)
PROJECTS = Noun(
    resource=PROJECT,
    target=project_target,
    create=project_create,
    update=project_update,
    delete=project_delete,
    columns={"target.domain_id": projects.c.domain_id, "target.project.domain_id": projects.c.domain_id},
    home=projects.c.domain_id,
    filters=TAG_FILTERS,
    may_change_nothing=True,
    asked=_project_rules,
)
USERS = Noun(
    resource=USER,
    target=user_target,
    create=user_create,
    update=guarded("user", user_update),
    delete=guarded("user", user_delete),
    columns={"target.domain_id": users.c.domain_id, "target.user.domain_id": users.c.domain_id},
    home=users.c.domain_id,
    filters=USER_FILTERS,
)
GROUPS = Noun(
    resource=GROUP,
    target=group_target,
    create=group_create,
    update=guarded("group", group_update),
    delete=guarded("group", group_delete),
    columns={"target.domain_id": groups.c.domain_id, "target.group.domain_id": groups.c.domain_id},
    home=groups.c.domain_id,
    found_first=frozenset({"delete"}),
)
ROLES = Noun(
    resource=ROLE,
    target=role_target,
    create=role_create,
    update=role_update,
    delete=role_delete,
    found_first=frozenset({"get", "update", "delete"}),
    asked=_role_rules,
)
REGIONS = Noun(
    resource=REGION, target=region_target, create=region_create, update=region_update, delete=region_delete
)
SERVICES = Noun(
    resource=SERVICE,
    target=service_target,
    create=service_create,
    update=service_update,
    delete=service_delete,
)
ENDPOINTS = Noun(
    resource=ENDPOINT,
    target=endpoint_target,
    create=endpoint_create,
    update=endpoint_update,
    delete=endpoint_delete,
)
