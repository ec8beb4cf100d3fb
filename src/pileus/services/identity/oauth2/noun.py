"""``POST /v3/OS-OAUTH2/token``: the grant ``client_credentials`` (RFC 6749), also by mutual TLS (RFC 8705).

A client is an application credential with its secret, or a user whom the certificate of the connection names.
Such a token is bound to the certificate: it is good only where that comes with it. Errors are OAuth's.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

import msgspec
from cryptography import x509
from sqlalchemy import select

from pileus.core.errors import Fault, Kind
from pileus.resource import types
from pileus.services.identity.auth.admission import require_active
from pileus.services.identity.auth.body import ApplicationCredentialProof, Login
from pileus.services.identity.auth.issuer import Issuer
from pileus.services.identity.auth.noun import AuthHandlers
from pileus.services.identity.auth.receipts import InsufficientAuthMethods, Receipts
from pileus.services.identity.common.errors import Unauthorized
from pileus.services.identity.common.replies import TEXT, shape
from pileus.services.identity.rules.compliance import Compliance
from pileus.services.identity.rules.mapping import Mapped, NotMapped, mapping_apply
from pileus.services.identity.sessions.session import Account, ById, ScopeRequest, account_find
from pileus.services.identity.tables.federation import mappings
from pileus.services.identity.tables.users import users
from pileus.services.identity.tokens.payload import Token
from pileus.store.tx import Tx
from pileus.web.client_certificate import client_certificate, thumbprint
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Route

METHOD = "oauth2_credential"
MOST_BYTES = 16384
_FAILED = "Client authentication failed."
_UNKNOWN = "An unknown error occurred and failed to get an OAuth2.0 access token."


class OAuth2Settings(msgspec.Struct, frozen=True, kw_only=True):
    """``authn_methods`` are the ways in which clients may show who they are; ``mapping_id`` names the mapping
    that reads certificates."""

    authn_methods: tuple[str, ...] = ("tls_client_auth", "client_secret_basic")
    mapping_id: str = "oauth2_mapping"


class _Refusal(Exception):
    """A refusal in OAuth's words."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(description)
        self.status, self.error, self.description = status, error, description

    def reply(self) -> Reply:
        reply = Reply.json({"error": self.error, "error_description": self.description}, self.status)
        if self.status == 401:
            reply.header("www-authenticate", 'Keystone uri="/identity/v3"')
        return reply.header("cache-control", "no-store")


class OAuth2Handlers:
    """The handlers; ``auth`` checks application credentials as at a log-in."""

    def __init__(
        self,
        auth: AuthHandlers,
        issuer: Issuer,
        receipts: Receipts,
        settings: OAuth2Settings,
        compliance: Compliance,
    ) -> None:
        self._auth = auth
        self._issuer = issuer
        self._receipts = receipts
        self._settings = settings
        self._compliance = compliance

    async def token(self, request: Request) -> Reply:
        """POST /v3/OS-OAUTH2/token"""
        try:
            token = await self._grant(request, _form(request))
        except _Refusal as refusal:
            return refusal.reply()
        except Fault as fault:
            return _of_fault(fault).reply()
        seconds = int((token.expires_at - request.context.now).total_seconds())
        body = {
            "access_token": await self._issuer.seal(token),
            "token_type": "Bearer",
            "expires_in": max(0, seconds),
        }
        return Reply.json(body).header("cache-control", "no-store")

    async def no_method(self, request: Request) -> Reply:
        """Other verbs on the same path."""
        return _Refusal(405, "other_error", "The method is not allowed for the requested URL.").reply()

    async def _grant(self, request: Request, form: Mapping[str, str]) -> Token:
        grant = form.get("grant_type")
        if grant is None:
            raise _Refusal(400, "invalid_request", "The parameter grant_type is required.")
        if grant != "client_credentials":
            text = f"The parameter grant_type {grant} is not supported."
            raise _Refusal(400, "unsupported_grant_type", text)
        certificate = client_certificate(request.scope, request.settings)
        client_id, secret = form.get("client_id"), form.get("client_secret")
        if certificate is None:
            client_id, secret = _basic(request) or (client_id, secret)
        methods = self._settings.authn_methods
        if client_id and certificate is not None and "tls_client_auth" in methods:
            return await self._by_certificate(request, client_id, certificate)
        if client_id and certificate is None and secret and "client_secret_basic" in methods:
            login = Login((ApplicationCredentialProof(secret, client_id, "", None),), ScopeRequest())
            return (await self._auth.log_in(request, login, catalog=False))[0]
        raise _Refusal(401, "invalid_client", _FAILED)

    async def _by_certificate(self, request: Request, client_id: str, certificate: bytes) -> Token:
        """A token of the user whose id is the client's, if the certificate names that user."""
        now = request.context.now
        account, email, rules = await request.read(_client, client_id, self._settings.mapping_id)
        if account is None or not account.enabled or not account.default_project_id or rules is None:
            raise Unauthorized(f"client {client_id} has no user, no default project, or no mapping")
        try:
            mapped = mapping_apply(rules[0], rules[1], _names(certificate))
        except (NotMapped, ValueError) as reason:
            raise Unauthorized(f"the certificate of client {client_id}: {reason}") from None
        if not _is_his(mapped, account, email):
            raise Unauthorized(f"the certificate is not that of client {client_id}")

        def admit(found: Account) -> None:
            require_active(now, self._compliance, found)
            self._receipts.require(found, (METHOD,), None)

        scope = ScopeRequest("project", ById(account.default_project_id), True)
        session, _ = await request.read(self._issuer.open, now, account.id, scope, "", False, admit)
        return self._issuer.token(now, session, (METHOD,), certificate=thumbprint(certificate))


