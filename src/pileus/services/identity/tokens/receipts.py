"""Receipts: what a user has shown already of the methods that he has to show together."""

from __future__ import annotations

import datetime as dt
from typing import Literal

import msgspec

from pileus.services.identity.tokens.keys import TokenKeys

_EPOCH = dt.datetime(1970, 1, 1)
_MICROSECOND = dt.timedelta(microseconds=1)


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt's own facts. Times are naive UTC."""

    user_id: str
    methods: tuple[str, ...]
    issued_at: dt.datetime
    expires_at: dt.datetime


class _Packed(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    kind: Literal["receipt"]  # a token begins with a number: neither is ever read as the other
    user_id: str
    methods: tuple[str, ...]
    issued_us: int
    expires_us: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Packed).decode


def receipt_seal(keys: TokenKeys, receipt: Receipt) -> str:
    """The text that a client carries."""
    issued_us = (receipt.issued_at - _EPOCH) // _MICROSECOND
    expires_us = (receipt.expires_at - _EPOCH) // _MICROSECOND
    packed = _Packed("receipt", receipt.user_id, receipt.methods, issued_us, expires_us)
    return keys.seal(_encode(packed), issued_us // 1_000_000)


def receipt_open(keys: TokenKeys, text: str) -> Receipt | None:
    """The receipt that a text carries, expired or not; None if it is none of ours."""
    payload = keys.open(text)
    if payload is None:
        return None
    try:
        packed = _decode(payload)
    except msgspec.DecodeError:
        return None
    return Receipt(
        user_id=packed.user_id,
        methods=packed.methods,
        issued_at=_EPOCH + dt.timedelta(microseconds=packed.issued_us),
        expires_at=_EPOCH + dt.timedelta(microseconds=packed.expires_us),
    )
