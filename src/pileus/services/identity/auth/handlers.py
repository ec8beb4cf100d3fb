"""``/v3/auth``: tokens and what they open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from pileus.core.errors import Forbidden, Unauthenticated
from pileus.services.identity.auth.authenticator import Authenticator, Meaning
from pileus.services.identity.auth.body import (
    ApplicationCredentialProof,
    Login,
    PasswordProof,
    Proof,
    TokenProof,
    read_login,
)
from pileus.services.identity.auth.issuer import VARY, Issuer, open_with_catalog, token_reply
from pileus.services.identity.auth.password import PasswordCheck
from pileus.services.identity.auth.session import Account, Key, account_find
from pileus.services.identity.auth.view import substitutions
from pileus.services.identity.catalog.catalog import CatalogRow, catalog_rows, catalog_view
from pileus.services.identity.credentials.application import (
    ApplicationCredential,
    application_credential_find,
)
from pileus.services.identity.declared import Noun, list_reply, turn_of
from pileus.services.identity.errors import TokenNotFound, Unauthorized
from pileus.services.identity.grants import SYSTEM_ID, roles_of, targets_of
from pileus.services.identity.nouns import DOMAINS, PROJECTS
from pileus.services.identity.passwords import Passwords
from pileus.services.identity.projects import projects
from pileus.services.identity.tokens.payload import Token
from pileus.services.identity.tokens.revocations import token_revoke
from pileus.store.tx import Tx
from pileus.web.reply import Reply
from pileus.web.request import Request


class ScopedTokenForbidden(Forbidden):
    """The token of an application credential opens nothing but what it opens (403)."""

    message = (
        "You are not authorized to perform the requested action: Using an application credential token to "
        "create a scoped token is not allowed."
    )


class Proven(msgspec.Struct, frozen=True):
    """Who somebody is: through another token, with the bounds of an application credential, or freely."""

    user_id: str
    parent: Token | None = None
    credential_id: str = ""


class AuthHandlers:
    """The handlers of ``/v3/auth``."""

    def __init__(
        self, authenticator: Authenticator, issuer: Issuer, passwords: Passwords, check: PasswordCheck
    ) -> None:
        self._authenticator = authenticator
        self._issuer = issuer
        self._passwords = passwords
        self._check = check

    async def issue(self, request: Request) -> Reply:
        """POST /v3/auth/tokens"""
        login = read_login(request.json())
        now = request.context.now
        proven = await self._prove(request, login)
        wanted = request.parameter("nocatalog") is None
        session, catalog = await request.read(
            open_with_catalog, now, proven.user_id, login.scope, proven.credential_id, wanted
        )
        token = self._issuer.token(now, session, tuple(map(_method, login.proofs)), proven.parent)
        return self._issuer.reply(token, session, catalog, 201)

    async def _prove(self, request: Request, login: Login) -> Proven:
        """What all proofs together show: one user. Raises Unauthorized, and Forbidden for the token of an
        application credential that shall become one for another scope."""
        found = [await self._prove_one(request, login, proof) for proof in login.proofs]
        if len({one.user_id for one in found}) != 1:
            raise Unauthorized("the methods name different users")
        credentials = {one.credential_id for one in found if one.credential_id}
        if len(credentials) > 1:
            raise Unauthorized("the methods name different application credentials")
        parent = next((one.parent for one in found if one.parent is not None), None)
        return Proven(found[0].user_id, parent, *credentials)

    async def _prove_one(self, request: Request, login: Login, proof: Proof) -> Proven:
        match proof:
            case TokenProof(token=text):
                token = (await self._authenticator.meaning(text)).token
                if token.credential_id and login.scope.chosen:
                    raise ScopedTokenForbidden
                return Proven(token.user_id, token, token.credential_id)
            case PasswordProof():
                return Proven((await self._prove_password(request, proof)).id)
            case ApplicationCredentialProof():
                credential = await self._prove_credential(request, proof)
                return Proven(credential.user_id, None, credential.id)

    async def _prove_password(self, request: Request, proof: PasswordProof) -> Account:
        account = await request.read(account_find, proof.user)
        # An unknown user costs as much as a known one, and is answered alike.
        right = await self._check.holds(request, account, proof.password, proof.user)
        if account is None or not right:
            raise Unauthorized(f"no such user or wrong password: {_shown(proof.user)}")
        return account

    async def _prove_credential(
        self, request: Request, proof: ApplicationCredentialProof
    ) -> ApplicationCredential:
        found = await request.read(_find_credential, proof)
        # as for passwords: what is not there costs as much
        encoded = found.secret_hash if found else None
        right = await request.while_there(
            self._passwords.matches(encoded, proof.secret, turn_of(request, proof.id or proof.user))
        )
        if found is None or not right:
            raise Unauthorized(f"no such application credential or wrong secret: {proof.id or proof.name}")
        return found

    async def show(self, request: Request) -> Reply:
        """GET /v3/auth/tokens"""
        meaning, text = await self._subject(request, "identity:validate_token")
        catalog = await request.read(catalog_rows) if request.parameter("nocatalog") is None else None
        return token_reply(meaning.token, meaning.session, catalog, text, 200)

    async def check(self, request: Request) -> Reply:
        """HEAD /v3/auth/tokens"""
        _, text = await self._subject(request, "identity:check_token")
        return Reply.empty(200, [VARY]).header("x-subject-token", text)

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


async def _his(
    request: Request, noun: Noun, rule: str, kind: Literal["project", "domain"], user_id: str | None
) -> Reply:
    """The enabled projects or domains where the user has a role."""
    request.authorise(rule)
    listing = request.dialect.listing(request, noun.resource)
    his = [targets_of(kind, user_id), projects.c.enabled.is_(True)]
    return await list_reply(request, noun, None, listing, his)


def _find_credential(tx: Tx, proof: ApplicationCredentialProof) -> ApplicationCredential | None:
    if proof.user is None:
        return application_credential_find(tx, proof.id)
    account = account_find(tx, proof.user)
    return application_credential_find(tx, user_id=account.id, name=proof.name) if account else None


def _method(proof: Proof) -> str:
    match proof:
        case TokenProof():
            return "token"
        case PasswordProof():
            return "password"
        case ApplicationCredentialProof():
            return "application_credential"


def _shown(key: Key) -> str:
    return str(msgspec.structs.asdict(key))
