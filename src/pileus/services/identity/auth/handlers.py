"""``/v3/auth``: tokens and what they open."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement

from pileus.core.errors import Unauthenticated
from pileus.services.identity.auth.authenticator import Authenticator, Meaning
from pileus.services.identity.auth.body import Login, PasswordProof, TokenProof, read_login
from pileus.services.identity.auth.session import (
    Account,
    Key,
    ScopeRequest,
    Session,
    account_find,
    session_open,
)
from pileus.services.identity.auth.view import substitutions, token_view
from pileus.services.identity.catalog.catalog import CatalogRow, catalog_rows, catalog_view
from pileus.services.identity.declared import Noun, list_reply
from pileus.services.identity.errors import TokenNotFound, Unauthorized
from pileus.services.identity.grants import HIS_TARGETS, SYSTEM_ID, roles_of
from pileus.services.identity.nouns import DOMAINS, PROJECTS
from pileus.services.identity.passwords import Passwords
from pileus.services.identity.projects import projects
from pileus.services.identity.tokens.keys import TokenKeys
from pileus.services.identity.tokens.payload import Token, new_audit_id, token_seal
from pileus.services.identity.tokens.revocations import token_revoke
from pileus.store.tx import Tx
from pileus.web.reply import Reply
from pileus.web.request import Request

_VARY = (b"vary", b"X-Auth-Token")


class AuthHandlers:
    """The handlers of ``/v3/auth``; ``lifetime`` is how long a new token lives."""

    def __init__(
        self, authenticator: Authenticator, keys: TokenKeys, passwords: Passwords, lifetime: dt.timedelta
    ) -> None:
        self._authenticator = authenticator
        self._keys = keys
        self._passwords = passwords
        self._lifetime = lifetime

    async def issue(self, request: Request) -> Reply:
        """POST /v3/auth/tokens"""
        login = read_login(request.json())
        user_id, parent = await self._prove(request, login)
        catalog_wanted = request.parameter("nocatalog") is None
        session, catalog = await request.read(_open, user_id, login.scope, catalog_wanted)
        token = self._token(request.context.now, session, login, parent)
        return _token_reply(token, session, catalog, token_seal(self._keys, token), 201)

    async def _prove(self, request: Request, login: Login) -> tuple[str, Token | None]:
        """The user that every proof shows, and the token among them. Raises Unauthorized."""
        users, parent = set(), None
        for proof in login.proofs:
            if isinstance(proof, TokenProof):
                parent = (await self._authenticator.meaning(proof.token)).token
                users.add(parent.user_id)
            else:
                users.add((await self._prove_password(request, proof)).id)
        if len(users) != 1:
            raise Unauthorized("the methods name different users")
        return users.pop(), parent

    async def _prove_password(self, request: Request, proof: PasswordProof) -> Account:
        account = await request.read(account_find, proof.user)
        # An unknown user costs as much as a known one, and is answered alike.
        right = await self._passwords.matches(account.password_hash if account else None, proof.password)
        if account is None or not right:
            raise Unauthorized(f"no such user or wrong password: {_shown(proof.user)}")
        return account

    def _token(self, now: dt.datetime, session: Session, login: Login, parent: Token | None) -> Token:
        own = new_audit_id(secrets.token_bytes(16))
        methods = tuple("token" if isinstance(proof, TokenProof) else "password" for proof in login.proofs)
        if parent is None:
            expires_at = (now + self._lifetime).replace(microsecond=0)
            audit_ids: tuple[str, ...] = (own,)
        else:
            expires_at = parent.expires_at
            audit_ids = (own, parent.audit_ids[-1])
            methods = tuple(dict.fromkeys((*parent.methods, *methods)))
        return Token(
            user_id=session.user.id,
            scope=session.scope,
            methods=methods,
            issued_at=now,
            expires_at=expires_at,
            audit_ids=audit_ids,
        )

    async def show(self, request: Request) -> Reply:
        """GET /v3/auth/tokens"""
        meaning, text = await self._subject(request, "identity:validate_token")
        catalog = await request.read(catalog_rows) if request.parameter("nocatalog") is None else None
        return _token_reply(meaning.token, meaning.session, catalog, text, 200)

    async def check(self, request: Request) -> Reply:
        """HEAD /v3/auth/tokens"""
        _, text = await self._subject(request, "identity:check_token")
        return Reply.empty(200, [_VARY]).header("x-subject-token", text)

    async def revoke(self, request: Request) -> Reply:
        """DELETE /v3/auth/tokens"""
        meaning, _ = await self._subject(request, "identity:revoke_token")
        await request.write(token_revoke, request.context, meaning.token)
        return Reply.empty()

    async def _subject(self, request: Request, rule: str) -> tuple[Meaning, str]:
        """The token that the request is about. Raises TokenNotFound, Forbidden."""
        text = request.header("x-subject-token")
        if text is None:
            raise TokenNotFound
        try:
            meaning = await self._authenticator.meaning(text)
        except Unauthenticated:
            raise TokenNotFound from None
        request.authorise(rule, {"target.token.user_id": meaning.token.user_id})
        return meaning, text

    async def catalog(self, request: Request) -> Reply:
        """GET /v3/auth/catalog"""
        request.authorise("identity:get_auth_catalog")
        meaning = await self._authenticator.meaning(request.header("x-auth-token") or "")
        if meaning.session.scope.kind == "unscoped":
            rows: Sequence[CatalogRow] = ()
        else:
            rows = await request.read(catalog_rows)
        catalog = catalog_view(rows, substitutions(meaning.session))
        return Reply.json(
            {"catalog": catalog, "links": {"next": None, "self": request.path_url, "previous": None}}
        )

    async def projects(self, request: Request) -> Reply:
        """GET /v3/auth/projects"""
        return await _his(request, PROJECTS, "identity:get_auth_projects", "project", request.context.user_id)

    async def domains(self, request: Request) -> Reply:
        """GET /v3/auth/domains"""
        return await _his(request, DOMAINS, "identity:get_auth_domains", "domain", request.context.user_id)

    async def system(self, request: Request) -> Reply:
        """GET /v3/auth/system"""
        request.authorise("identity:get_auth_system")
        user_id = request.context.user_id or ""
        found = await request.read(roles_of, user_id, "system", SYSTEM_ID)
        links = {"self": request.path_url}
        return Reply.json({"system": [{"all": True}] if found else [], "links": links})


async def _his(request: Request, noun: Noun, rule: str, kind: str, user_id: str | None) -> Reply:
    """The enabled projects or domains where the user has a role."""
    request.authorise(rule)
    listing = request.dialect.listing(request, noun.resource)
    listing.where += [targets_of(kind, user_id), projects.c.enabled.is_(True)]
    return await list_reply(request, noun, None, listing)


def targets_of(kind: str, user_id: str | None) -> ColumnElement[bool]:
    """The condition that a project or domain is one where the user has a role."""
    return projects.c.id.in_(HIS_TARGETS.params(target_kind=kind, user_id=user_id))


def _open(
    tx: Tx, user_id: str, scope: ScopeRequest, with_catalog: bool
) -> tuple[Session, tuple[CatalogRow, ...] | None]:
    session = session_open(tx, user_id, scope)
    return session, catalog_rows(tx) if with_catalog and session.scope.kind != "unscoped" else None


def _token_reply(
    token: Token, session: Session, catalog: Sequence[CatalogRow] | None, text: str, status: int
) -> Reply:
    body: dict[str, Any] = {"token": token_view(token, session, catalog)}
    return Reply.json(body, status, [_VARY]).header("x-subject-token", text)


def _shown(key: Key) -> str:
    return str(msgspec.structs.asdict(key))
