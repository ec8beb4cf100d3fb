"""``POST /v3/ec2tokens``: a service that received a request signed with EC2 keys asks for its signer.

Only services and administrators ask, as in Keystone since 2025: the answer is a token of the signer.
"""

from __future__ import annotations

from typing import Any

from pileus.resource import types
from pileus.resource.struct_type import struct_type
from pileus.services.identity.auth.view import TOKEN_REPLY
from pileus.services.identity.common.errors import SchemaValidationError, Unauthorized, ValidationError
from pileus.services.identity.common.policy import rules
from pileus.services.identity.credentials.signers import Signers
from pileus.services.identity.rules.signatures import Signed, check_time, verify
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route


class Ec2TokenHandlers:
    """The handler."""

    def __init__(self, signers: Signers) -> None:
        self._signers = signers

    async def validate(self, request: Request) -> Reply:
        """POST /v3/ec2tokens"""
        request.authorise("identity:ec2tokens_validate")
        signed = _read(request)

        def check(secret: str) -> None:
            verify(secret, signed)
            check_time(signed, request.context.now)

        token, session, catalog = await self._signers.log_in(request, signed.access, check)
        return await self._signers.issuer.reply(token, session, catalog, 200)


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


def credentials_of(request: Request) -> tuple[str, dict[str, Any]]:
    """Read the part of the body that was signed, and its name. Raises ValidationError, Unauthorized."""
    body = request.json()
    if not body or not isinstance(body, dict):
        raise ValidationError("request must include a request body")
    name = next((name for name in SIGNED_NAMES if body.get(name)), None)
    if name is None or not isinstance(body[name], dict) or "access" not in body[name]:
        raise Unauthorized("EC2 signature not supplied")
    return name, body[name]


def _read(request: Request) -> Signed:
    name, given = credentials_of(request)
    try:
        signed: Signed = _BODY.parse({name: given})[name]
    except types.BadValue as bad:
        raise SchemaValidationError(f"Invalid input for field 'credentials': {bad.text}") from None
    return signed


def noun(handlers: Ec2TokenHandlers) -> Noun:
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
