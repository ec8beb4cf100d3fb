"""The keys that seal tokens: one file of 32 random bytes a key; the first one seals.

The older keys still open what they sealed, so rotating the keys logs nobody out. Servers
that share a database share this file too; a server notices that it was replaced when
a token comes that no known key opens.
"""

from __future__ import annotations

import base64
import re
import secrets
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from pileus.core.files import read_or_create_secret, write_atomically

KEY_BYTES = 32
KEPT = 3


_LETTERS = re.compile(r"[A-Za-z0-9_-]+")


def _padded(token: str) -> bytes | None:
    """A token as Fernet reads it; None if it is not the one spelling of what it says."""
    if not _LETTERS.fullmatch(token) or len(token) % 4 == 1:
        return None
    sealed = token.encode("ascii") + b"=" * (-len(token) % 4)
    return sealed if base64.urlsafe_b64encode(base64.urlsafe_b64decode(sealed)) == sealed else None


class TokenKeys:
    """Seals and opens tokens with the keys of a file, which is made (mode 0600) where it is missing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._content = b""
        self._stamp = 0
        self._fernet: MultiFernet
        self._load()

    def seal(self, payload: bytes, seconds: int) -> str:
        """A token's text; ``seconds`` since the epoch is the time that Fernet writes into it."""
        return self._fernet.encrypt_at_time(payload, seconds).rstrip(b"=").decode("ascii")

    def open(self, token: str) -> bytes | None:
        """Open the payload of a token; None if no key of ours sealed it, or it is not spelled as by us.

        Base64 is read leniently (white space, padding, the last letter's idle bits): a token would have
        any number of spellings, each with a place in the memory of whoever remembers tokens.
        """
        sealed = _padded(token)
        if sealed is None:
            return None
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken:
            if self._path.stat().st_mtime_ns == self._stamp:
                return None
        self._load()
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken:
            return None

    def rotate(self) -> None:
        """Begin to seal with a new key; the newest ``KEPT`` stay, so that living tokens can be opened."""
        content = secrets.token_bytes(KEY_BYTES) + self._content
        write_atomically(self._path, content[: KEPT * KEY_BYTES], 0o600)
        self._load()

    def _load(self) -> None:
        self._content = read_or_create_secret(self._path, KEY_BYTES)
        self._stamp = self._path.stat().st_mtime_ns
        keys = [self._content[at : at + KEY_BYTES] for at in range(0, len(self._content), KEY_BYTES)]
        self._fernet = MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in keys])
