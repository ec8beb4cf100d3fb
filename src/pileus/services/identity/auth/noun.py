"""``/v3/auth``: tokens, and what the caller can reach with his."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from sqlalchemy import ColumnElement

from pileus.core.errors import Forbidden, Unauthenticated
from pileus.resource import types
from pileus.services.identity.auth.admission import activity_note, require_active, require_fresh_password
from pileus.services.identity.auth.body import (
    AUTH_BODY,
    ApplicationCredentialProof,
    Login,
    OAuth1Proof,
    PasswordProof,
    Proof,
    TokenProof,
    read_login,
)
from pileus.services.identity.auth.issuer import (
    VARY,
    Issuer,
    require_use,
)
from pileus.services.identity.auth.receipts import InsufficientAuthMethods, Receipts
from pileus.services.identity.auth.totp import TotpCheck, TotpProof
from pileus.services.identity.auth.view import TOKEN_REPLY, substitutions
from pileus.services.identity.catalog.catalog import CATALOG, CatalogRow, catalog_view
from pileus.services.identity.common.errors import TokenNotFound, Unauthorized
from pileus.services.identity.common.policy import ADMIN, READ, rules
from pileus.services.identity.common.replies import LINKS, PAGE_LINKS, one_page_links, own_link, shape
from pileus.services.identity.directory.directories import Directories
from pileus.services.identity.oauth1.tokens import proven_access
from pileus.services.identity.passwords.check import PasswordCheck, origin_of
from pileus.services.identity.passwords.hashing import Passwords
from pileus.services.identity.projects.declared import PROJECTS
from pileus.services.identity.projects.domains import DOMAINS
from pileus.services.identity.projects.resource import DOMAIN, PROJECT
from pileus.services.identity.rules.compliance import Compliance
from pileus.services.identity.sessions.authenticator import Authenticated, Authenticator
from pileus.services.identity.sessions.delegation import ApplicationCredential, application_credential_find
from pileus.services.identity.sessions.session import Account, ById, Key, ScopeRequest, Session, account_find
from pileus.services.identity.standing.grants import SYSTEM_ID, roles_of, targets_of
from pileus.services.identity.tables.projects import projects
from pileus.services.identity.tokens.keys import TokenKeys
from pileus.services.identity.tokens.payload import Token
from pileus.services.identity.tokens.revocations import token_revoke
from pileus.store.tx import Tx
from pileus.web.client_certificate import client_certificate, thumbprint
from pileus.web.crud import list_reply
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route


class RescopeForbidden(Forbidden):
    """A token can't become this other one (403)."""

    message = "You are not authorized to perform the requested action: {action}."


ACCESS_RULES_VERSION = 1.0
"""The first version of access rules: services that keep to them name theirs."""

_BY_APPLICATION_CREDENTIAL = "Using an application credential token to create a scoped token is not allowed."
_BY_TRUST = "Using trust-scoped token to create another token. Create a new trust-scoped token instead"
_BY_OAUTH = "Using OAuth-scoped token to create another token. Create a new OAuth-scoped token instead"
_BY_SYSTEM = "Using a system-scoped token to create a project-scoped or domain-scoped token is not allowed."


def _refuse_rescope(token: Token, login: Login) -> None:
    """Raise RescopeForbidden where a token must not become what is asked for.

    What somebody acts with for another would grow; the sentences are Keystone's, a full stop too many
    where it has one.
    """
    if token.access_token_id:
        raise RescopeForbidden(action=_BY_OAUTH)
    if token.trust_id:
        raise RescopeForbidden(action=_BY_TRUST)
    if token.scope.kind == "system" and login.scope.kind in ("project", "domain"):
        raise RescopeForbidden(action=_BY_SYSTEM)
    if token.credential_id and login.scope.chosen:
        raise RescopeForbidden(action=_BY_APPLICATION_CREDENTIAL)


class Proven(msgspec.Struct, frozen=True):
    """The user that the proofs show: by another token, within an application credential, or freely.

    ``scope`` is the only one that they are good for, where that is so.
    """

    user_id: str
    parent: Token | None = None
    credential_id: str = ""
    scope: ScopeRequest | None = None


