"""``POST /v3/ec2tokens``: a service that received a request signed with EC2 keys asks for its signer.

Only services and administrators ask, as in Keystone since 2025: the answer is a token of the signer.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.struct_type import struct_type
from pileus.services.identity.auth.issuer import Issuer, open_with_catalog, require_use
from pileus.services.identity.auth.view import TOKEN_REPLY
from pileus.services.identity.common.errors import SchemaValidationError, Unauthorized, ValidationError
from pileus.services.identity.common.policy import rules
from pileus.services.identity.credentials.resource import EC2, ec2_blob, ec2_id
from pileus.services.identity.credentials.work import credentials_read
from pileus.services.identity.rules.signatures import BadSignature, Signed, check_time, verify
from pileus.services.identity.sessions.session import ById, ScopeRequest
from pileus.services.identity.sessions.trusts import Trust, trust_pedigree
from pileus.services.identity.tables.credentials import credentials
from pileus.services.identity.tokens.keys import TokenKeys
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route


class AccessKeyNotFound(NotFound):
    """There is no such access key (404)."""

    message = "EC2 access key not found."


class SignatureHandlers:
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
        scope = ScopeRequest("project", ById(credential["project_id"]), True)
        user_id, bound = credential["user_id"], str(blob.get("app_cred_id") or "")
        if blob.get("trust_id"):
            trust = await request.read(_find_trust, str(blob["trust_id"]))
            scope = ScopeRequest("trust", ById(trust.id), True)
            user_id = _trustee(trust, user_id)
        elif blob.get("access_token_id"):
            scope = ScopeRequest("oauth1", ById(str(blob["access_token_id"])), True)
        session, catalog = await request.read(open_with_catalog, now, user_id, scope, bound, True)
        if session.scope.id != credential["project_id"]:
            raise Unauthorized("the keys are not for the project of what they are bound to")
        await require_use(request, session)
        token = self._issuer.token(now, session, ("ec2credential",))
        return self._issuer.reply(token, session, catalog, 200)


def _find_trust(tx: Tx, key: str) -> Trust:
    found = trust_pedigree(tx, key)
    if not found:
        raise Unauthorized(f"the trust {key} of the keys is gone")
    return found[0]


def _trustee(trust: Trust, user_id: str) -> str:
    """Who logs in with a user's keys that are bound to a trust. Raises Unauthorized for keys of others.

    With impersonation the keys are the trustor's, as all that is made with such a trust. What a blob says of
    a trust is the word of whoever wrote it.
    """
    owner = trust.trustor_user_id if trust.impersonation else trust.trustee_user_id
    if user_id != owner:
        raise Unauthorized(f"the keys of user {user_id} are bound to trust {trust.id} of others")
    return trust.trustee_user_id


_STRUCT = struct_type(Signed)


def _parse_signed(value: Any) -> Signed:
    """A signed request; parts that are null count as not given."""
    if isinstance(value, dict):
        value = {name: part for name, part in value.items() if part is not None}
    signed: Signed = _STRUCT.parse(value)
    return signed


SIGNED = types.Type("signed request", _parse_signed, _STRUCT.schema)
SIGNED_NAMES = ("credentials", "credential", "ec2Credentials")
"""The names that a body may give to what was signed."""
_BODY = types.dict_of(dict.fromkeys(SIGNED_NAMES, types.nullable(SIGNED)), additional=types.anything)


def _read(request: Request) -> Signed:
    body = request.json()
    if not body or not isinstance(body, dict):
        raise ValidationError("request must include a request body")
    name = next((name for name in SIGNED_NAMES if body.get(name)), None)
    if name is None or not isinstance(body[name], dict) or "access" not in body[name]:
        raise Unauthorized("EC2 signature not supplied")
    try:
        signed: Signed = _BODY.parse({name: body[name]})[name]
    except types.BadValue as bad:
        raise SchemaValidationError(f"Invalid input for field 'credentials': {bad.text}") from None
    return signed


def _check(secret: str, signed: Signed, now: dt.datetime) -> None:
    """Raise Unauthorized for a wrong signature, and for one that is too old or of the future."""
    try:
        if not secret:
            raise BadSignature("the credential has no secret")
        verify(secret, signed)
        check_time(signed, now)
    except BadSignature as reason:
        raise Unauthorized(str(reason)) from None


def noun(handlers: SignatureHandlers) -> Noun:
    """Make the noun."""
    return Noun(
        name="ec2_token",
        routes=(
            Route(
                "POST",
                "/v3/ec2tokens",
                handlers.validate,
                rule="identity:ec2tokens_validate",
                body=_BODY,
                reply=TOKEN_REPLY,
                summary="Check an EC2 signature",
            ),
        ),
        rules=rules({"ec2tokens_validate": "rule:service_or_admin"}),
    )
