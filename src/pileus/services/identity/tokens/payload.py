"""The payload of a token: user, scope, methods and times. Everything else is looked up."""

from __future__ import annotations

import base64
import datetime as dt
from typing import Literal

import msgspec

from pileus.services.identity.tokens.keys import TokenKeys

ScopeKind = Literal["unscoped", "project", "domain", "system"]

_EPOCH = dt.datetime(1970, 1, 1)
_MICROSECOND = dt.timedelta(microseconds=1)


class Scope(msgspec.Struct, frozen=True):
    """Where a token counts: ``id`` is that of the project or domain, and empty otherwise."""

    kind: ScopeKind
    id: str = ""


UNSCOPED = Scope("unscoped")
SYSTEM = Scope("system")


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A token's own facts. Times are naive UTC.

    ``audit_ids`` are 22 characters each: the token's own, and where it was made from another
    token, that of the first of the chain. ``between`` are those of the tokens between the two, from
    which it was made by way of each other: it ends with any of them. ``credential_id`` is the
    application credential that it was given for, which bounds what it can do; so do the trust and the
    OAuth access token of ``trust_id`` and ``access_token_id``. ``idp_id`` and ``protocol_id`` are by whom and
    how the user was shown where that was an identity provider; ``certificate`` is the SHA-256 of the client's
    certificate that has to come with the token, in Base64. ``user_id`` is who logged in: of a trust, the
    trustee.
    """

    user_id: str
    scope: Scope
    methods: tuple[str, ...]
    issued_at: dt.datetime
    expires_at: dt.datetime
    audit_ids: tuple[str, ...]
    credential_id: str = ""
    between: tuple[str, ...] = ()
    trust_id: str = ""
    access_token_id: str = ""
    idp_id: str = ""
    protocol_id: str = ""
    certificate: str = ""


class _Packed(msgspec.Struct, array_like=True, frozen=True):
    version: int
    user_id: str
    scope_kind: ScopeKind
    scope_id: str
    methods: tuple[str, ...]
    issued_us: int
    expires_us: int
    audit_ids: tuple[str, ...]
    credential_id: str = ""
    between: tuple[str, ...] = ()
    trust_id: str = ""
    access_token_id: str = ""
    idp_id: str = ""
    protocol_id: str = ""
    certificate: str = ""


_PLAIN = 1
_BOUNDED = 2
"""The version of tokens with a ``credential_id``: a server that can't read it must not take the rest."""
_CHAINED = 3
"""The version of tokens with others ``between``, for the same reason."""
_DELEGATED = 4
"""The version of tokens with a ``trust_id`` or an ``access_token_id``."""

_FOREIGN = 5
"""The version of tokens of users of an identity provider, and of those bound to a client's certificate."""

LONGEST_CHAIN = 32
"""How many tokens may be made from each other: each carries those before it."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Packed).decode


def new_audit_id(random: bytes) -> str:
    """An audit id from 16 random bytes, written as Keystone does."""
    return base64.urlsafe_b64encode(random).rstrip(b"=").decode("ascii")


def token_chain(parent: Token) -> tuple[str, tuple[str, ...]] | None:
    """The first of a chain that goes on from a token, and who is between; None if it is long enough."""
    own, *first = parent.audit_ids
    between = (*parent.between, own) if first else ()
    return None if len(between) > LONGEST_CHAIN - 2 else (first[0] if first else own, between)


def _version(credential_id: str, between: tuple[str, ...], delegated: bool, foreign: bool) -> int:
    if foreign:
        return _FOREIGN
    if delegated:
        return _DELEGATED
    if between:
        return _CHAINED
    return _BOUNDED if credential_id else _PLAIN


def token_seal(keys: TokenKeys, token: Token) -> str:
    """The text that a client carries."""
    issued_us = (token.issued_at - _EPOCH) // _MICROSECOND
    packed = _Packed(
        _version(
            token.credential_id,
            token.between,
            bool(token.trust_id or token.access_token_id),
            bool(token.idp_id or token.certificate),
        ),
        token.user_id,
        token.scope.kind,
        token.scope.id,
        token.methods,
        issued_us,
        (token.expires_at - _EPOCH) // _MICROSECOND,
        token.audit_ids,
        token.credential_id,
        token.between,
        token.trust_id,
        token.access_token_id,
        token.idp_id,
        token.protocol_id,
        token.certificate,
    )
    return keys.seal(_encode(packed), issued_us // 1_000_000)


def token_open(keys: TokenKeys, text: str) -> Token | None:
    """The token that a text carries, expired or not; None if it is none of ours."""
    payload = keys.open(text)
    if payload is None:
        return None
    try:
        packed = _decode(payload)
    except msgspec.DecodeError:
        return None
    delegated = bool(packed.trust_id or packed.access_token_id)
    foreign = bool(packed.idp_id or packed.certificate)
    if packed.version != _version(packed.credential_id, packed.between, delegated, foreign):
        return None
    return Token(
        user_id=packed.user_id,
        scope=Scope(packed.scope_kind, packed.scope_id),
        methods=packed.methods,
        issued_at=_EPOCH + dt.timedelta(microseconds=packed.issued_us),
        expires_at=_EPOCH + dt.timedelta(microseconds=packed.expires_us),
        audit_ids=packed.audit_ids,
        credential_id=packed.credential_id,
        between=packed.between,
        trust_id=packed.trust_id,
        access_token_id=packed.access_token_id,
        idp_id=packed.idp_id,
        protocol_id=packed.protocol_id,
        certificate=packed.certificate,
    )