class AuthHandlers:
    """The handlers of ``/v3/auth``."""

    def __init__(
        self,
        authenticator: Authenticator,
        issuer: Issuer,
        passwords: Passwords,
        check: PasswordCheck,
        totp: TotpCheck,
        receipts: Receipts,
        credential_keys: TokenKeys,
        compliance: Compliance | None = None,
        directories: Directories | None = None,
    ) -> None:
        self._authenticator = authenticator
        self._issuer = issuer
        self._passwords = passwords
        self._check = check
        self._totp = totp
        self._receipts = receipts
        self._credential_keys = credential_keys
        self._compliance = compliance or Compliance()
        self._directories = directories

    async def issue(self, request: Request) -> Reply:
        """POST /v3/auth/tokens"""
        try:
            token, session, catalog = await self.log_in(request, read_login(request))
        except InsufficientAuthMethods as insufficient:
            return await self._receipts.reply(request.context.now, insufficient)
        return await self._issuer.reply(token, session, catalog, 201)

    async def log_in(
        self, request: Request, login: Login, *, catalog: bool = True
    ) -> tuple[Token, Session, Sequence[CatalogRow] | None]:
        """A token for what a login shows, with its session and catalog. Raises InsufficientAuthMethods, with
        which a receipt may be given, and Unauthorized."""
        now = request.context.now
        proven = await self._prove(request, login)
        receipt = await self._receipts.read(request, proven.user_id)
        methods = tuple(map(_method, login.proofs)) + (receipt.methods if receipt else ())
        shown = tuple(dict.fromkeys(methods + (proven.parent.methods if proven.parent else ())))
        wanted = catalog and request.parameter("nocatalog") is None

        admitted: list[Account] = []

        def admit(account: Account) -> None:
            require_active(now, self._compliance, account)
            self._receipts.require(account, shown, receipt)
            admitted[:] = [account]

        session, rows = await request.read(
            self._issuer.open,
            now,
            proven.user_id,
            proven.scope or login.scope,
            proven.credential_id,
            wanted,
            admit,
        )
        for account in admitted if proven.parent is None else ():
            if self._compliance.notes_activity(now, account.active_at):
                await request.write(activity_note, now, account.id)
            if not proven.credential_id:
                await self._check.admitted(request, account)
        await require_use(request, session)
        return self._issuer.token(now, session, tuple(dict.fromkeys(methods)), proven.parent), session, rows

    async def _prove(self, request: Request, login: Login) -> Proven:
        """Find the one user that all proofs show.

        Raises Unauthorized, and Forbidden for the token of an application credential that shall become one
        for another scope.
        """
        # A passcode counts once: it is looked at when everything else was right.
        ordered = sorted(login.proofs, key=lambda proof: isinstance(proof, TotpProof))
        found: list[Proven] = []
        for proof in ordered:
            found.append(await self._prove_one(request, login, proof, found))
        if len({one.user_id for one in found}) != 1:
            raise Unauthorized("the methods name different users")
        credentials = {one.credential_id for one in found if one.credential_id}
        if len(credentials) > 1:
            raise Unauthorized("the methods name different application credentials")
        parent = next((one.parent for one in found if one.parent is not None), None)
        scope = next((one.scope for one in found if one.scope is not None), None)
        return Proven(found[0].user_id, parent, next(iter(credentials), ""), scope)

    async def _prove_one(
        self, request: Request, login: Login, proof: Proof, before: Sequence[Proven]
    ) -> Proven:
        match proof:
            case TokenProof(token=text):
                try:
                    token = (await self._authenticator.authenticate(text)).token
                except Unauthenticated:
                    raise TokenNotFound from None
                certificate = client_certificate(request.scope, request.settings)
                if token.certificate and (
                    certificate is None or thumbprint(certificate) != token.certificate
                ):
                    raise Unauthorized("the token is bound to a certificate that did not come")
                _refuse_rescope(token, login)
                return Proven(token.user_id, token, token.credential_id)
            case PasswordProof():
                return Proven((await self._prove_password(request, proof)).id)
            case TotpProof():
                proven = [await self._receipts.holder(request), *(one.user_id for one in before)]
                return Proven((await self._totp.account(request, proof, proven)).id)
            case OAuth1Proof():
                access = await proven_access(request, self._credential_keys)
                return Proven(access.user_id, scope=ScopeRequest("oauth1", ById(access.id), True))
            case ApplicationCredentialProof():
                credential = await self._prove_credential(request, proof)
                return Proven(credential.user_id, None, credential.id)

    async def _prove_password(self, request: Request, proof: PasswordProof) -> Account:
        account = await request.read(account_find, proof.user)
        if self._directories is not None:
            theirs, account = await self._directories.log_in(request, proof.user, account, proof.password)
            if theirs and account is not None:
                return account
        # An unknown user costs as much as a known one, and is answered alike.
        right = await self._check.holds(request, account, proof.password, proof.user)
        if account is None or not right:
            raise Unauthorized(f"no such user or wrong password: {_shown(proof.user)}")
        require_fresh_password(request.context.now, account)
        return account

    async def _prove_credential(
        self, request: Request, proof: ApplicationCredentialProof
    ) -> ApplicationCredential:
        found = await request.read(_find_credential, proof)
        # as for passwords: what is not there costs as much
        encoded = found.secret_hash if found else None
        right = await request.while_there(
            self._passwords.matches(encoded, proof.secret, origin_of(request, proof.id or proof.user))
        )
        if found is None or not right:
            raise Unauthorized(f"no such application credential or wrong secret: {proof.id or proof.name}")
        return found

    async def show(self, request: Request) -> Reply:
        """GET /v3/auth/tokens"""
        authenticated, text = await self._subject(request, "identity:validate_token")
        catalog = None
        if request.parameter("nocatalog") is None:
            catalog = await request.read(self._issuer.catalog, authenticated.session)
        return await self._issuer.document(authenticated.token, authenticated.session, catalog, text, 200)

    async def check(self, request: Request) -> Reply:
        """HEAD /v3/auth/tokens"""
        _, text = await self._subject(request, "identity:check_token")
        return Reply.empty(200, [VARY]).header("x-subject-token", text)

    async def revoke(self, request: Request) -> Reply:
        """DELETE /v3/auth/tokens"""
        authenticated, _ = await self._subject(request, "identity:revoke_token")
        await request.write(token_revoke, request.context, authenticated.token)
        return Reply.empty()

    async def _subject(self, request: Request, rule: str) -> tuple[Authenticated, str]:
        """The token that the request is about. Raises TokenNotFound, Forbidden."""
        text = request.header("x-subject-token")
        if text is None:
            raise TokenNotFound
        try:
            authenticated = await self._authenticator.authenticate(text)
        except Unauthenticated:
            raise TokenNotFound from None
        if authenticated.session.access_rules is not None and not _knows_access_rules(request):
            raise TokenNotFound
        request.authorise(rule, {"target.token.user_id": authenticated.session.user.id})
        return authenticated, text

    async def catalog(self, request: Request) -> Reply:
        """GET /v3/auth/catalog"""
        request.authorise("identity:get_auth_catalog")
        authenticated = await self._authenticator.authenticate(request.header("x-auth-token") or "")
        if authenticated.session.scope.kind == "unscoped":
            rows: Sequence[CatalogRow] = ()
        else:
            rows = await request.read(self._issuer.catalog, authenticated.session)
        catalog = catalog_view(rows, substitutions(authenticated.session))
        return Reply.json({"catalog": catalog, "links": one_page_links(request)})

    async def projects(self, request: Request) -> Reply:
        """GET /v3/auth/projects"""
        request.authorise("identity:get_auth_projects")
        return await list_reply(request, PROJECTS, await self._with_roles(request, "project"))

    async def domains(self, request: Request) -> Reply:
        """GET /v3/auth/domains"""
        request.authorise("identity:get_auth_domains")
        return await list_reply(request, DOMAINS, await self._with_roles(request, "domain"))

    async def _with_roles(
        self, request: Request, kind: Literal["project", "domain"]
    ) -> list[ColumnElement[bool]]:
        """The conditions of the enabled projects or domains where the caller has a role."""
        user = (await self._authenticator.authenticate(request.header("x-auth-token") or "")).session.user
        return [targets_of(kind, user.id, user.groups), projects.c.enabled.is_(True)]

    async def system(self, request: Request) -> Reply:
        """GET /v3/auth/system"""
        request.authorise("identity:get_auth_system")
        user_id = request.context.user_id or ""
        found = await request.read(roles_of, user_id, "system", SYSTEM_ID)
        return Reply.json({"system": [{"all": True}] if found else [], "links": own_link(request)})


