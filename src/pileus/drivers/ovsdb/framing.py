"""Where one JSON object of a stream ends and the next begins.

OVSDB speaks JSON-RPC 1.0 as objects behind each other with nothing between them
(RFC 7047, section 4). An object ends where its braces balance, outside of strings.
Counting byte by byte in Python would take a second for a large reply, so strings
are cut out by one regular expression, and what is left is counted by ``bytes.count``;
only a chunk in which one object ends and another begins is walked brace by brace.
"""

from __future__ import annotations

import re

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_BOUNDARY = re.compile(rb"}\s*{")
_TOKEN = re.compile(_STRING.pattern + rb"|[{}]", re.DOTALL)


class Framer:
    """Bytes in as they arrive, complete JSON objects out."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._unfinished_string = b""
        self._depth = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The objects that ``data`` completes, in order."""
        piece = self._unfinished_string + data
        bare = _STRING.sub(b"", piece)
        quote = bare.find(b'"')
        if quote >= 0:
            # What follows a quote that is never closed was not cut, so it is as long in both.
            cut = len(piece) - (len(bare) - quote)
            piece, self._unfinished_string, bare = piece[:cut], piece[cut:], bare[:quote]
        else:
            self._unfinished_string = b""
        depth = self._depth + bare.count(b"{") - bare.count(b"}")
        if _BOUNDARY.search(bare) or (self._depth == 0 and not self._parts and depth == 0):
            return self._walk(piece)
        self._parts.append(piece)
        self._depth = depth
        return [self._take()] if depth == 0 else []

    def _walk(self, piece: bytes) -> list[bytes]:
        complete = []
        start = 0
        for token in _TOKEN.finditer(piece):
            match token.group():
                case b"{":
                    self._depth += 1
                case b"}":
                    self._depth -= 1
                    if self._depth == 0:
                        self._parts.append(piece[start : token.end()])
                        complete.append(self._take())
                        start = token.end()
        if rest := piece[start:].lstrip():
            self._parts.append(rest)
        return complete

    def _take(self) -> bytes:
        whole = b"".join(self._parts)
        self._parts.clear()
        return whole
