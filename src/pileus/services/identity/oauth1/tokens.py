"""``/v3/OS-OAUTH1``: request tokens, their authorisation by a user, and access tokens.

A consumer asks for a request token, which a user authorises with some of his roles in the project that it is
for; with the verifier that the user is given the consumer turns it into an access token, and that it turns
into a token of identity by the method ``oauth1``.
"""

from __future__ import annotations

import datetime as dt
import secrets
import string
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import BindParameter, bindparam, select

from pileus.core.context import Context
from pileus.core.errors import NotFound
from pileus.core.ids import new_hex_id
from pileus.resource import types
from pileus.services.identity.common.errors import ProjectNotFound, Unauthorized, ValidationError
from pileus.services.identity.common.generation import announce_many
from pileus.services.identity.common.policy import ADMIN, rules
from pileus.services.identity.common.replies import TEXT, shape
from pileus.services.identity.oauth1.access_tokens import AccessTokenNotFound
from pileus.services.identity.oauth1.consumers import ConsumerNotFound
from pileus.services.identity.oauth1.secrets import new_secret, secret_open, secret_seal
from pileus.services.identity.oauth1.signatures import (
    MissingParameter,
    nonce_use,
    signature_check,
    signed_parameters,
)
from pileus.services.identity.rules.roles import closure
from pileus.services.identity.sessions.authenticator import Authenticator
from pileus.services.identity.sessions.bounds import require_direct
from pileus.services.identity.sessions.oauth1 import AccessToken, access_token_find
from pileus.services.identity.standing.grants import roles_of
from pileus.services.identity.standing.graph import role_graph
from pileus.services.identity.standing.named_roles import NAMED_ROLE, roles_named
from pileus.services.identity.tables.oauth1 import access_tokens, consumers, request_tokens
from pileus.services.identity.tables.projects import projects
from pileus.services.identity.tokens.keys import TokenKeys
from pileus.store.errors import Referenced
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Route

VERIFIER_LETTERS = string.ascii_letters + string.digits
VERIFIER_LENGTH = 8


class RequestTokenNotFound(NotFound):
    """There is no such request token (404)."""

    message = "Request token not found"


_KEY: BindParameter[str] = bindparam("id")
_CONSUMER = select(consumers.c.secret, consumers.c.sealed).where(consumers.c.id == _KEY)
_PROJECT = select(projects.c.id).where(projects.c.id == _KEY, projects.c.is_domain.is_(False))
_REQUEST_TOKEN = select(request_tokens).where(request_tokens.c.id == _KEY)
_USED = request_tokens.delete().where(request_tokens.c.id == _KEY)
_FORGET = request_tokens.delete().where(request_tokens.c.expires_at < bindparam("now"))
_AUTHORISE = (
    request_tokens.update()
    .where(request_tokens.c.id == bindparam("key"))
    .values(user_id=bindparam("by"), role_ids=bindparam("roles"), verifier=bindparam("word"))
)


def consumer_secret(tx: Tx, keys: TokenKeys, key: str) -> str | None:
    """The secret of a consumer; None where there is none of that id."""
    row = tx.first(_CONSUMER, {"id": key})
    return None if row is None else secret_open(tx, keys, row)


def _asked(tx: Tx, keys: TokenKeys, consumer_id: str, project_id: str) -> str:
    """The secret of the consumer. Raises NotFound for the project or the consumer."""
    if tx.first(_PROJECT, {"id": project_id}) is None:
        raise ProjectNotFound(id=project_id)
    secret = consumer_secret(tx, keys, consumer_id)
    if secret is None:
        raise ConsumerNotFound
    return secret


def _secrets_of_access(tx: Tx, keys: TokenKeys, key: str) -> tuple[AccessToken | None, str, str]:
    """An access token, its consumer's secret and its own."""
    access = access_token_find(tx, key)
    if access is None:
        return None, "", ""
    return access, consumer_secret(tx, keys, access.consumer_id) or "", secret_open(tx, keys, access)


def _secrets_of_request(
    tx: Tx, keys: TokenKeys, now: dt.datetime, key: str, consumer_id: str
) -> tuple[Any, str | None, str]:
    """A request token, the consumer's secret and its own. Raises as ``request_token_find``."""
    asked = request_token_find(tx, now, key)
    return asked, consumer_secret(tx, keys, consumer_id), secret_open(tx, keys, asked)


