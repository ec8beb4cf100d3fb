"""Encoding of records on the bus: MessagePack for calls, a JSON object a line for wake-ups."""

from __future__ import annotations

from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from pileus.wire.records import Record
from pileus.wire.types import HostName, Scopes, Text, Word

T = TypeVar("T", bound=msgspec.Struct)

CONTENT_TYPE = "application/msgpack"

_encoder = msgspec.msgpack.Encoder()
_line_encoder = msgspec.json.Encoder()


class CallFault(Record, frozen=True):
    """A refused call: the domain error's code and kind, and its text."""

    kind: Word
    code: Word
    text: Text


class WakeupRequest(Record, frozen=True):
    """Opens a stream of wake-ups for ``scopes``; the answer begins with their newest position."""

    host: HostName
    scopes: Scopes = ()


def encode(record: msgspec.Struct) -> bytes:
    return _encoder.encode(record)


def decode(data: bytes, kind: type[T]) -> T:
    """Raises msgspec.DecodeError or msgspec.ValidationError, whose texts say where."""
    return msgspec.msgpack.decode(data, type=kind)


def decode_reply(data: bytes, kind: type[T]) -> tuple[T, list[str]]:
    """A reply, and what was wrong with the records in it that had to be left out.

    The server should send none that can't be read; but if one item of many were such, a node
    that refused the whole answer would serve nobody any more. Raises as ``decode`` does where the answer
    itself can't be read.
    """
    try:
        return decode(data, kind), []
    except msgspec.ValidationError:
        left_out: list[str] = []
        return _salvage(msgspec.msgpack.decode(data), kind, left_out), left_out


def _salvage(value: Any, kind: Any, left_out: list[str]) -> Any:
    """``value`` as ``kind``, without the items of its tuples that are none."""
    if get_origin(kind) in (Union, UnionType):
        if value is None:
            return None
        kind = next(one for one in get_args(kind) if one is not type(None))
    if get_origin(kind) is tuple and isinstance(value, list):
        found = []
        for item in value:
            try:
                found.append(_salvage(item, get_args(kind)[0], left_out))
            except msgspec.ValidationError as error:
                left_out.append(f"{_name(item)}: {error}")
        return tuple(found)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(value, dict):
        types = get_type_hints(kind, include_extras=True)
        value = {
            key: _salvage(item, types[key], left_out) if key in types else item for key, item in value.items()
        }
    return msgspec.convert(value, kind, from_attributes=True)


def _name(item: Any) -> str:
    """Name the thing that an item is about: the first of its ids."""
    if not isinstance(item, dict):
        return repr(item)[:100]
    return next((f"{key} {value!r}"[:100] for key, value in item.items() if key.endswith("_id")), "an item")


def encode_line(record: msgspec.Struct) -> bytes:
    return _line_encoder.encode(record) + b"\n"


def decode_line(line: bytes, kind: type[T]) -> T:
    return msgspec.json.decode(line, type=kind)
