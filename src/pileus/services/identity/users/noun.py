"""Users: routes and rules."""

from __future__ import annotations

import dataclasses
import functools

from pileus.services.identity.common.policy import ADMIN, READ, domain_reader, rules
from pileus.services.identity.projects.declared import PROJECTS
from pileus.services.identity.projects.resource import PROJECT
from pileus.services.identity.standing.grants import targets_of
from pileus.services.identity.users.declared import USERS, find_user
from pileus.services.identity.users.passwords import HASH_BODY, PASSWORD_BODY, PasswordHandlers
from pileus.services.identity.users.work import user_create, user_update
from pileus.web.crud import Crud, crud_routes, list_reply
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Route

_OWN = "user_id:%(target.user.id)s"
_WRITE = f"{ADMIN} or (role:manager and token.domain.id:%(target.user.domain_id)s)"


async def list_projects(request: Request) -> Reply:
    """GET /v3/users/{id}/projects: those where the user has any role."""
    user = await find_user(request)
    return await list_reply(request, PROJECTS, [targets_of("project", user["id"])])


def _with_passwords(passwords: PasswordHandlers) -> Crud:
    """The declaration with what hashes passwords and the rules of the site."""
    return dataclasses.replace(
        USERS,
        prepare=passwords.prepare,
        create=functools.partial(user_create, compliance=passwords.compliance),
        update=functools.partial(user_update, compliance=passwords.compliance),
    )


def noun(passwords: PasswordHandlers) -> Noun:
    """Make the noun; ``passwords`` hash and check."""
    return Noun(
        name="user",
        routes=(
            *crud_routes(_with_passwords(passwords), "/v3/users"),
            Route(
                "POST",
                "/v3/users/{id}/password",
                passwords.change,
                authenticated=False,
                status=204,
                body=PASSWORD_BODY,
                summary="Change one's own password",
            ),
            Route(
                "PUT",
                "/v3/users/{id}/password_hash",
                passwords.take_over,
                status=204,
                body=HASH_BODY,
                reply=NO_BODY,
                rule="identity:import_password_hash",
                summary="Take over a password's hash from Keystone",
            ),
            Route(
                "GET",
                "/v3/users/{id}/projects",
                list_projects,
                resource=PROJECT,
                action="list",
                rule="identity:list_user_projects",
                summary="List the projects of a user",
            ),
        ),
        rules=rules(
            {
                "list_user_projects": f"{domain_reader('target.user.domain_id')} or {_OWN}",
                "get_user": (
                    f"{READ} or {_OWN} or (role:reader and token.domain.id:%(target.user.domain_id)s)"
                ),
                "list_users": domain_reader("target.domain_id"),
                "create_user": _WRITE,
                "update_user": _WRITE,
                "delete_user": _WRITE,
                "import_password_hash": ADMIN,
            }
        ),
    )
