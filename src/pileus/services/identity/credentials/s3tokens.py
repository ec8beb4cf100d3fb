"""``POST /v3/s3tokens``: an object store that received a request signed with EC2 keys asks for its signer.

It sends the string that was signed, in Base64, and looks itself at the request's time. Only services and
administrators ask, as in Keystone since 2025.
"""

from __future__ import annotations

import base64
import binascii

import msgspec

from pileus.resource import types
from pileus.resource.struct_type import struct_type
from pileus.services.identity.auth.view import TOKEN_REPLY
from pileus.services.identity.common.errors import SchemaValidationError
from pileus.services.identity.common.policy import rules
from pileus.services.identity.credentials.ec2tokens import SIGNED_NAMES, credentials_of
from pileus.services.identity.credentials.signers import Signers
from pileus.services.identity.rules.signatures import verify_text
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route


class _Signed(msgspec.Struct, frozen=True):
    access: str
    token: str
    signature: str


_SIGNED = struct_type(_Signed)
_BODY = types.dict_of(dict.fromkeys(SIGNED_NAMES, _SIGNED), additional=types.anything)


class S3TokenHandlers:
    """The handler."""

    def __init__(self, signers: Signers) -> None:
        self._signers = signers

    async def validate(self, request: Request) -> Reply:
        """POST /v3/s3tokens: the token's document alone, as Keystone answers; the token itself stays here."""
        request.authorise("identity:s3tokens_validate")
        signed, text = _read(request)

        def check(secret: str) -> None:
            verify_text(secret, text, signed.signature)

        token, session, catalog = await self._signers.log_in(request, signed.access, check)
        return Reply.json({"token": await self._signers.issuer.view(token, session, catalog)})


def _read(request: Request) -> tuple[_Signed, bytes]:
    """Read the signed part of the body, and the string to sign. Raises Invalid, Unauthorized."""
    name, given = credentials_of(request)
    try:
        signed: _Signed = _BODY.parse({name: given})[name]
    except types.BadValue as bad:
        raise SchemaValidationError(f"Invalid input for field 'credentials': {bad.text}") from None
    letters = signed.token.encode("ascii", "replace").translate(bytes.maketrans(b"+/", b"-_"))
    try:
        return signed, base64.b64decode(letters, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise SchemaValidationError("Invalid input for field 'credentials/token': it is no Base64") from None


def noun(handlers: S3TokenHandlers) -> Noun:
    """Make the noun."""
    return Noun(
        name="s3_token",
        routes=(
            Route(
                "POST",
                "/v3/s3tokens",
                handlers.validate,
                rule="identity:s3tokens_validate",
                body=_BODY,
                reply=TOKEN_REPLY,
                summary="Check an S3 signature",
            ),
        ),
        rules=rules({"s3tokens_validate": "rule:service_or_admin"}),
    )
