"""The standard routes of users, declared, and finding the user that a path names."""

from __future__ import annotations

from pileus.resource.declaration import Values
from pileus.resource.rows import fetch
from pileus.services.identity.common.errors import UserNotFound
from pileus.services.identity.common.judging import in_tokens_domain, judging
from pileus.services.identity.standing.guard import standing_guard
from pileus.services.identity.tables.users import users
from pileus.services.identity.users.resource import USER, USER_FILTERS, user_target
from pileus.services.identity.users.work import user_create, user_delete, user_update
from pileus.web.crud import Crud
from pileus.web.request import Request

USERS = Crud(
    resource=USER,
    create=user_create,
    update=user_update,
    delete=user_delete,
    judge=judging(USER, user_target),
    guard=standing_guard("user"),
    filters=USER_FILTERS,
    list_visible=in_tokens_domain(users.c.domain_id),
)


async def find_user(request: Request) -> Values:
    """The user of the path, after the rule of the route was asked. Raises Forbidden, then UserNotFound."""
    found = await request.read(fetch, USER, [request.path["id"]])
    rule = request.route.rule
    assert rule is not None
    request.authorise(rule, user_target(found[0] if found else None))
    if not found:
        raise UserNotFound(id=request.path["id"])
    return found[0]
