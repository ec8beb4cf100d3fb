"""``/v3/users/{id}/OS-OAUTH1/access_tokens``: what a user has let consumers have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, select

from pileus.core.context import Context
from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.rows import fetch
from pileus.services.identity.common.errors import RoleNotFound, Unauthorized
from pileus.services.identity.common.generation import announce_token_change
from pileus.services.identity.common.policy import ADMIN, rules
from pileus.services.identity.common.replies import (
    LINKS,
    TEXT,
    TEXT_OR_NONE,
    listed,
    one_page_links,
    shape,
)
from pileus.services.identity.roles.resource import ROLE
from pileus.services.identity.sessions.authenticator import Authenticator
from pileus.services.identity.sessions.bounds import require_direct
from pileus.services.identity.tables.oauth1 import access_tokens
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request
from pileus.web.routes import Route
from pileus.web.view import show


class AccessTokenNotFound(NotFound):
    """There is no such access token (404)."""

    message = "Access token not found"


_OF_USER = (
    select(access_tokens).where(access_tokens.c.user_id == bindparam("user_id")).order_by(access_tokens.c.id)
)
_ONE = select(access_tokens).where(access_tokens.c.id == bindparam("id"))
_DELETE = access_tokens.delete().where(access_tokens.c.id == bindparam("id"))


def access_tokens_of(tx: Tx, user_id: str) -> list[Any]:
    """The rows of a user's access tokens."""
    return tx.rows(_OF_USER, {"user_id": user_id})


def access_token_row(tx: Tx, key: str) -> Any:
    """The row of one. Raises AccessTokenNotFound."""
    row = tx.first(_ONE, {"id": key})
    if row is None:
        raise AccessTokenNotFound
    return row


def access_token_delete(tx: Tx, context: Context, user_id: str, key: str) -> None:
    """Delete one of a user's: what was made with it ends. Raises Unauthorized for another user's."""
    if access_token_row(tx, key).user_id != user_id:
        raise Unauthorized("the access token is another user's")
    tx.execute(_DELETE, {"id": key})
    announce_token_change(tx, context, "access_token.delete", key, user_id=user_id)


class AccessTokenHandlers:
    """The handlers."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    async def list(self, request: Request) -> Reply:
        """GET …/access_tokens"""
        await self._judge(request)
        found = await request.read(access_tokens_of, request.path["id"])
        views = [_view(request, row) for row in found]
        return Reply.json({"access_tokens": views, "links": one_page_links(request)})

    async def get(self, request: Request) -> Reply:
        """GET …/access_tokens/{token_id}"""
        return Reply.json({"access_token": _view(request, await self._find(request))})

    async def delete(self, request: Request) -> Reply:
        """DELETE …/access_tokens/{token_id}"""
        await self._judge(request)
        path = request.path
        await request.write(access_token_delete, request.context, path["id"], path["token_id"])
        return Reply.empty()

    async def list_roles(self, request: Request) -> Reply:
        """GET …/access_tokens/{token_id}/roles"""
        roles = await self._roles(request)
        return Reply.json({"roles": roles, "links": one_page_links(request)})

    async def get_role(self, request: Request) -> Reply:
        """GET or HEAD …/access_tokens/{token_id}/roles/{role_id}"""
        key = request.path["role_id"]
        role = next((one for one in await self._roles(request) if one["id"] == key), None)
        if role is None:
            raise RoleNotFound(id=key)
        if request.method == "HEAD":
            return Reply.empty(200)
        return Reply.json({"role": role})

    async def _judge(self, request: Request) -> None:
        rule = request.route.rule
        assert rule is not None
        request.authorise(rule)
        await require_direct(self._authenticator, request, "OAuth access tokens")

    async def _find(self, request: Request) -> Any:
        await self._judge(request)
        row = await request.read(access_token_row, request.path["token_id"])
        if row.user_id != request.path["id"]:
            raise AccessTokenNotFound
        return row

    async def _roles(self, request: Request) -> Sequence[dict[str, Any]]:
        row = await self._find(request)
        found = await request.read(fetch, ROLE, [*row.role_ids]) if row.role_ids else []
        return show(request, ROLE, sorted(found, key=lambda role: (role["name"], role["id"])))


def _view(request: Request, row: Any) -> dict[str, Any]:
    href = f"{request.service_url}/v3/users/{row.user_id}/OS-OAUTH1/access_tokens/{row.id}"
    ends = row.expires_at
    return {
        "id": row.id,
        "consumer_id": row.consumer_id,
        "project_id": row.project_id,
        "authorizing_user_id": row.user_id,
        "expires_at": None if ends is None else ends.isoformat(timespec="microseconds") + "Z",
        "links": {"self": href, "roles": f"{href}/roles"},
    }


_TOKEN = shape(
    {
        "id": TEXT,
        "consumer_id": TEXT,
        "project_id": TEXT,
        "authorizing_user_id": TEXT,
        "expires_at": TEXT_OR_NONE,
        "links": LINKS,
    }
)
_ROLE = types.dict_of({}, additional=types.anything)
_EVERY, _TOKEN_PATH = (
    "/v3/users/{id}/OS-OAUTH1/access_tokens",
    "/v3/users/{id}/OS-OAUTH1/access_tokens/{token_id}",
)


_RULES = (
    "list_access_tokens",
    "get_access_token",
    "delete_access_token",
    "list_access_token_roles",
    "get_access_token_role",
)


def noun(handlers: AccessTokenHandlers) -> Noun:
    """Make the noun."""

    def route(
        method: str, path: str, handler: Handler, rule: str, summary: str, reply: types.Type | None = None
    ) -> Route:
        status = 204 if method == "DELETE" else 200
        return Route(
            method, path, handler, rule=f"identity:{rule}", summary=summary, reply=reply, status=status
        )

    return Noun(
        name="oauth1_access_token",
        routes=(
            route(
                "GET",
                _EVERY,
                handlers.list,
                "list_access_tokens",
                "List OAuth access tokens",
                listed("access_tokens", _TOKEN),
            ),
            route(
                "GET",
                _TOKEN_PATH,
                handlers.get,
                "get_access_token",
                "Show an OAuth access token",
                shape({"access_token": _TOKEN}),
            ),
            route(
                "DELETE",
                _TOKEN_PATH,
                handlers.delete,
                "delete_access_token",
                "Delete an OAuth access token",
            ),
            route(
                "GET",
                f"{_TOKEN_PATH}/roles",
                handlers.list_roles,
                "list_access_token_roles",
                "List the roles of an OAuth access token",
                listed("roles", _ROLE),
            ),
            route(
                "GET",
                f"{_TOKEN_PATH}/roles/{{role_id}}",
                handlers.get_role,
                "get_access_token_role",
                "Show a role of an OAuth access token",
                shape({"role": _ROLE}),
            ),
        ),
        rules=rules(dict.fromkeys(_RULES, ADMIN), ("project",)),
    )