def _form(request: Request) -> dict[str, str]:
    if len(request.body) > MOST_BYTES:
        raise _Refusal(400, "invalid_request", "The request is too long.")
    try:
        pairs = parse_qsl(request.body.decode(), keep_blank_values=True, max_num_fields=50)
    except ValueError:
        raise _Refusal(400, "invalid_request", "The form can't be read.") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise _Refusal(400, "invalid_request", "A parameter is there twice.")
    return form


def client_named(request: Request) -> str | None:
    """The client that a request names, if it can be read."""
    try:
        form = _form(request)
    except _Refusal:
        return None
    if client_certificate(request.scope, request.settings) is None and (basic := _basic(request)):
        return basic[0]
    return form.get("client_id")


def _basic(request: Request) -> tuple[str, str] | None:
    """Client and secret of HTTP's basic authentication; both may be percent-encoded (RFC 6749, 2.3.1)."""
    kind, _, value = (request.header("authorization") or "").partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        name, colon, secret = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return (unquote_plus(name), unquote_plus(secret)) if colon else None


def _client(
    tx: Tx, client_id: str, mapping_id: str
) -> tuple[Account | None, str | None, tuple[Any, str] | None]:
    """The user with that id, his mail address, and the mapping."""
    account = account_find(tx, ById(client_id))
    extra = tx.scalar(select(users.c.extra).where(users.c.id == client_id)) or {}
    row = tx.first(select(mappings.c.rules, mappings.c.schema_version).where(mappings.c.id == mapping_id))
    return account, extra.get("email"), None if row is None else (row.rules, row.schema_version)


def _names(certificate: bytes) -> dict[str, list[str]]:
    """The names in a certificate as a mapping sees them: ``SSL_CLIENT_SUBJECT_DN_CN`` and so on."""
    parsed = x509.load_der_x509_certificate(certificate)
    found: dict[str, list[str]] = {}
    for whose, name in (("SUBJECT", parsed.subject), ("ISSUER", parsed.issuer)):
        for attribute in name:
            mail = attribute.oid == x509.NameOID.EMAIL_ADDRESS
            short = "EMAILADDRESS" if mail else attribute.rfc4514_attribute_name.upper()
            found.setdefault(f"SSL_CLIENT_{whose}_DN_{short}", []).append(str(attribute.value))
    return found


def _is_his(mapped: Mapped, account: Account, email: str | None) -> bool:
    """Whether all that the mapping says of the user is true of him; it has to say who he is."""
    user, domain = mapped.user, mapped.user.get("domain") or {}
    if not user.get("id") and not (user.get("name") and domain):
        return False
    pairs = (
        (user.get("id"), account.id),
        (user.get("name"), account.name),
        (user.get("email"), email),
        (domain.get("id"), account.domain_id),
        (domain.get("name"), account.domain_name),
    )
    return all(said is None or said == true for said, true in pairs)


def _of_fault(fault: Fault) -> _Refusal:
    if isinstance(fault, InsufficientAuthMethods) or fault.kind is Kind.UNAUTHENTICATED:
        return _Refusal(401, "invalid_client", _FAILED)
    if fault.kind is Kind.INVALID:
        return _Refusal(400, "invalid_request", fault.text)
    if fault.kind in (Kind.TOO_MANY, Kind.UNAVAILABLE):
        raise fault
    return _Refusal(403 if fault.kind is Kind.FORBIDDEN else 500, "other_error", _UNKNOWN)


def noun(handlers: OAuth2Handlers) -> Noun:
    """Make the noun."""
    path = "/v3/OS-OAUTH2/token"
    given = shape({"access_token": TEXT, "token_type": TEXT, "expires_in": types.integer(0)})
    return Noun(
        name="oauth2",
        routes=(
            Route(
                "POST",
                path,
                handlers.token,
                authenticated=False,
                body=NO_BODY,
                reply=given,
                summary="Get an OAuth 2.0 access token",
            ),
            *(
                Route(
                    method,
                    path,
                    handlers.no_method,
                    authenticated=False,
                    status=405,
                    body=NO_BODY,
                    reply=NO_BODY,
                    summary="Not allowed",
                )
                for method in ("GET", "PUT", "PATCH", "DELETE")
            ),
        ),
    )