def _knows_access_rules(request: Request) -> bool:
    """Whether the service that asks about a token says that it keeps to access rules."""
    try:
        return float(request.header("openstack-identity-access-rules") or 0) >= ACCESS_RULES_VERSION
    except ValueError:
        return False


def _find_credential(tx: Tx, proof: ApplicationCredentialProof) -> ApplicationCredential | None:
    if proof.user is None:
        return application_credential_find(tx, proof.id)
    account = account_find(tx, proof.user)
    return application_credential_find(tx, user_id=account.id, name=proof.name) if account else None


def _method(proof: Proof) -> str:
    match proof:
        case TokenProof():
            return "token"
        case OAuth1Proof():
            return "oauth1"
        case PasswordProof():
            return "password"
        case TotpProof():
            return "totp"
        case ApplicationCredentialProof():
            return "application_credential"


def _shown(key: Key) -> str:
    return str(msgspec.structs.asdict(key))


_CATALOG_REPLY = shape({"catalog": CATALOG, "links": PAGE_LINKS})
_SYSTEM_REPLY = shape({"system": types.list_of(shape({"all": types.strict_boolean})), "links": LINKS})


def _token_routes(handlers: AuthHandlers) -> tuple[Route, ...]:
    tokens = "/v3/auth/tokens"
    return (
        Route(
            "POST",
            tokens,
            handlers.issue,
            authenticated=False,
            status=201,
            body=AUTH_BODY,
            reply=TOKEN_REPLY,
            summary="Log in",
        ),
        Route(
            "GET",
            tokens,
            handlers.show,
            rule="identity:validate_token",
            reply=TOKEN_REPLY,
            summary="Show a token",
        ),
        Route("HEAD", tokens, handlers.check, rule="identity:check_token", summary="Check a token"),
        Route(
            "DELETE",
            tokens,
            handlers.revoke,
            status=204,
            rule="identity:revoke_token",
            summary="Revoke a token",
        ),
    )


