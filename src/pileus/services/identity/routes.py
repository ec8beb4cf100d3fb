"""Every path and verb of identity. Paths are below the service's prefix (``/identity``)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from pileus.resource.declaration import Resource
from pileus.services.identity import handlers as h
from pileus.services.identity.assignments import assignments_list
from pileus.services.identity.auth.ec2 import Ec2Handlers
from pileus.services.identity.auth.handlers import AuthHandlers
from pileus.services.identity.credentials.application import APPLICATION_CREDENTIAL
from pileus.services.identity.credentials.application_handlers import ApplicationCredentialHandlers
from pileus.services.identity.credentials.credential import CREDENTIAL
from pileus.services.identity.credentials.credential_handlers import CredentialHandlers
from pileus.services.identity.declared import noun_routes
from pileus.services.identity.hierarchy import project_get
from pileus.services.identity.nouns import (
    DOMAINS,
    ENDPOINTS,
    GROUPS,
    PROJECTS,
    REGIONS,
    ROLES,
    SERVICES,
    USERS,
)
from pileus.web.request import Handler
from pileus.web.routes import Route

_HEIRS = "/inherited_to_projects"


def routes(
    auth: AuthHandlers,
    passwords: h.PasswordHandlers,
    bound: ApplicationCredentialHandlers,
    kept: CredentialHandlers,
    ec2: Ec2Handlers,
) -> tuple[Route, ...]:
    """The routes, over the groups of handlers that have parts of their own."""
    people = dataclasses.replace(USERS, prepare=passwords.prepare)
    return (
        Route("POST", "/v3/auth/tokens", auth.issue, authenticated=False, status=201, summary="Log in"),
        Route("GET", "/v3/auth/tokens", auth.show, summary="Show a token"),
        Route("HEAD", "/v3/auth/tokens", auth.check, summary="Check a token"),
        Route("DELETE", "/v3/auth/tokens", auth.revoke, status=204, summary="Revoke a token"),
        Route("GET", "/v3/auth/catalog", auth.catalog, summary="Show the catalog"),
        Route("GET", "/v3/auth/projects", auth.projects, summary="List the caller's projects"),
        Route("GET", "/v3/auth/domains", auth.domains, summary="List the caller's domains"),
        Route("GET", "/v3/auth/system", auth.system, summary="List the caller's system scopes"),
        *noun_routes(DOMAINS),
        *_replaced(noun_routes(PROJECTS), {"list": h.projects_list, "get": project_get}),
        Route("GET", "/v3/projects/{id}/tags", h.tags_list, summary="List a project's tags"),
        Route("PUT", "/v3/projects/{id}/tags", h.tags_put, summary="Replace a project's tags"),
        Route("DELETE", "/v3/projects/{id}/tags", h.tags_delete, status=204, summary="Remove all tags"),
        Route("PUT", "/v3/projects/{id}/tags/{tag}", h.tag_put, status=201, summary="Tag a project"),
        Route("GET", "/v3/projects/{id}/tags/{tag}", h.tag_check, status=204, summary="Check a tag"),
        Route("DELETE", "/v3/projects/{id}/tags/{tag}", h.tag_delete, status=204, summary="Remove a tag"),
        *noun_routes(people),
        Route(
            "POST",
            "/v3/users/{id}/password",
            passwords.change,
            authenticated=False,
            status=204,
            summary="Change one's password",
        ),
        Route("GET", "/v3/users/{id}/projects", h.user_projects, summary="List a user's projects"),
        Route("GET", "/v3/users/{id}/groups", h.user_groups, summary="List a user's groups"),
        *_application_credential_routes(bound),
        *_credential_routes(kept),
        Route(
            "POST",
            "/v3/ec2tokens",
            ec2.validate,
            rule="identity:ec2tokens_validate",
            summary="Check an EC2 signature",
        ),
        *noun_routes(GROUPS),
        Route("GET", "/v3/groups/{id}/users", h.group_users, summary="List a group's users"),
        Route("PUT", "/v3/groups/{id}/users/{user_id}", h.member_put, status=204, summary="Add a member"),
        Route("GET", "/v3/groups/{id}/users/{user_id}", h.member_check, status=204, summary="Check a member"),
        Route(
            "DELETE", "/v3/groups/{id}/users/{user_id}", h.member_take, status=204, summary="Remove a member"
        ),
        *_replaced(noun_routes(ROLES), {"list": h.roles_list}),
        Route("GET", "/v3/roles/{id}/implies", h.inferences_of, summary="List what a role implies"),
        Route(
            "PUT", "/v3/roles/{id}/implies/{implied_id}", h.inference_put, status=201, summary="Imply a role"
        ),
        Route("GET", "/v3/roles/{id}/implies/{implied_id}", h.inference_get, summary="Show an implication"),
        Route(
            "HEAD",
            "/v3/roles/{id}/implies/{implied_id}",
            h.inference_check,
            status=204,
            summary="Check an implication",
        ),
        Route(
            "DELETE",
            "/v3/roles/{id}/implies/{implied_id}",
            h.inference_delete,
            status=204,
            summary="End an implication",
        ),
        Route("GET", "/v3/role_inferences", h.inferences_all, summary="List all implications"),
        *_grant_routes("/v3/projects/{id}/users", h.GrantHandlers("project", "user")),
        *_grant_routes("/v3/projects/{id}/groups", h.GrantHandlers("project", "group")),
        *_grant_routes("/v3/domains/{id}/users", h.GrantHandlers("domain", "user")),
        *_grant_routes("/v3/domains/{id}/groups", h.GrantHandlers("domain", "group")),
        *_grant_routes("/v3/system/users", h.GrantHandlers("system", "user")),
        *_grant_routes("/v3/system/groups", h.GrantHandlers("system", "group")),
        *_grant_routes(
            "/v3/OS-INHERIT/projects/{id}/users", h.GrantHandlers("project", "user", inherited=True), _HEIRS
        ),
        *_grant_routes(
            "/v3/OS-INHERIT/projects/{id}/groups", h.GrantHandlers("project", "group", inherited=True), _HEIRS
        ),
        *_grant_routes(
            "/v3/OS-INHERIT/domains/{id}/users", h.GrantHandlers("domain", "user", inherited=True), _HEIRS
        ),
        *_grant_routes(
            "/v3/OS-INHERIT/domains/{id}/groups", h.GrantHandlers("domain", "group", inherited=True), _HEIRS
        ),
        Route("GET", "/v3/role_assignments", assignments_list, summary="List role assignments"),
        *noun_routes(REGIONS),
        Route("PUT", "/v3/regions/{id}", h.region_put, status=201, summary="Create a region with an id"),
        *noun_routes(SERVICES),
        *_replaced(noun_routes(ENDPOINTS), {"create": h.endpoint_post, "update": h.endpoint_patch}),
    )


def _replaced(standard: Sequence[Route], others: dict[str, Handler]) -> Iterator[Route]:
    """Standard routes with other handlers by action."""
    for route in standard:
        other = others.get(route.action)
        yield dataclasses.replace(route, handler=other) if other is not None else route


def _route(
    resource: Resource, method: str, path: str, handler: Handler, action: str, status: int = 200
) -> Route:
    words = resource.name.replace("_", " ")
    return Route(
        method,
        path,
        handler,
        resource=resource,
        action=action,
        status=status,
        summary=f"{action.capitalize()} {words}",
        rule=resource.rule(action),
    )


def _application_credential_routes(bound: ApplicationCredentialHandlers) -> tuple[Route, ...]:
    every = "/v3/users/{id}/application_credentials"
    one = f"{every}/{{credential_id}}"
    return (
        _route(APPLICATION_CREDENTIAL, "GET", every, bound.list, "list"),
        _route(APPLICATION_CREDENTIAL, "POST", every, bound.create, "create", 201),
        _route(APPLICATION_CREDENTIAL, "GET", one, bound.get, "get"),
        _route(APPLICATION_CREDENTIAL, "DELETE", one, bound.delete, "delete", 204),
    )


def _credential_routes(kept: CredentialHandlers) -> tuple[Route, ...]:
    every, one = "/v3/credentials", "/v3/credentials/{id}"
    keys = "/v3/users/{id}/credentials/OS-EC2"
    key = f"{keys}/{{credential_id}}"
    rule = "identity:ec2_{}_credential".format
    return (
        _route(CREDENTIAL, "GET", every, kept.list, "list"),
        _route(CREDENTIAL, "POST", every, kept.create, "create", 201),
        _route(CREDENTIAL, "GET", one, kept.get, "get"),
        _route(CREDENTIAL, "PATCH", one, kept.update, "update"),
        _route(CREDENTIAL, "DELETE", one, kept.delete, "delete", 204),
        Route("GET", keys, kept.ec2_list, rule="identity:ec2_list_credentials", summary="List EC2 keys"),
        Route("POST", keys, kept.ec2_create, status=201, rule=rule("create"), summary="Create EC2 keys"),
        Route("GET", key, kept.ec2_get, rule=rule("get"), summary="Show EC2 keys"),
        Route("DELETE", key, kept.ec2_delete, status=204, rule=rule("delete"), summary="Delete EC2 keys"),
    )


def _grant_routes(path: str, grant: h.GrantHandlers, tail: str = "") -> tuple[Route, ...]:
    every = f"{path}/{{actor_id}}/roles"
    one = f"{every}/{{role_id}}{tail}"
    return (
        Route("GET", every + tail, grant.list, summary="List the roles granted"),
        Route("PUT", one, grant.put, status=204, summary="Grant a role"),
        Route("GET", one, grant.check, status=204, summary="Check a grant"),
        Route("DELETE", one, grant.delete, status=204, summary="Revoke a role"),
    )
