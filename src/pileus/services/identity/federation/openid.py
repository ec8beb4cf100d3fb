"""OpenID Connect: whether a token was given by a provider, for us, and is good now; and what it says.

A provider is known by its issuer, which is one of an identity provider's remote ids. Its keys come from its
discovery document and are kept for an hour; a key that is not known is looked for anew, now and then. What is
no JWT is asked about (RFC 7662), where a client secret is set.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from pileus.services.identity.common.errors import Unauthorized
from pileus.services.identity.federation.fetching import Fetcher, ProviderUnavailable

ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519",
)  # fmt: skip
KEPT_S = 3600.0
AGAIN_S = 30.0
"""A provider's keys are not asked for more often than this, whatever keys tokens name."""
LEEWAY_S = 60


class OpenIdSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``audiences`` are the clients whose tokens are taken; the client's id among them, where it is set."""

    audiences: tuple[str, ...] = ()
    client_id: str = ""
    client_secret: str = ""
    plain_issuers: tuple[str, ...] = ()

    @property
    def accepted(self) -> frozenset[str]:
        """All that a token may be for."""
        return frozenset(one for one in (*self.audiences, self.client_id) if one)


class _Known:
    """A provider's document and keys, and when they were fetched (by ``time.monotonic``)."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = {}
        self.keys: Any = None
        self.at = float("-inf")
        self.lock = asyncio.Lock()


class OpenId:
    """Reads tokens of providers."""

    def __init__(
        self,
        settings: OpenIdSettings,
        fetcher: Fetcher | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.fetcher = fetcher or Fetcher(settings.plain_issuers)
        self._monotonic = monotonic
        self._known: dict[str, _Known] = {}

    async def claims(
        self, text: str, issuers: Sequence[str], now: float, nonce: str | None = None
    ) -> dict[str, Any]:
        """The claims of a token that one of the issuers gave, at ``now`` seconds since the epoch.

        ``nonce`` is what an ID token must name that was asked for with one. Raises Unauthorized and
        ProviderUnavailable.
        """
        if not issuers:
            raise Unauthorized("the identity provider has no remote id, which would be its issuer")
        if len(text) > 16384:
            raise Unauthorized("the token is too long")
        claims = await self._read(text, issuers)
        self._check(claims, issuers, now)
        if nonce is not None and claims.get("nonce") != nonce:
            raise Unauthorized("the token was asked for by somebody else")
        return claims

    async def document(self, issuer: str) -> Mapping[str, Any]:
        """The provider's discovery document. Raises ProviderUnavailable."""
        return (await self._provider(issuer)).document

    async def _read(self, text: str, issuers: Sequence[str]) -> dict[str, Any]:
        if text.count(".") != 2:
            return await self._introspect(text, issuers)
        header, body = (_part(text, number) for number in (0, 1))
        issuer = body.get("iss")
        if not isinstance(issuer, str) or issuer not in issuers:
            raise Unauthorized(f"the token's issuer is {issuer!r}")
        if header.get("alg") not in ALGORITHMS:
            raise Unauthorized(f"the token is signed with {header.get('alg')!r}")
        known = await self._provider(issuer)
        found = self._verified(text, known)
        if found is None and self._monotonic() - known.at >= AGAIN_S:
            found = self._verified(text, await self._provider(issuer, stale=known.at))
        if found is None:
            raise Unauthorized("the token is signed with no key of its issuer")
        return found

    def _verified(self, text: str, known: _Known) -> dict[str, Any] | None:
        """The claims, if a key of the provider signed them."""
        from joserfc import jwt
        from joserfc.errors import JoseError

        try:
            claims = jwt.decode(text, known.keys, algorithms=list(ALGORITHMS)).claims
        except (JoseError, ValueError, TypeError, KeyError):
            return None
        return claims if isinstance(claims, dict) else None

    async def _introspect(self, text: str, issuers: Sequence[str]) -> dict[str, Any]:
        settings = self.settings
        if not settings.client_id or not settings.client_secret:
            raise Unauthorized("the token is no JWT, and no client is set that could ask about it")
        for issuer in issuers:
            endpoint = (await self._provider(issuer)).document.get("introspection_endpoint")
            if not isinstance(endpoint, str):
                continue
            form = {"token": text, "token_type_hint": "access_token"}
            found = await self.fetcher.post(endpoint, form, (settings.client_id, settings.client_secret))
            if found.get("active") is True:
                return {"iss": issuer, **found}
        raise Unauthorized("no issuer knows the token")

    def _check(self, claims: Mapping[str, Any], issuers: Sequence[str], now: float) -> None:
        if claims.get("iss") not in issuers:
            raise Unauthorized(f"the token's issuer is {claims.get('iss')!r}")
        ends, begins = _number(claims.get("exp")), _number(claims.get("nbf", 0))
        if now >= ends + LEEWAY_S or now < begins - LEEWAY_S:
            raise Unauthorized("the token has expired, or is not good yet")
        audience = claims.get("aud")
        named = set(audience) if isinstance(audience, list) else {audience}
        named |= {claims.get("azp"), claims.get("client_id")}
        if not {one for one in named if isinstance(one, str)} & self.settings.accepted:
            raise Unauthorized(f"the token is for {audience!r}")
        if not isinstance(claims.get("sub"), str) or not claims["sub"]:
            raise Unauthorized("the token names nobody")

    async def _provider(self, issuer: str, stale: float | None = None) -> _Known:
        """Read a provider's document and keys; fetched where they are old, or not newer than ``stale``."""
        known = self._known.setdefault(issuer, _Known())
        async with known.lock:
            fresh = self._monotonic() - known.at < KEPT_S
            if fresh and (stale is None or known.at > stale):
                return known
            from joserfc.errors import JoseError
            from joserfc.jwk import KeySet

            url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
            document = await self.fetcher.get(url)
            if document.get("issuer") != issuer or not isinstance(document.get("jwks_uri"), str):
                raise ProviderUnavailable(f"{url} is not the document of {issuer}")
            keys = await self.fetcher.get(document["jwks_uri"])
            signing = [
                one
                for one in keys.get("keys") or ()
                if isinstance(one, dict) and one.get("use", "sig") == "sig" and one.get("kty") != "oct"
            ]
            try:
                known.keys = KeySet.import_key_set({"keys": signing})
            except (JoseError, ValueError, TypeError, KeyError) as error:
                raise ProviderUnavailable(f"{document['jwks_uri']}: {error}") from None
            known.document, known.at = document, self._monotonic()
            return known


def _part(text: str, number: int) -> dict[str, Any]:
    part = text.split(".")[number]
    try:
        found = msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, msgspec.DecodeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Unauthorized("the token can't be read")
    return found


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise Unauthorized("the token has no end, or times that are none")
    return value


def challenge_of(verifier: str) -> str:
    """Make the challenge of PKCE (RFC 7636) for a verifier."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
