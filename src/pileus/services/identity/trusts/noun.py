"""``/v3/OS-TRUST/trusts``: routes, rules and views.

No program makes, sees or ends trusts with an application credential, restricted or not: it is for one
project, and trusts would lead it out of there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import or_

from pileus.core.errors import Forbidden
from pileus.resource import types
from pileus.resource.declaration import Values
from pileus.resource.rows import fetch
from pileus.services.identity.common.errors import RoleNotFound
from pileus.services.identity.common.policy import ADMIN, NOT_DOMAINS, READ, rules
from pileus.services.identity.common.replies import LINKS, PAGE_LINKS, shape
from pileus.services.identity.roles.resource import ROLE
from pileus.services.identity.sessions.authenticator import Authenticator
from pileus.services.identity.sessions.session import Session
from pileus.services.identity.tables.trusts import trusts
from pileus.services.identity.trusts.resource import TRUST, trust_target
from pileus.services.identity.trusts.work import trust_create, trust_delete
from pileus.store.tx import Tx
from pileus.web.crud import Crud, list_reply
from pileus.web.noun import Noun
from pileus.web.parse import parse_create
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request
from pileus.web.routes import Route
from pileus.web.view import show

_CRUD = Crud(resource=TRUST)


class TrustForbidden(Forbidden):
    """The caller may not do this with trusts (403)."""

    message = "You are not authorized to perform the requested action: {action}."


class TrustHandlers:
    """The handlers; ``max_redelegations`` is how often a trust may be passed on."""

    def __init__(self, authenticator: Authenticator, max_redelegations: int) -> None:
        self._authenticator = authenticator
        self._most = max_redelegations

    async def list(self, request: Request) -> Reply:
        """GET …/trusts: of a trustor, of a trustee, or all."""
        for name in ("trustor_user_id", "trustee_user_id"):
            given = {text for key, text in request.query if key == name}
            if given - {""}:
                # a filter that is there several times asks for the trusts of each of them
                for text in sorted(given):
                    request.authorise(
                        f"identity:list_trusts_for_{name.removesuffix('_user_id')}",
                        trust_target({name: text}),
                    )
                break
        else:
            request.authorise("identity:list_trusts")
        await self._session(request)
        return await list_reply(request, _CRUD, [])

    async def create(self, request: Request) -> Reply:
        """POST …/trusts"""
        spec = parse_create(TRUST, request)[0]
        request.authorise("identity:create_trust", trust_target(spec))
        session = await self._session(request)
        if spec["project_id"] and not spec["roles"]:
            raise TrustForbidden(action="At least one role should be specified")
        if spec["trustor_user_id"] != request.context.user_id:
            raise TrustForbidden(action="The authenticated user should match the trustor")
        if session.delegated and session.trust is None:
            raise TrustForbidden(action="Redelegation allowed for delegated by trust only")
        parent_id = session.trust.id if session.trust is not None else None
        made = await request.write(trust_create, request.context, spec, parent_id, self._most)
        return await _reply(request, made, 201)

    async def get(self, request: Request) -> Reply:
        """GET …/trusts/{id}"""
        return await _reply(request, await self._find(request))

    async def delete(self, request: Request) -> Reply:
        """DELETE …/trusts/{id}"""
        found = await self._find(request)
        await request.write(trust_delete, request.context, [found])
        return Reply.empty()

    async def list_roles(self, request: Request) -> Reply:
        """GET …/trusts/{id}/roles"""
        found = await self._find(request)
        roles = await _roles(request, found)
        return Reply.json({"roles": roles, "links": _roles_links(request, found["id"])})

    async def get_role(self, request: Request) -> Reply:
        """GET or HEAD …/trusts/{id}/roles/{role_id}"""
        found = await self._find(request)
        key = request.path["role_id"]
        role = next((one for one in await _roles(request, found) if one["id"] == key), None)
        if role is None:
            raise RoleNotFound(id=key)
        if request.method == "HEAD":
            return Reply.empty(200)
        return Reply.json({"role": role})

    async def _find(self, request: Request) -> Values:
        """The trust of the path. Raises TrustNotFound, then Forbidden; one that has ended is none."""
        key = request.path["id"]
        found = await request.read(_fetch, request)
        rule = request.route.rule
        assert rule is not None
        if not found:
            raise TRUST.not_found(key)
        request.authorise(rule, trust_target(found[0]))
        await self._session(request)
        return found[0]

    async def _session(self, request: Request) -> Session:
        """The caller's. Raises TrustForbidden where it is an application credential's."""
        session = (await self._authenticator.authenticate(request.header("x-auth-token") or "")).session
        if session.credential is not None:
            raise TrustForbidden(
                action="Using method 'application_credential' is not allowed for managing trusts."
            )
        return session


def _fetch(tx: Tx, request: Request) -> list[Values]:
    now = request.context.now
    living = [
        or_(trusts.c.expires_at.is_(None), trusts.c.expires_at >= now),
        or_(trusts.c.remaining_uses.is_(None), trusts.c.remaining_uses > 0),
    ]
    return fetch(tx, TRUST, [request.path["id"]], living)


async def _roles(request: Request, trust: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The roles of a trust as roles are shown; those that were deleted are left out."""
    found = await request.read(fetch, ROLE, list(trust["roles"])) if trust["roles"] else []
    return show(request, ROLE, sorted(found, key=lambda role: (role["name"], role["id"])))


