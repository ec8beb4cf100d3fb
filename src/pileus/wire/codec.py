"""Encoding of records on the bus: MessagePack for calls, a JSON object a line for wake-ups."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from pileus.wire.records import Record

T = TypeVar("T", bound=msgspec.Struct)

CONTENT_TYPE = "application/msgpack"

_encoder = msgspec.msgpack.Encoder()
_line_encoder = msgspec.json.Encoder()


class CallFault(Record, frozen=True):
    """A refused call: the domain error's code and kind, and its text."""

    kind: str
    code: str
    text: str


class WakeupRequest(Record, frozen=True):
    """Opens a stream of wake-ups for ``scopes``; the answer begins with their newest position."""

    host: str
    scopes: tuple[str, ...] = ()


def encode(record: msgspec.Struct) -> bytes:
    return _encoder.encode(record)


def decode(data: bytes, kind: type[T]) -> T:
    """Raises msgspec.DecodeError or msgspec.ValidationError, whose texts say where."""
    return msgspec.msgpack.decode(data, type=kind)


def encode_line(record: msgspec.Struct) -> bytes:
    return _line_encoder.encode(record) + b"\n"


def decode_line(line: bytes, kind: type[T]) -> T:
    return msgspec.json.decode(line, type=kind)
