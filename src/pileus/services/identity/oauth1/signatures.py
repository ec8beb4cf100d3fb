"""Signed requests of OAuth 1.0a (RFC 5849), read and checked with oauthlib.

Where Keystone takes a signature any number of times, here each counts once: nonces are remembered as long as
a request's time lets it pass.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from typing import Any

from oauthlib import oauth1
from oauthlib.oauth1.rfc5849.utils import parse_authorization_header
from sqlalchemy import bindparam

from pileus.services.identity.common.errors import Unauthorized, ValidationError
from pileus.services.identity.tables.oauth1 import nonces
from pileus.store.errors import Duplicate
from pileus.store.tx import Tx
from pileus.web.request import Request

LATE_S = 600
"""How far a request's time may be from the server's, either way."""

_METHODS = (oauth1.SIGNATURE_HMAC_SHA1, oauth1.SIGNATURE_HMAC_SHA256, oauth1.SIGNATURE_HMAC_SHA512)
_FORGET = nonces.delete().where(nonces.c.expires_at < bindparam("now"))
_LONGEST = 255


class MissingParameter(ValidationError):
    """A part of the signed request is not there (400)."""

    message = (
        "Expecting to find {attribute} in request. The server could not comply with the request since it is "
        "either malformed or otherwise incorrect. The client is assumed to be in error."
    )


def signed_parameters(request: Request, *needed: str) -> dict[str, str]:
    """The parameters of the Authorization header. Raises ValidationError where one of ``needed`` is not
    there."""
    header = request.header("authorization")
    if header is None:
        raise MissingParameter(attribute="Authorization")
    try:
        found = dict(parse_authorization_header(header))
    except ValueError:
        raise ValidationError("The Authorization header is not one of OAuth.") from None
    for name in needed:
        if not found.get(name):
            raise MissingParameter(attribute=name)
    if any(len(value) > _LONGEST or "\x00" in value for value in found.values()):
        raise ValidationError("A parameter of the Authorization header is too long, or holds a NUL.")
    return found


class _Validator(oauth1.RequestValidator):  # type: ignore[misc]
    """Tells oauthlib the secrets that were looked up before: of the consumer and of its token."""

    enforce_ssl = False
    allowed_signature_methods = _METHODS
    timestamp_lifetime = LATE_S
    dummy_client = ""

    def __init__(self, consumer_secret: str, token_secret: str) -> None:
        super().__init__()
        self._secrets = consumer_secret, token_secret

    def check_client_key(self, client_key: str) -> bool:
        return True

    def check_access_token(self, request_token: str) -> bool:
        return True

    def check_nonce(self, nonce: str) -> bool:
        return 0 < len(nonce) <= _LONGEST

    def validate_client_key(self, client_key: str, request: Any) -> bool:
        return True

    def validate_timestamp_and_nonce(self, *args: Any, **keywords: Any) -> bool:
        return True

    def get_client_secret(self, client_key: str, request: Any) -> str:
        return self._secrets[0]

    def get_access_token_secret(self, client_key: str, token: str, request: Any) -> str:
        return self._secrets[1]


def signature_check(request: Request, consumer_secret: str, token_secret: str = "") -> None:
    """Raise Unauthorized unless the request was signed with these secrets, and lately.

    What is signed is the address that the client sees, and the headers; bodies of JSON are not signed.
    """
    query = request.scope["query_string"].decode("latin-1")
    address = f"{request.path_url}?{query}" if query else request.path_url
    endpoint = oauth1.SignatureOnlyEndpoint(_Validator(consumer_secret, token_secret))
    headers = {"Authorization": request.header("authorization") or ""}
    try:
        valid, _ = endpoint.validate_request(address, request.method, None, headers)
    except ValueError:  # what it can't read as an address or a header
        valid = False
    if not valid:
        raise Unauthorized("the request is not signed, not lately, or with other secrets")


def nonce_use(tx: Tx, now: dt.datetime, parameters: Mapping[str, str]) -> None:
    """Remember a signature. Raises Unauthorized where it was used before; forgets what is too old."""
    names = ("oauth_consumer_key", "oauth_token", "oauth_timestamp", "oauth_nonce")
    text = "\n".join(parameters.get(name, "") for name in names)
    tx.execute(_FORGET, {"now": now})
    row = {
        "id": hashlib.sha256(text.encode()).hexdigest(),
        "expires_at": now + dt.timedelta(seconds=2 * LATE_S),
    }
    try:
        with tx.savepoint():
            tx.insert(nonces, [row])
    except Duplicate:
        raise Unauthorized("the signature was used before") from None
