"""Log-ins by an identity provider: with a bearer token, and through a browser (WebSSO)."""

from __future__ import annotations

import calendar
import datetime as dt
import hmac
import html
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from pileus.core.errors import Invalid, NotFound
from pileus.resource import types
from pileus.services.identity.auth.admission import require_active
from pileus.services.identity.auth.issuer import Issuer
from pileus.services.identity.auth.receipts import InsufficientAuthMethods, Receipts
from pileus.services.identity.auth.view import TOKEN_REPLY
from pileus.services.identity.common.errors import Unauthorized
from pileus.services.identity.federation.claims import mapped_claims
from pileus.services.identity.federation.login import (
    Provider,
    provider_find,
    providers_with,
    require_remote_id,
    user_take_in,
)
from pileus.services.identity.federation.openid import OpenId, challenge_of
from pileus.services.identity.rules.compliance import Compliance
from pileus.services.identity.rules.mapping import NotMapped, mapping_apply
from pileus.services.identity.sessions.session import Account, ScopeRequest
from pileus.services.identity.tokens.ring import KeyRing
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Route

WITHIN_S = 600
"""For so long a browser may be away at the identity provider."""
COOKIE = "pileus-sso"


class UntrustedDashboard(Invalid):
    """The browser came from a dashboard that no setting names (400)."""

    message = "{origin} is not a trusted dashboard host"


class MissingOrigin(Invalid):
    """The request does not say which dashboard the browser came from (400)."""

    message = (
        "Request must have an origin query parameter. The server could not comply with the request since it "
        "is either malformed or otherwise incorrect. The client is assumed to be in error."
    )


class ManyProviders(Invalid):
    """Several identity providers have the protocol, or none: the path has to name one (400)."""

    message = "{count} identity providers have the protocol {protocol}: the path has to name one"


class NoSaml(NotFound):
    """SAML is not served (404)."""

    message = "SAML 2.0 is not served by this cloud; OpenID Connect is."


class FederationSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``trusted_dashboards`` are whole addresses that tokens may be posted to."""

    trusted_dashboards: tuple[str, ...] = ()
    default_authorization_ttl: int = 0


class _Away(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """The state that a browser carries to the identity provider and back, sealed."""

    kind: str
    idp_id: str
    protocol_id: str
    origin: str
    nonce: str
    verifier: str
    browser: str
    until_s: int


class FederationHandlers:
    """The handlers."""

    def __init__(
        self,
        openid: OpenId,
        issuer: Issuer,
        receipts: Receipts,
        ring: KeyRing,
        lifetime: dt.timedelta,
        settings: FederationSettings,
        compliance: Compliance,
    ) -> None:
        self._openid = openid
        self._issuer = issuer
        self._receipts = receipts
        self._ring = ring
        self._lifetime = lifetime
        self._settings = settings
        self._compliance = compliance

    async def authenticate(self, request: Request) -> Reply:
        """GET or POST …/identity_providers/{idp_id}/protocols/{id}/auth, with a bearer token."""
        provider = await request.read(provider_find, request.path["idp_id"], request.path["id"])
        kind, _, text = (request.header("authorization") or "").partition(" ")
        if kind.lower() != "bearer" or not text.strip():
            raise Unauthorized("no bearer token came with the request")
        claims = await self._claims(request, provider, text.strip())
        return await self._log_in(request, provider, claims)

    async def _claims(
        self, request: Request, provider: Provider, text: str, nonce: str | None = None
    ) -> dict[str, Any]:
        now_s = calendar.timegm(request.context.now.timetuple())
        return await self._openid.claims(text, provider.remote_ids, now_s, nonce)

    async def _log_in(self, request: Request, provider: Provider, claims: Mapping[str, Any]) -> Reply:
        """An unscoped token for the user that the claims give."""
        now, method = request.context.now, provider.protocol_id
        try:
            said = mapped_claims(claims)
            require_remote_id(provider, said)
            mapped = mapping_apply(provider.rules, provider.version, said)
        except NotMapped as reason:
            raise Unauthorized(f"claims of {provider.id}: {reason}") from None
        user_id, foreign = await request.write(
            user_take_in,
            request.context,
            provider,
            mapped,
            self._lifetime,
            self._settings.default_authorization_ttl,
        )

        def admit(account: Account) -> None:
            require_active(now, self._compliance, account)
            self._receipts.require(account, (method,), None)

        try:
            session, catalog = await request.read(
                self._issuer.open, now, user_id, ScopeRequest(chosen=True), "", False, admit
            )
        except InsufficientAuthMethods as insufficient:
            return await self._receipts.reply(now, insufficient)
        shown_by = (provider.id, method) if foreign else ("", "")
        token = self._issuer.token(now, session, (method,), shown_by=shown_by)
        return await self._issuer.reply(token, session, catalog, 201)

    async def websso(self, request: Request) -> Reply:
        """GET …/websso/{id} and …/identity_providers/{idp_id}/protocols/{id}/websso: off to the provider."""
        origin = request.parameter("origin")
        if not origin:
            raise MissingOrigin
        if origin not in self._settings.trusted_dashboards:
            raise UntrustedDashboard(origin=origin)
        protocol_id, idp_id = request.path["id"], request.path.get("idp_id")
        if idp_id is None:
            several = await request.read(providers_with, protocol_id)
            if len(several) != 1:
                raise ManyProviders(count=len(several), protocol=protocol_id)
            idp_id = several[0]
        provider = await request.read(provider_find, idp_id, protocol_id)
        if not provider.remote_ids or not self._openid.settings.client_id:
            raise Unauthorized("the provider has no issuer, or no client is set")
        document = await self._openid.document(provider.remote_ids[0])
        browser, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        now_s = calendar.timegm(request.context.now.timetuple())
        nonce = secrets.token_urlsafe(24)
        await self._ring.keep_up()
        away = _Away("sso", idp_id, protocol_id, origin, nonce, verifier, browser, now_s + WITHIN_S)
        query = {
            "response_type": "code",
            "scope": "openid profile email",
            "client_id": self._openid.settings.client_id,
            "redirect_uri": _callback(request),
            "state": self._ring.keys.seal(msgspec.msgpack.encode(away), now_s),
            "nonce": nonce,
            "code_challenge": challenge_of(verifier),
            "code_challenge_method": "S256",
        }
        target = str(document.get("authorization_endpoint") or "")
        if not target.startswith(("https://", "http://")):
            raise Unauthorized("the provider has no authorization endpoint")
        secure = "; Secure" if _callback(request).startswith("https:") else ""
        cookie = f"{COOKIE}={browser}; Path=/; Max-Age={WITHIN_S}; HttpOnly; SameSite=Lax{secure}"
        joint = "&" if "?" in target else "?"
        reply = Reply.empty(302).header("location", f"{target}{joint}{urlencode(query)}")
        return reply.header("set-cookie", cookie).header("cache-control", "no-store")

    async def callback(self, request: Request) -> Reply:
        """GET …/websso-callback: back from the provider, and on to the dashboard with a token."""
        away = await self._away(request)
        provider = await request.read(provider_find, away.idp_id, away.protocol_id)
        code = request.parameter("code")
        if not code or not provider.remote_ids:
            raise Unauthorized(f"the provider says {request.parameter('error')!r}")
        settings = self._openid.settings
        document = await self._openid.document(provider.remote_ids[0])
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": _callback(request),
            "code_verifier": away.verifier,
        }
        client = (settings.client_id, settings.client_secret) if settings.client_secret else None
        if client is None:
            form["client_id"] = settings.client_id
        given = await self._openid.fetcher.post(str(document.get("token_endpoint") or ""), form, client)
        if not isinstance(given.get("id_token"), str):
            raise Unauthorized("the provider gave no ID token")
        claims = await self._claims(request, provider, given["id_token"], away.nonce)
        reply = await self._log_in(request, provider, claims)
        token = next((value for name, value in reply.headers if name == b"x-subject-token"), None)
        return reply if token is None else _posting(away.origin, token.decode())

    async def _away(self, request: Request) -> _Away:
        """Open the state that this browser carried. Raises Unauthorized for another's."""
        await self._ring.keep_up()
        payload = self._ring.keys.open(request.parameter("state") or "")
        try:
            away = msgspec.msgpack.decode(payload or b"", type=_Away)
        except msgspec.DecodeError:
            raise Unauthorized("the state is none of ours") from None
        cookies = [part.strip() for part in (request.header("cookie") or "").split(";")]
        own = next((one[len(COOKIE) + 1 :] for one in cookies if one.startswith(f"{COOKIE}=")), "")
        late = calendar.timegm(request.context.now.timetuple()) > away.until_s
        if away.kind != "sso" or late or not hmac.compare_digest(own.encode(), away.browser.encode()):
            raise Unauthorized("the state is another browser's, or too old")
        return away

    async def no_saml(self, request: Request) -> Reply:
        """SAML's addresses: told to be absent."""
        raise NoSaml


