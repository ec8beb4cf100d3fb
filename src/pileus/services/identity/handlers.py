"""Handlers of what is no standard resource: passwords, memberships, grants, implied roles, tags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from pileus.core.errors import Invalid
from pileus.resource import types
from pileus.resource.declaration import Values
from pileus.resource.rows import fetch
from pileus.services.identity.auth.authenticator import Authenticator
from pileus.services.identity.auth.password import PasswordCheck
from pileus.services.identity.auth.session import ById, account_find
from pileus.services.identity.catalog.endpoints import endpoint_create, endpoint_update
from pileus.services.identity.catalog.regions import region_create
from pileus.services.identity.credentials.application_handlers import require_unrestricted
from pileus.services.identity.declared import (
    find,
    in_domain,
    list_reply,
    read_create,
    read_update,
    reply_one,
    turn_of,
)
from pileus.services.identity.errors import SchemaValidationError, Unauthorized, UserNotFound
from pileus.services.identity.grants import (
    SYSTEM_ID,
    ActorKind,
    Grant,
    TargetKind,
    grant_check,
    grant_create,
    grant_delete,
    grant_roles,
    grant_targets,
    targets_of,
)
from pileus.services.identity.groups import (
    GROUP,
    Membership,
    NotInGroup,
    group_members,
    groups,
    member_add,
    member_remove,
    membership_find,
)
from pileus.services.identity.nouns import DOMAINS, ENDPOINTS, GROUPS, PROJECTS, REGIONS, ROLES, USERS
from pileus.services.identity.passwords import MAX_LENGTH, Passwords
from pileus.services.identity.projects import (
    MAX_TAGS,
    PROJECT,
    TAG,
    ProjectTagNotFound,
    project_update,
    projects,
)
from pileus.services.identity.roles import (
    ImpliedRoleNotFound,
    implied_role_create,
    implied_role_delete,
    implied_roles_read,
    roles,
)
from pileus.services.identity.rules.passwords import PasswordPolicy
from pileus.services.identity.rules.roles import RoleGraph
from pileus.services.identity.standing import behind, guarded_grant
from pileus.services.identity.users import USER, password_change, users
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.view import show

_PASSWORD_BODY = types.dict_of(
    {"password": types.string(None), "original_password": types.string(None)},
    required=("password", "original_password"),
)


class PasswordRequirementsValidationError(Invalid):
    """A password is not as the setting ``password_regex`` wants it (400)."""

    message = "The password does not match the requirements: {detail}."


class PasswordHandlers:
    """What hashes: making and changing users."""

    def __init__(
        self,
        passwords: Passwords,
        check: PasswordCheck,
        policy: PasswordPolicy,
        authenticator: Authenticator,
    ) -> None:
        self._passwords = passwords
        self._check = check
        self._policy = policy
        self._authenticator = authenticator

    async def prepare(self, request: Request, values: Values) -> None:
        """Put the hash where the password was. Raises DelegationForbidden where a restricted application
        credential would set that of its owner, and so get rid of its bounds."""
        if "password" not in values:
            return
        if request.path.get("id") == request.context.user_id:
            meaning = await self._authenticator.meaning(request.header("x-auth-token") or "")
            require_unrestricted(meaning.session, "passwords")
        password = values.pop("password")
        if password is not None:
            values["password_hash"] = await self._hash(request, password, request.context.user_id)
        elif "password" in values.given:
            values["password_hash"] = None

    async def change(self, request: Request) -> Reply:
        """POST /v3/users/{id}/password: the old password is the authorisation, there need be no token."""
        body = request.json()
        if not isinstance(body, dict) or not isinstance(body.get("user"), dict):
            raise request.dialect.no_object(USER, body)
        try:
            wanted = _PASSWORD_BODY.parse(body["user"])
        except types.BadValue as bad:
            raise request.dialect.bad_value("user", body["user"], bad) from None
        key = request.path["id"]
        account = await request.read(account_find, ById(key))
        old_hash = account.password_hash if account else None
        right = await self._check.holds(request, account, wanted["original_password"], key)
        if not right or not old_hash:
            raise Unauthorized(f"wrong password for user {key}")
        new_hash = await self._hash(request, wanted["password"], key)
        if not await request.write(password_change, request.context, key, old_hash, new_hash):
            raise Unauthorized(f"the password of user {key} was changed meanwhile")
        return Reply.empty()

    async def _hash(self, request: Request, password: str, who: object) -> str:
        if not self._policy.takes(password[:MAX_LENGTH]):
            raise PasswordRequirementsValidationError(detail=self._policy.description)
        return await request.while_there(self._passwords.hash(password, turn_of(request, who)))


async def user_projects(request: Request) -> Reply:
    """GET /v3/users/{id}/projects: where he has any role."""
    user = await _user(request, "identity:list_user_projects")
    listing = request.dialect.listing(request, PROJECT)
    return await list_reply(request, PROJECTS, None, listing, [targets_of("project", user["id"])])


async def user_groups(request: Request) -> Reply:
    """GET /v3/users/{id}/groups"""
    user = await _user(request, "identity:list_groups_for_user")
    listing = request.dialect.listing(request, GROUP)
    mine = group_members.select().with_only_columns(group_members.c.group_id)
    his = groups.c.id.in_(mine.where(group_members.c.user_id == user["id"]))
    return await list_reply(request, GROUPS, None, listing, [his, *in_domain(request, GROUPS)])


async def _user(request: Request, rule: str) -> Values:
    found = await request.read(fetch, USER, [request.path["id"]])
    request.authorise(rule, USERS.target(found[0] if found else None))
    if not found:
        raise UserNotFound(id=request.path["id"])
    return found[0]


async def group_users(request: Request) -> Reply:
    """GET /v3/groups/{id}/users"""
    found = await request.read(fetch, GROUP, [request.path["id"]])
    request.authorise("identity:list_users_in_group", GROUPS.target(found[0] if found else None))
    if not found:
        raise GROUP.not_found(request.path["id"])
    listing = request.dialect.listing(request, USER)
    members = group_members.select().with_only_columns(group_members.c.user_id)
    inside = users.c.id.in_(members.where(group_members.c.group_id == found[0]["id"]))
    return await list_reply(request, USERS, None, listing, [inside, *in_domain(request, USERS)])


async def member_put(request: Request) -> Reply:
    """PUT /v3/groups/{id}/users/{user_id}"""
    found = await _membership(request, "identity:add_user_to_group")
    await request.write(behind, found.actors, member_add, request.context, found.group_id, found.user_id)
    return Reply.empty()


async def member_check(request: Request) -> Reply:
    """HEAD or GET /v3/groups/{id}/users/{user_id}"""
    found = await _membership(request, "identity:check_user_in_group")
    if not found.there:
        raise NotInGroup(user_id=found.user_id, group_id=found.group_id)
    return Reply.empty()


async def member_take(request: Request) -> Reply:
    """DELETE /v3/groups/{id}/users/{user_id}"""
    found = await _membership(request, "identity:remove_user_from_group")
    await request.write(behind, found.actors, member_remove, request.context, found.group_id, found.user_id)
    return Reply.empty()


async def _membership(request: Request, rule: str) -> Membership:
    """The user and the group of the path. Raises Forbidden, then NotFound for either."""
    found = await request.read(membership_find, request.path["id"], request.path["user_id"])
    request.authorise(rule, found.target)
    found.require()
    return found


async def projects_list(request: Request) -> Reply:
    """GET /v3/projects: those that are no domains, unless ``is_domain`` asks otherwise."""
    listing = request.dialect.listing(request, PROJECT)
    if request.parameter("is_domain") is None:
        listing.where.append(projects.c.is_domain.is_(False))
    return await list_reply(request, PROJECTS, PROJECTS.rule("list"), listing)


class GrantHandlers:
    """Grants of one kind of actor on one kind of target, or inherited from there."""

    def __init__(self, target_kind: TargetKind, actor_kind: ActorKind, *, inherited: bool = False) -> None:
        assert target_kind in get_args(TargetKind) and actor_kind in get_args(ActorKind)
        self._target_kind = target_kind
        self._actor_kind = actor_kind
        self._inherited = inherited

    def _rule(self, verb: str) -> str:
        if self._target_kind == "system":
            noun = "grants" if verb == "list" else "grant"
            return f"identity:{verb}_system_{noun}_for_{self._actor_kind}"
        return "identity:list_grants" if verb == "list" else f"identity:{verb}_grant"

    async def _grant(self, request: Request, verb: str) -> Grant:
        path = request.path
        target_id = SYSTEM_ID if self._target_kind == "system" else path["id"]
        grant = Grant(
            self._actor_kind,
            path["actor_id"],
            self._target_kind,
            target_id,
            path.get("role_id", ""),
            self._inherited,
        )
        target = await request.read(grant_targets, grant, actor_may_be_gone=verb == "revoke")
        request.authorise(self._rule(verb), target)
        return grant

    async def list(self, request: Request) -> Reply:
        """GET …/roles"""
        grant = await self._grant(request, "list")
        granted = await request.read(grant_roles, grant)
        listing = request.dialect.listing(request, ROLES.resource)
        return await list_reply(request, ROLES, None, listing, [roles.c.id.in_(granted)])

    async def put(self, request: Request) -> Reply:
        """PUT …/roles/{role_id}"""
        grant = await self._grant(request, "create")
        await request.write(guarded_grant, grant_create, request.context, grant)
        return Reply.empty()

    async def check(self, request: Request) -> Reply:
        """HEAD or GET …/roles/{role_id}"""
        grant = await self._grant(request, "check")
        await request.read(grant_check, grant)
        return Reply.empty()

    async def delete(self, request: Request) -> Reply:
        """DELETE …/roles/{role_id}"""
        grant = await self._grant(request, "revoke")
        await request.write(guarded_grant, grant_delete, request.context, grant)
        return Reply.empty()


async def roles_list(request: Request) -> Reply:
    """GET /v3/roles: the global roles, or those of the domain that is asked for."""
    domain_id = request.parameter("domain_id")
    listing = request.dialect.listing(request, ROLES.resource)
    if domain_id is None:
        listing.where.append(roles.c.domain_id.is_(None))
    rule = "identity:list_roles" if domain_id is None else "identity:list_domain_roles"
    return await list_reply(request, ROLES, rule, listing)


async def inferences_all(request: Request) -> Reply:
    """GET /v3/role_inferences"""
    request.authorise("identity:list_role_inference_rules")
    known, graph = await request.read(implied_roles_read)
    rules = [
        {"prior_role": _role(request, known[prior]), "implies": _implied(request, known, graph, prior)}
        for prior in graph.implications
    ]
    return Reply.json({"role_inferences": rules, "links": _links(request)})


async def inferences_of(request: Request) -> Reply:
    """GET /v3/roles/{id}/implies"""
    known, graph = await _judged(request, "list_implied_roles")
    prior = request.path["id"]
    rule = {"prior_role": _role(request, known[prior]), "implies": _implied(request, known, graph, prior)}
    return Reply.json({"role_inference": rule, "links": _links(request)})


async def inference_put(request: Request) -> Reply:
    """PUT /v3/roles/{id}/implies/{implied_id}"""
    await _judged(request, "create_implied_role")
    prior, implied = request.path["id"], request.path["implied_id"]
    await request.write(implied_role_create, request.context, prior, implied)
    return _inference(request, *await request.read(implied_roles_read), 201)


async def inference_get(request: Request) -> Reply:
    """GET /v3/roles/{id}/implies/{implied_id}"""
    return _inference(request, *await _judged(request, "get_implied_role"))


async def inference_check(request: Request) -> Reply:
    """HEAD /v3/roles/{id}/implies/{implied_id}"""
    _inference(request, *await _judged(request, "check_implied_role"))
    return Reply.empty()


async def inference_delete(request: Request) -> Reply:
    """DELETE /v3/roles/{id}/implies/{implied_id}"""
    await _judged(request, "delete_implied_role")
    prior, implied = request.path["id"], request.path["implied_id"]
    await request.write(implied_role_delete, request.context, prior, implied)
    return Reply.empty()


async def _judged(request: Request, rule: str) -> tuple[dict[str, Values], RoleGraph]:
    """All roles, after the policy was asked. Raises NotFound for those of the path, then Forbidden."""
    known, graph = await request.read(implied_roles_read)
    for name in ("id", "implied_id"):
        if name in request.path and request.path[name] not in known:
            raise ROLES.resource.not_found(request.path[name])
    request.authorise(f"identity:{rule}")
    return known, graph


def _inference(request: Request, known: dict[str, Values], graph: RoleGraph, status: int = 200) -> Reply:
    prior, implied = request.path["id"], request.path["implied_id"]
    if implied not in graph.implications.get(prior, ()):
        raise ImpliedRoleNotFound(prior=prior, implied=implied)
    rule = {"prior_role": _role(request, known[prior]), "implies": _role(request, known[implied])}
    return Reply.json({"role_inference": rule, "links": _links(request)}, status)


def _implied(
    request: Request, known: dict[str, Values], graph: RoleGraph, prior: str
) -> list[dict[str, Any]]:
    return [_role(request, known[key]) for key in graph.implications.get(prior, ())]


def _role(request: Request, role: Values) -> dict[str, Any]:
    view = show(request, ROLES.resource, [role])[0]
    return {"id": view["id"], "name": view["name"], "links": view["links"]}


def _links(request: Request) -> dict[str, str]:
    return {"self": request.path_url}


async def region_put(request: Request) -> Reply:
    """PUT /v3/regions/{id}: make a region with the id of the path."""
    key = request.path["id"]
    spec = read_create(request, REGIONS.resource)
    if "id" in spec.given and spec["id"] != key:
        raise SchemaValidationError("Conflicting region IDs specified")
    spec["id"] = key
    request.authorise("identity:create_region")
    return reply_one(request, REGIONS, await request.write(region_create, request.context, spec), 201)


async def endpoint_post(request: Request) -> Reply:
    """POST /v3/endpoints: a ``region`` (not ``region_id``) that is missing is made."""
    spec = read_create(request, ENDPOINTS.resource)
    request.authorise("identity:create_endpoint")
    made = await request.write(endpoint_create, request.context, spec, makes_region=_says_region(request))
    return reply_one(request, ENDPOINTS, made, 201)


async def endpoint_patch(request: Request) -> Reply:
    """PATCH /v3/endpoints/{id}"""
    changes = read_update(request, ENDPOINTS.resource)
    await find(request, ENDPOINTS, "update")
    key = request.path["id"]
    made = await request.write(
        endpoint_update, request.context, key, changes, makes_region=_says_region(request)
    )
    return reply_one(request, ENDPOINTS, made)


def _says_region(request: Request) -> bool:
    body = request.json()["endpoint"]
    return "region" in body and "region_id" not in body


async def tags_list(request: Request) -> Reply:
    """GET /v3/projects/{id}/tags"""
    project = await _project(request, "list_project_tags")
    return Reply.json({"tags": project["tags"], "links": _links(request)})


async def tags_put(request: Request) -> Reply:
    """PUT /v3/projects/{id}/tags"""
    body = request.json()
    if not isinstance(body, dict) or "tags" not in body:
        raise request.dialect.no_object(PROJECT, body)
    await _project(request, "update_project_tags")
    after = await _retag(request, _tags(request, body["tags"]))
    return Reply.json({"tags": after, "links": _links(request)})


async def tags_delete(request: Request) -> Reply:
    """DELETE /v3/projects/{id}/tags"""
    await _project(request, "delete_project_tags")
    await _retag(request, [])
    return Reply.empty()


async def tag_put(request: Request) -> Reply:
    """PUT /v3/projects/{id}/tags/{tag}"""
    project = await _project(request, "create_project_tag")
    wanted = _tags(request, [*project["tags"], *({request.path["tag"]} - set(project["tags"]))])
    await _retag(request, wanted)
    return Reply.empty(201)


async def tag_check(request: Request) -> Reply:
    """GET or HEAD /v3/projects/{id}/tags/{tag}"""
    project = await _project(request, "get_project_tag")
    if request.path["tag"] not in project["tags"]:
        raise ProjectTagNotFound(tag=request.path["tag"])
    return Reply.empty()


async def tag_delete(request: Request) -> Reply:
    """DELETE /v3/projects/{id}/tags/{tag}"""
    project = await _project(request, "delete_project_tag")
    if request.path["tag"] not in project["tags"]:
        raise ProjectTagNotFound(tag=request.path["tag"])
    await _retag(request, [tag for tag in project["tags"] if tag != request.path["tag"]])
    return Reply.empty()


async def _project(request: Request, rule: str) -> Values:
    found = await request.read(fetch, PROJECT, [request.path["id"]])
    request.authorise(f"identity:{rule}", PROJECTS.target(found[0] if found else None))
    if not found:
        raise PROJECT.not_found(request.path["id"])
    if found[0]["is_domain"] and request.method in ("PUT", "DELETE"):
        DOMAINS.authorise(request, "update", found[0])
    return found[0]


async def _retag(request: Request, tags: Sequence[str]) -> list[str]:
    changes = Values({"tags": list(tags)})
    after = await request.write(project_update, request.context, request.path["id"], changes)
    return list(after["tags"])


def _tags(request: Request, value: Any) -> list[str]:
    try:
        return list(types.list_of(TAG, unique=True, maximum=MAX_TAGS).parse(value))
    except types.BadValue as bad:
        raise request.dialect.bad_value("tags", value, bad) from None