def _roles_links(request: Request, trust_id: str) -> dict[str, Any]:
    href = f"{request.service_url}/v3/OS-TRUST/trusts/{trust_id}/roles"
    return {"self": href, "next": None, "previous": None}


async def _reply(request: Request, trust: Values, status: int = 200) -> Reply:
    view = show(request, TRUST, [trust])[0]
    view |= {"roles": await _roles(request, trust), "roles_links": _roles_links(request, trust["id"])}
    return Reply.json({TRUST.name: view}, status)


_ROLE = types.dict_of({}, additional=types.anything)
_TRUST = types.dict_of(
    {"roles": types.list_of(_ROLE), "roles_links": PAGE_LINKS, "links": LINKS}, additional=types.anything
)
_ONE_REPLY = shape({"trust": _TRUST})
_ROLES_REPLY = shape({"roles": types.list_of(_ROLE), "links": PAGE_LINKS})
_ROLE_REPLY = shape({"role": _ROLE})

_TRUSTOR = "user_id:%(target.trust.trustor_user_id)s"
_TRUSTEE = "user_id:%(target.trust.trustee_user_id)s"
_EITHER = f"{READ} or {_TRUSTOR} or {_TRUSTEE}"


def _routes(handlers: TrustHandlers) -> tuple[Route, ...]:
    every, one = "/v3/OS-TRUST/trusts", "/v3/OS-TRUST/trusts/{id}"

    def route(method: str, path: str, handler: Handler, rule: str, summary: str, **more: Any) -> Route:
        return Route(method, path, handler, rule=f"identity:{rule}", summary=summary, **more)

    return (
        route("GET", every, handlers.list, "list_trusts", "List trusts", resource=TRUST, action="list"),
        route(
            "POST",
            every,
            handlers.create,
            "create_trust",
            "Create a trust",
            resource=TRUST,
            action="create",
            status=201,
            reply=_ONE_REPLY,
        ),
        route("GET", one, handlers.get, "get_trust", "Show a trust", reply=_ONE_REPLY),
        route("DELETE", one, handlers.delete, "delete_trust", "Delete a trust", status=204),
        route(
            "GET",
            f"{one}/roles",
            handlers.list_roles,
            "list_roles_for_trust",
            "List the roles of a trust",
            reply=_ROLES_REPLY,
        ),
        route(
            "GET",
            f"{one}/roles/{{role_id}}",
            handlers.get_role,
            "get_role_for_trust",
            "Show a role of a trust",
            reply=_ROLE_REPLY,
        ),
    )


def noun(handlers: TrustHandlers) -> Noun:
    """Make the noun."""
    return Noun(
        name="trust",
        routes=_routes(handlers),
        rules=(
            *rules({"create_trust": _TRUSTOR}, ("project",)),
            *rules(
                {
                    "list_trusts": READ,
                    "list_trusts_for_trustor": f"{READ} or {_TRUSTOR}",
                    "list_trusts_for_trustee": f"{READ} or {_TRUSTEE}",
                    "get_trust": _EITHER,
                    "list_roles_for_trust": _EITHER,
                    "get_role_for_trust": _EITHER,
                    "delete_trust": f"{ADMIN} or {_TRUSTOR}",
                },
                NOT_DOMAINS,
            ),
        ),
    )
