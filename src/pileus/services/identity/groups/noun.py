"""Groups and their members: routes and rules."""

from __future__ import annotations

from pileus.resource.rows import fetch
from pileus.services.identity.common.judging import in_tokens_domain, judging
from pileus.services.identity.common.pages import list_request, page_reply
from pileus.services.identity.common.policy import ADMIN, READ, domain_reader, rules
from pileus.services.identity.groups.members import (
    Membership,
    NotInGroup,
    groups_of_user,
    member_add,
    member_remove,
    membership_find,
)
from pileus.services.identity.groups.resource import GROUP, GROUP_OF_USER, group_target
from pileus.services.identity.groups.work import group_create, group_delete, group_update
from pileus.services.identity.standing.guard import require_standing, standing_guard
from pileus.services.identity.tables.groups import group_members, groups
from pileus.services.identity.tables.users import users
from pileus.services.identity.users.declared import USERS, find_user
from pileus.services.identity.users.resource import USER
from pileus.store.tx import Tx
from pileus.web.crud import Crud, crud_routes, list_reply
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Route

_groups_of_domain = in_tokens_domain(groups.c.domain_id)
_users_of_domain = in_tokens_domain(users.c.domain_id)

GROUPS = Crud(
    resource=GROUP,
    create=group_create,
    update=group_update,
    delete=group_delete,
    judge=judging(GROUP, group_target),
    guard=standing_guard("group"),
    found_first=frozenset({"delete"}),
    list_visible=_groups_of_domain,
)


async def list_groups_of_user(request: Request) -> Reply:
    """GET /v3/users/{id}/groups: with the end of memberships that an identity provider gave."""
    user = await find_user(request)
    listing = list_request(request, GROUP)
    where = [*listing.where, *_groups_of_domain(request)]
    found = await request.read(groups_of_user, request.context.now, user["id"], where)
    return page_reply(request, GROUP_OF_USER, listing, found)


async def list_members(request: Request) -> Reply:
    """GET /v3/groups/{id}/users"""
    found = await request.read(fetch, GROUP, [request.path["id"]])
    request.authorise("identity:list_users_in_group", group_target(found[0] if found else None))
    if not found:
        raise GROUP.not_found(request.path["id"])
    members = group_members.select().with_only_columns(group_members.c.user_id)
    inside = users.c.id.in_(members.where(group_members.c.group_id == found[0]["id"]))
    return await list_reply(request, USERS, [inside, *_users_of_domain(request)])


async def add_member(request: Request) -> Reply:
    """PUT /v3/groups/{id}/users/{user_id}"""
    found = await _membership(request)

    def unit(tx: Tx) -> None:
        require_standing(tx, request, found.actors)
        member_add(tx, request.context, found.group_id, found.user_id)

    await request.write(unit)
    return Reply.empty()


async def check_member(request: Request) -> Reply:
    """HEAD or GET /v3/groups/{id}/users/{user_id}"""
    found = await _membership(request)
    if not found.there:
        raise NotInGroup(user_id=found.user_id, group_id=found.group_id)
    return Reply.empty()


async def remove_member(request: Request) -> Reply:
    """DELETE /v3/groups/{id}/users/{user_id}"""
    found = await _membership(request)

    def unit(tx: Tx) -> None:
        require_standing(tx, request, found.actors)
        member_remove(tx, request.context, found.group_id, found.user_id)

    await request.write(unit)
    return Reply.empty()


async def _membership(request: Request) -> Membership:
    """The user and the group of the path. Raises Forbidden by the route's rule, then NotFound for either."""
    found = await request.read(membership_find, request.path["id"], request.path["user_id"])
    rule = request.route.rule
    assert rule is not None
    request.authorise(rule, found.target)
    found.require()
    return found


_MEMBER = "/v3/groups/{id}/users/{user_id}"
_WRITE = f"{ADMIN} or (role:manager and domain_id:%(target.group.domain_id)s)"
_BOTH = "domain_id:%(target.group.domain_id)s and domain_id:%(target.user.domain_id)s"

NOUN = Noun(
    name="group",
    routes=(
        *crud_routes(GROUPS, "/v3/groups"),
        Route(
            "GET",
            "/v3/users/{id}/groups",
            list_groups_of_user,
            resource=GROUP_OF_USER,
            action="list",
            rule="identity:list_groups_for_user",
            summary="List the groups of a user",
        ),
        Route(
            "GET",
            "/v3/groups/{id}/users",
            list_members,
            resource=USER,
            action="list",
            rule="identity:list_users_in_group",
            summary="List the users in a group",
        ),
        Route(
            "PUT",
            _MEMBER,
            add_member,
            status=204,
            rule="identity:add_user_to_group",
            body=NO_BODY,
            summary="Add a user to a group",
        ),
        Route(
            "GET",
            _MEMBER,
            check_member,
            status=204,
            rule="identity:check_user_in_group",
            summary="Check that a user is in a group",
        ),
        Route(
            "DELETE",
            _MEMBER,
            remove_member,
            status=204,
            rule="identity:remove_user_from_group",
            summary="Remove a user from a group",
        ),
    ),
    rules=rules(
        {
            "get_group": domain_reader("target.group.domain_id"),
            "list_groups": domain_reader("target.group.domain_id"),
            "list_groups_for_user": f"{domain_reader('target.user.domain_id')} or user_id:%(user_id)s",
            "create_group": _WRITE,
            "update_group": _WRITE,
            "delete_group": _WRITE,
            "list_users_in_group": domain_reader("target.group.domain_id"),
            "remove_user_from_group": f"{ADMIN} or (role:manager and {_BOTH})",
            "check_user_in_group": f"{READ} or (role:reader and {_BOTH})",
            "add_user_to_group": f"{ADMIN} or (role:manager and {_BOTH})",
        }
    ),
)