def _callback(request: Request) -> str:
    return f"{request.service_url}/v3/auth/OS-FEDERATION/websso-callback"


def _posting(origin: str, token: str) -> Reply:
    """A page that posts a token to the dashboard, by a script that its own policy names."""
    nonce = secrets.token_urlsafe(16)
    page = (
        '<!DOCTYPE html><html><head><meta charset="utf-8"><title>Log-in</title></head><body>'
        f'<form id="sso" name="sso" action="{html.escape(origin)}" method="post">'
        f'<input type="hidden" name="token" value="{html.escape(token)}">'
        '<noscript><input type="submit" value="Continue"></noscript></form>'
        f'<script nonce="{nonce}">document.getElementById("sso").submit();</script></body></html>'
    )
    policy = f"default-src 'none'; script-src 'nonce-{nonce}'; frame-ancestors 'none'; base-uri 'none'"
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", policy.encode()),
        (b"cache-control", b"no-store"),
        (b"referrer-policy", b"no-referrer"),
        (b"set-cookie", f"{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax".encode()),
    ]
    return Reply(200, page.encode(), headers)


def noun(handlers: FederationHandlers) -> Noun:
    """Make the noun."""
    of_protocol = "identity_providers/{idp_id}/protocols/{id}"
    auth, federation = "/v3/auth/OS-FEDERATION", "/v3/OS-FEDERATION"

    def route(method: str, path: str, handler: Any, summary: str, status: int = 200, **more: Any) -> Route:
        return Route(
            method, path, handler, authenticated=False, status=status, summary=summary, body=NO_BODY, **more
        )

    return Noun(
        name="federation",
        routes=(
            *(
                route(
                    method,
                    f"{federation}/{of_protocol}/auth",
                    handlers.authenticate,
                    "Log in by an identity provider",
                    201,
                    reply=TOKEN_REPLY,
                )
                for method in ("GET", "POST")
            ),
            *(
                route(
                    method,
                    path,
                    handlers.websso,
                    "Log in through a browser",
                    302,
                    reply=NO_BODY,
                    query={"origin": types.string(None)},
                )
                for path in (f"{auth}/websso/{{id}}", f"{auth}/{of_protocol}/websso")
                for method in ("GET", "POST")
            ),
            route(
                "GET",
                f"{auth}/websso-callback",
                handlers.callback,
                "Come back from an identity provider",
                query=dict.fromkeys(("state", "code", "error"), types.string(None)),
                reply=types.binary,
            ),
            *(
                route(method, path, handlers.no_saml, "SAML is not served", 404, reply=NO_BODY)
                for method, path in (
                    ("GET", f"{federation}/saml2/metadata"),
                    ("POST", f"{auth}/saml2"),
                    ("POST", f"{auth}/saml2/ecp"),
                )
            ),
        ),
    )