def _reach_routes(handlers: AuthHandlers) -> tuple[Route, ...]:
    return (
        Route(
            "GET",
            "/v3/auth/catalog",
            handlers.catalog,
            rule="identity:get_auth_catalog",
            reply=_CATALOG_REPLY,
            summary="Show the catalog",
        ),
        *(
            Route(
                "GET",
                path,
                handlers.projects,
                resource=PROJECT,
                action="list",
                rule="identity:get_auth_projects",
                summary="List the caller's projects",
            )
            for path in ("/v3/auth/projects", "/v3/OS-FEDERATION/projects")
        ),
        *(
            Route(
                "GET",
                path,
                handlers.domains,
                resource=DOMAIN,
                action="list",
                rule="identity:get_auth_domains",
                summary="List the caller's domains",
            )
            for path in ("/v3/auth/domains", "/v3/OS-FEDERATION/domains")
        ),
        Route(
            "GET",
            "/v3/auth/system",
            handlers.system,
            rule="identity:get_auth_system",
            reply=_SYSTEM_REPLY,
            summary="List the caller's system scopes",
        ),
    )


def noun(handlers: AuthHandlers) -> Noun:
    """Make the noun."""
    return Noun(
        name="auth",
        routes=(*_token_routes(handlers), *_reach_routes(handlers)),
        rules=rules(
            {
                "get_auth_catalog": "",
                "get_auth_projects": "",
                "get_auth_domains": "",
                "get_auth_system": "",
                "check_token": f"{READ} or rule:token_subject",
                "validate_token": f"{READ} or rule:service_role or rule:token_subject",
                "revoke_token": f"{ADMIN} or rule:token_subject",
            }
        ),
    )