def request_token_create(tx: Tx, context: Context, row: dict[str, Any], parameters: dict[str, str]) -> None:
    """Write a request token; those that have ended are forgotten."""
    nonce_use(tx, context.now, parameters)
    tx.execute(_FORGET, {"now": context.now})
    try:
        tx.insert(request_tokens, [row])
    except Referenced:  # deleted since it was looked for
        raise ConsumerNotFound from None
    announce_many(tx, context, "request_token.create", [(row["id"], {"consumer_id": row["consumer_id"]})])


def request_token_find(tx: Tx, now: dt.datetime, key: str) -> Any:
    """The row of a request token. Raises RequestTokenNotFound, and Unauthorized for one that has ended."""
    row = tx.first(_REQUEST_TOKEN, {"id": key})
    if row is None:
        raise RequestTokenNotFound
    if row.expires_at is not None and row.expires_at < now:
        raise Unauthorized(f"request token {key} has expired")
    return row


def request_token_authorise(
    tx: Tx, context: Context, key: str, wanted: list[dict[str, str]], verifier: str
) -> None:
    """Have a request token stand for the caller, with some of the roles that he has in its project."""
    row = request_token_find(tx, context.now, key)
    graph = role_graph(tx)
    role_ids = roles_named(graph, wanted)
    user_id = context.user_id or ""
    held = closure(graph, roles_of(tx, user_id, "project", row.project_id))
    if not held.keys() >= set(role_ids):
        raise Unauthorized(f"user {user_id} does not have the roles that he would let others have")
    found = tx.execute(_AUTHORISE, {"key": key, "by": user_id, "roles": role_ids, "word": verifier})
    if not found.rowcount:
        raise RequestTokenNotFound
    announce_many(tx, context, "request_token.authorize", [(key, {"user_id": user_id})])


def access_token_create(
    tx: Tx, context: Context, request_id: str, row: dict[str, Any], parameters: dict[str, str]
) -> None:
    """Turn a request token into an access token, once."""
    nonce_use(tx, context.now, parameters)
    if not tx.execute(_USED, {"id": request_id}).rowcount:
        raise RequestTokenNotFound
    try:
        tx.insert(access_tokens, [row])
    except Referenced:
        raise Unauthorized("the user, the project or the consumer was deleted just now") from None
    announce_many(tx, context, "access_token.create", [(row["id"], {"user_id": row["user_id"]})])


async def proven_access(request: Request, keys: TokenKeys) -> AccessToken:
    """The access token with which a request is signed. Raises NotFound, Unauthorized, ValidationError."""
    parameters = signed_parameters(request, "oauth_token", "oauth_consumer_key")
    access, secret, own = await request.read(_secrets_of_access, keys, parameters["oauth_token"])
    if access is None:
        raise AccessTokenNotFound
    if access.consumer_id != parameters["oauth_consumer_key"]:
        raise Unauthorized("the access token is another consumer's")
    signature_check(request, secret, own)
    await request.write(nonce_use, request.context.now, parameters)
    return access


