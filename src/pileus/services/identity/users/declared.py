"""The standard routes of users, declared, and finding the user that a path names."""

from __future__ import annotations

from collections.abc import Sequence

from pileus.core.errors import Forbidden
from pileus.resource.declaration import Values
from pileus.resource.rows import fetch
from pileus.services.identity.common.errors import UserNotFound
from pileus.services.identity.common.judging import in_tokens_domain, judging
from pileus.services.identity.standing.guard import standing_guard
from pileus.services.identity.tables.users import users
from pileus.services.identity.users.resource import USER, USER_FILTERS, user_target
from pileus.services.identity.users.work import user_create, user_delete, user_update
from pileus.store.tx import Tx
from pileus.web.crud import Crud
from pileus.web.request import Request

SIGNING_IN = frozenset({"password", "enabled", "options"})
"""Attributes that decide whether, and with which proof, a user logs in."""


class OtherDomain(Forbidden):
    """The user is of another domain than the token (403)."""

    message = "You are not authorized to perform the requested action: {rule}."


def require_own_domain(request: Request, user: Values) -> None:
    """Raise OtherDomain where the token is of a domain, and the user of another."""
    domain_id = request.context.domain_id
    if domain_id is not None and user["domain_id"] != domain_id:
        raise OtherDomain(rule=request.route.rule or USER.rule("update"))


_STANDING = standing_guard("user")


def _guard(tx: Tx, request: Request, action: str, originals: Sequence[Values]) -> None:
    """Refuse a change of those above the caller, and of how users of other domains log in."""
    _STANDING(tx, request, action, originals)
    if action == "update" and SIGNING_IN & request.json()[USER.name].keys():
        for original in originals:
            require_own_domain(request, original)


USERS = Crud(
    resource=USER,
    create=user_create,
    update=user_update,
    delete=user_delete,
    judge=judging(USER, user_target),
    guard=_guard,
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
