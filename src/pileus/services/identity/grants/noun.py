"""Grants: handlers, routes and rules of each kind of actor on each kind of target."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

from pileus.core.context import Context
from pileus.services.identity.common.policy import ADMIN, NOT_DOMAINS, READ, rules
from pileus.services.identity.grants.work import (
    grant_check,
    grant_create,
    grant_delete,
    grant_roles,
    grant_targets,
)
from pileus.services.identity.roles.noun import ROLES
from pileus.services.identity.roles.resource import ROLE
from pileus.services.identity.standing.grants import SYSTEM_ID, ActorKind, Grant, TargetKind
from pileus.services.identity.standing.guard import require_standing
from pileus.services.identity.tables.roles import roles
from pileus.store.tx import Tx
from pileus.web.crud import list_reply
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Route


class GrantHandlers:
    """Grants of one kind of actor on one kind of target, or inherited from there."""

    def __init__(self, target_kind: TargetKind, actor_kind: ActorKind, *, inherited: bool = False) -> None:
        assert target_kind in get_args(TargetKind) and actor_kind in get_args(ActorKind)
        self._target_kind = target_kind
        self._actor_kind = actor_kind
        self._inherited = inherited

    def rule(self, verb: str) -> str:
        """The policy rule of ``list``, ``create``, ``check`` or ``revoke``."""
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
        request.authorise(self.rule(verb), target)
        return grant

    async def list(self, request: Request) -> Reply:
        """GET …/roles"""
        grant = await self._grant(request, "list")
        granted = await request.read(grant_roles, grant)
        return await list_reply(request, ROLES, [roles.c.id.in_(granted)])

    async def put(self, request: Request) -> Reply:
        """PUT …/roles/{role_id}"""
        grant = await self._grant(request, "create")
        await request.write(_guarded, request, grant_create, grant)
        return Reply.empty()

    async def check(self, request: Request) -> Reply:
        """HEAD or GET …/roles/{role_id}"""
        grant = await self._grant(request, "check")
        await request.read(grant_check, grant)
        return Reply.empty()

    async def delete(self, request: Request) -> Reply:
        """DELETE …/roles/{role_id}"""
        grant = await self._grant(request, "revoke")
        await request.write(_guarded, request, grant_delete, grant)
        return Reply.empty()


def _guarded(tx: Tx, request: Request, unit: Callable[[Tx, Context, Grant], None], grant: Grant) -> None:
    """Run a unit that gives or takes a role, if neither the actor nor the role is above the caller."""
    require_standing(tx, request, [(grant.actor_kind, grant.actor_id)], grant)
    unit(tx, request.context, grant)


def _routes(path: str, grant: GrantHandlers, tail: str = "") -> tuple[Route, ...]:
    every = f"{path}/{{actor_id}}/roles"
    one = f"{every}/{{role_id}}{tail}"
    return (
        Route(
            "GET",
            every + tail,
            grant.list,
            resource=ROLE,
            action="list",
            rule=grant.rule("list"),
            summary="List the roles granted",
        ),
        Route(
            "PUT",
            one,
            grant.put,
            status=204,
            rule=grant.rule("create"),
            body=NO_BODY,
            summary="Grant a role",
        ),
        Route("GET", one, grant.check, status=204, rule=grant.rule("check"), summary="Check a grant"),
        Route("DELETE", one, grant.delete, status=204, rule=grant.rule("revoke"), summary="Revoke a role"),
    )


_WITH_ID: tuple[TargetKind, ...] = ("project", "domain")


def _all_routes() -> tuple[Route, ...]:
    made: list[Route] = []
    for actor in get_args(ActorKind):
        for target in _WITH_ID:
            path = f"{target}s/{{id}}/{actor}s"
            made += _routes(f"/v3/{path}", GrantHandlers(target, actor))
            inherited = GrantHandlers(target, actor, inherited=True)
            made += _routes(f"/v3/OS-INHERIT/{path}", inherited, "/inherited_to_projects")
        made += _routes(f"/v3/system/{actor}s", GrantHandlers("system", actor))
    return tuple(made)


def _within_domain(role: str) -> str:
    """Actor and target are both in the caller's domain, where he has the role."""
    pairs = [
        f"(role:{role} and domain_id:%(target.{actor}.domain_id)s and domain_id:%(target.{target})s)"
        for actor in ("user", "group")
        for target in ("project.domain_id", "domain.id")
    ]
    return f"({' or '.join(pairs)})"


_ROLE_FITS = "(domain_id:%(target.role.domain_id)s or None:%(target.role.domain_id)s)"
_GRANT_READ = f"{READ} or {_within_domain('reader')}"
_GRANT_CHECK = f"{READ} or {_within_domain('reader')} and {_ROLE_FITS}"
# An inherited grant counts in the projects below, and not in the one that a project manager manages.
_GRANT_WRITE = (
    f"{ADMIN} or {_within_domain('admin')} and {_ROLE_FITS} "
    f"or {_within_domain('manager')} and rule:domain_managed_target_role "
    "or role:projectmanager and project_id:%(target.project.id)s and 'False':%(target.grant.inherited)s "
    "and rule:project_managed_target_role "
    "and (project_domain_id:%(target.user.domain_id)s or project_domain_id:%(target.group.domain_id)s)"
)

_SYSTEM_RULES = {
    f"{verb}_system_{'grants' if verb == 'list' else 'grant'}_for_{actor}": check
    for actor in get_args(ActorKind)
    for verb, check in (("list", READ), ("check", READ), ("create", ADMIN), ("revoke", ADMIN))
}

NOUN = Noun(
    name="grant",
    routes=_all_routes(),
    rules=(
        *rules(
            {
                "check_grant": _GRANT_CHECK,
                "list_grants": _GRANT_READ,
                "create_grant": _GRANT_WRITE,
                "revoke_grant": _GRANT_WRITE,
            }
        ),
        *rules(_SYSTEM_RULES, NOT_DOMAINS),
    ),
)
