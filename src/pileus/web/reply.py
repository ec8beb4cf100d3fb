"""The reply that a handler gives back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec

Headers = list[tuple[bytes, bytes]]

encode = msgspec.json.Encoder().encode

_NO_CONTROLS = bytes(ord("?") if byte < 0x20 or byte == 0x7F else byte for byte in range(256))
_JSON: tuple[bytes, bytes] = (b"content-type", b"application/json")


class Reply:
    """A status, headers and a body: bytes, a list of bytes, or an async iterator of bytes.

    ``Content-Length`` is put in by the app for the first two. Lists are the form
    of long JSON documents: encoded in the reader's thread, chunk by chunk, and
    written in the same chunks, so that neither the event loop nor memory ever
    holds one huge string; an iterator is for files.
    """

    __slots__ = ("body", "headers", "status")

    def __init__(
        self,
        status: int = 200,
        body: bytes | list[bytes] | AsyncIterator[bytes] = b"",
        headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        self.status = status
        self.body = body
        self.headers: Headers = list(headers)

    @classmethod
    def json(cls, value: Any, status: int = 200, headers: Iterable[tuple[bytes, bytes]] = ()) -> Reply:
        """A JSON document of anything that msgspec encodes."""
        return cls(status, encode(value), [_JSON, *headers])

    @classmethod
    def chunks(cls, chunks: list[bytes], status: int = 200) -> Reply:
        """A JSON document that is already encoded."""
        return cls(status, chunks, [_JSON])

    @classmethod
    def empty(cls, status: int = 204, headers: Iterable[tuple[bytes, bytes]] = ()) -> Reply:
        """No body."""
        return cls(status, b"", headers)

    def header(self, name: str, value: str) -> Reply:
        """Add a header; returns self, to chain. Control characters, which would end it, become ``?``."""
        encoded = value.encode("latin-1", "replace").translate(_NO_CONTROLS)
        self.headers.append((name.lower().encode("ascii"), encoded))
        return self