class OAuthHandlers:
    """The handlers; tokens live for so many seconds, or for ever where it is 0. ``keys`` seal secrets."""

    def __init__(
        self, authenticator: Authenticator, keys: TokenKeys, request_token_s: int, access_token_s: int
    ) -> None:
        self._authenticator = authenticator
        self._keys = keys
        self._request_token_s = request_token_s
        self._access_token_s = access_token_s

    async def request_token(self, request: Request) -> Reply:
        """POST /v3/OS-OAUTH1/request_token"""
        parameters = signed_parameters(request, "oauth_consumer_key")
        consumer_id = parameters["oauth_consumer_key"]
        project_id = request.header("requested-project-id")
        if not project_id:
            raise MissingParameter(attribute="Requested-Project-Id")
        signature_check(request, await request.read(_asked, self._keys, consumer_id, project_id))
        secret = new_secret()
        row = {
            "id": new_hex_id(),
            "sealed": secret_seal(self._keys, request, secret),
            "consumer_id": consumer_id,
            "project_id": project_id,
            "expires_at": _after(request, self._request_token_s),
        }
        await request.write(request_token_create, request.context, row, parameters)
        return _form(row, secret)

    async def authorise(self, request: Request) -> Reply:
        """PUT /v3/OS-OAUTH1/authorize/{id}"""
        request.authorise("identity:authorize_request_token")
        wanted = _roles(request)
        await require_direct(self._authenticator, request, "request tokens")
        verifier = "".join(secrets.choice(VERIFIER_LETTERS) for _ in range(VERIFIER_LENGTH))
        await request.write(request_token_authorise, request.context, request.path["id"], wanted, verifier)
        return Reply.json({"token": {"oauth_verifier": verifier}})

    async def access_token(self, request: Request) -> Reply:
        """POST /v3/OS-OAUTH1/access_token"""
        parameters = signed_parameters(request, "oauth_consumer_key", "oauth_token", "oauth_verifier")
        consumer_id = parameters["oauth_consumer_key"]
        asked, secret, own = await request.read(
            _secrets_of_request, self._keys, request.context.now, parameters["oauth_token"], consumer_id
        )
        if secret is None or asked.consumer_id != consumer_id:
            raise Unauthorized("no such consumer, or not that of the request token")
        signature_check(request, secret, own)
        if asked.user_id is None or not secrets.compare_digest(
            (asked.verifier or "").encode(), parameters["oauth_verifier"].encode()
        ):
            raise Unauthorized("the request token is not authorised, or with another verifier")
        made = new_secret()
        row = {
            "id": new_hex_id(),
            "sealed": secret_seal(self._keys, request, made),
            "consumer_id": consumer_id,
            "project_id": asked.project_id,
            "user_id": asked.user_id,
            "role_ids": asked.role_ids,
            "expires_at": _after(request, self._access_token_s),
        }
        await request.write(access_token_create, request.context, asked.id, row, parameters)
        return _form(row, made)


def _after(request: Request, seconds: int) -> dt.datetime | None:
    return request.context.now + dt.timedelta(seconds=seconds) if seconds else None


def _roles(request: Request) -> list[dict[str, str]]:
    """The roles in the body of an authorisation. Raises ValidationError."""
    body = request.json()
    wanted = body.get("roles", []) if isinstance(body, dict) else None
    try:
        found: list[dict[str, str]] = _ROLES.parse(wanted)
    except types.BadValue as bad:
        raise request.dialect.bad_value("roles", wanted, bad) from None
    if not found:
        raise ValidationError("At least one role should be specified")
    return found


def _form(row: dict[str, Any], secret: str) -> Reply:
    """A new token as OAuth has it."""
    parts = {"oauth_token": row["id"], "oauth_token_secret": secret}
    if row["expires_at"] is not None:
        parts["oauth_expires_at"] = row["expires_at"].isoformat(timespec="microseconds") + "Z"
    body = urlencode(parts, safe=":").encode()
    return Reply(201, body, [(b"content-type", b"application/x-www-form-urlencoded")])


_ROLES = types.list_of(NAMED_ROLE)
_AUTHORISE_BODY = types.dict_of({"roles": _ROLES}, additional=types.anything)
_VERIFIER_REPLY = shape({"token": shape({"oauth_verifier": TEXT})})


def noun(handlers: OAuthHandlers) -> Noun:
    """Make the noun."""
    return Noun(
        name="oauth1_token",
        routes=(
            Route(
                "POST",
                "/v3/OS-OAUTH1/request_token",
                handlers.request_token,
                authenticated=False,
                status=201,
                body=NO_BODY,
                reply=types.binary,
                summary="Create a request token of OAuth",
            ),
            Route(
                "PUT",
                "/v3/OS-OAUTH1/authorize/{id}",
                handlers.authorise,
                rule="identity:authorize_request_token",
                body=_AUTHORISE_BODY,
                reply=_VERIFIER_REPLY,
                summary="Authorise a request token of OAuth",
            ),
            Route(
                "POST",
                "/v3/OS-OAUTH1/access_token",
                handlers.access_token,
                authenticated=False,
                status=201,
                body=NO_BODY,
                reply=types.binary,
                summary="Create an access token of OAuth",
            ),
        ),
        rules=rules({"authorize_request_token": ADMIN}, ("project",)),
    )
