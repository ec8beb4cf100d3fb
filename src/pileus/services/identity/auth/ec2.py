"""``POST /v3/ec2tokens``: somebody who received a request signed with EC2 keys asks who that was.

Only services and administrators ask, as in Keystone since 2025: the answer is a token of the signer.
"""

from __future__ import annotations

import datetime as dt

import msgspec

from pileus.core.errors import NotFound
from pileus.services.identity.auth.issuer import Issuer, open_with_catalog
from pileus.services.identity.auth.session import ById, ScopeRequest
from pileus.services.identity.credentials.credential import (
    EC2,
    credentials,
    credentials_read,
    ec2_blob,
    ec2_id,
)
from pileus.services.identity.errors import SchemaValidationError, Unauthorized, ValidationError
from pileus.services.identity.rules.signatures import BadSignature, Signed, check_time, verify
from pileus.services.identity.tokens.keys import TokenKeys
from pileus.web.reply import Reply
from pileus.web.request import Request


class AccessKeyNotFound(NotFound):
    """There is no such access key (404)."""

    message = "EC2 access key not found."


class Ec2Handlers:
    """The handler; ``keys`` open what credentials hold."""

    def __init__(self, issuer: Issuer, keys: TokenKeys) -> None:
        self._issuer = issuer
        self._keys = keys

    async def validate(self, request: Request) -> Reply:
        """POST /v3/ec2tokens"""
        request.authorise("identity:ec2tokens_validate")
        signed = _read(request)
        now = request.context.now
        where = [credentials.c.type == EC2]
        found = await request.read(credentials_read, self._keys, where, [ec2_id(signed.access)])
        if not found:
            raise AccessKeyNotFound
        credential, blob = found[0], ec2_blob(found[0]["blob"])
        _check(str(blob.get("secret") or ""), signed, now)
        if blob.get("trust_id") or blob.get("access_token_id"):
            raise Unauthorized("the keys are bound to a delegation that is not supported")
        scope = ScopeRequest("project", ById(credential["project_id"]), True)
        bound = str(blob.get("app_cred_id") or "")
        session, catalog = await request.read(
            open_with_catalog, now, credential["user_id"], scope, bound, True
        )
        if session.scope.id != credential["project_id"]:
            raise Unauthorized("the keys are not for the project of their application credential")
        token = self._issuer.token(now, session, ("ec2credential",))
        return self._issuer.reply(token, session, catalog, 200)


def _read(request: Request) -> Signed:
    body = request.json()
    if not body or not isinstance(body, dict):
        raise ValidationError("request must include a request body")
    given = body.get("credentials") or body.get("credential") or body.get("ec2Credentials")
    if not isinstance(given, dict) or "access" not in given:
        raise Unauthorized("EC2 signature not supplied")
    try:
        return msgspec.convert({key: value for key, value in given.items() if value is not None}, Signed)
    except msgspec.ValidationError as error:
        raise SchemaValidationError(f"Invalid input for field 'credentials': {error}") from None


def _check(secret: str, signed: Signed, now: dt.datetime) -> None:
    """Raise Unauthorized for a wrong signature, and for one that is too old or of the future."""
    try:
        if not secret:
            raise BadSignature("the credential has no secret")
        verify(secret, signed)
        check_time(signed, now)
    except BadSignature as reason:
        raise Unauthorized(str(reason)) from None
