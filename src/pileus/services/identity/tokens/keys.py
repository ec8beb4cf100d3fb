"""The keys that seal tokens: those of a file, 32 random bytes a key, until the database has others.

The first key seals, and the others open what they sealed. Servers that share a database share the file
too. After the first rotation (``tokens.ring``) the keys are rows of the database, which this file's keys
seal, and the file seals nothing else any more.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from secrets import token_bytes

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pileus.core.errors import Fault, Kind
from pileus.core.files import read_or_create_secret, write_atomically

KEY_BYTES = 32
KEPT = 3


class KeyFileMismatch(Fault):
    """The keys in the database were sealed with another file than this server has (500)."""

    kind = Kind.INTERNAL
    message = "The keys in the database can't be opened with {path}: servers of one database share this file."


_LETTERS = re.compile(r"[A-Za-z0-9_-]+")


def _padded(token: str) -> bytes | None:
    """A token as Fernet reads it; None if it is not the one spelling of what it says."""
    if not _LETTERS.fullmatch(token) or len(token) % 4 == 1:
        return None
    sealed = token.encode("ascii") + b"=" * (-len(token) % 4)
    return sealed if base64.urlsafe_b64encode(base64.urlsafe_b64decode(sealed)) == sealed else None


_WRAPPING = b"pileus: keys of tokens and credentials"


def fingerprint(secret: bytes) -> str:
    """The name of a key, by which it can be told and not be guessed."""
    return hashlib.sha256(b"pileus key " + secret).hexdigest()[:12]


def _fernet(secrets: Sequence[bytes]) -> MultiFernet:
    return MultiFernet([Fernet(base64.urlsafe_b64encode(secret)) for secret in secrets])


def _wrapping(secret: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=_WRAPPING).derive(secret)


class TokenKeys:
    """Seals and opens with keys: those of a file, which is made (mode 0600) where it is missing, or those
    that were installed since. ``revision`` is that of the installed ones."""

    def __init__(self, path: Path | None) -> None:
        """Read the file; without a ``path`` keys have to be installed."""
        self._path = path
        self.of_file: list[bytes] = []
        self.revision = 0
        self._fernet: MultiFernet
        self._installed = path is None
        self._stamp = 0
        self._staged: list[bytes] = []
        if path is not None:
            self._load()

    @classmethod
    def of(cls, secrets: Sequence[bytes]) -> TokenKeys:
        """Keys of no file; the first one seals."""
        keys = cls(None)
        keys.install(secrets, 0)
        return keys

    def install(self, secrets: Sequence[bytes], revision: int) -> None:
        """Use these keys from now on, the first one to seal."""
        self._fernet = _fernet(secrets)
        self._installed = revision > 0 or self._path is None
        self.revision = revision

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
            if self._installed or self._path is None or self._path.stat().st_mtime_ns == self._stamp:
                return None
        self._load()
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken:
            return None

    def wrap(self, secret: bytes, *, staged: bool = False) -> str:
        """Seal another key with one derived from the file's first, or from that of the staged file."""
        own = self._staged[0] if staged else self.of_file[0]
        return _fernet([_wrapping(own)]).encrypt(secret).decode("ascii")

    def unwrap(self, sealed: str) -> bytes:
        """Open another key. Raises KeyFileMismatch where the file is not the one that sealed it.

        Where it was the staged file's, all keys are sealed with that by now, and it takes the file's place.
        """
        text = sealed.encode("ascii")
        for attempt in range(2):
            with contextlib.suppress(InvalidToken):
                return _fernet([_wrapping(secret) for secret in self.of_file]).decrypt(text)
            if attempt == 0 and self._path is not None:
                self._load()  # an administrator may have put other files here
            with contextlib.suppress(InvalidToken):
                if self._staged:
                    opened = _fernet([_wrapping(secret) for secret in self._staged]).decrypt(text)
                    self.promote()
                    return opened
        raise KeyFileMismatch(path=self._path) from None

    @property
    def staged_path(self) -> Path:
        """The file of the key that shall take the place of this file's."""
        assert self._path is not None
        return self._path.with_name(f"{self._path.name}.next")

    def stage(self) -> None:
        """Make the staged file, where there is none."""
        read_or_create_secret(self.staged_path, KEY_BYTES)
        self._load()

    def promote(self) -> None:
        """Put the staged file in the place of the file: no key of that opens anything any more."""
        assert self._path is not None
        with contextlib.suppress(FileNotFoundError):
            self.staged_path.replace(self._path)
        self._load()

    def rotate(self) -> None:
        """Begin to seal with a new key of the file; the newest ``KEPT`` stay."""
        assert self._path is not None
        content = token_bytes(KEY_BYTES) + b"".join(self.of_file)
        write_atomically(self._path, content[: KEPT * KEY_BYTES], 0o600)
        self._load()

    def _load(self) -> None:
        path = self._path
        assert path is not None
        content = read_or_create_secret(path, KEY_BYTES)
        self._stamp = path.stat().st_mtime_ns
        self.of_file = [content[at : at + KEY_BYTES] for at in range(0, len(content), KEY_BYTES)]
        with contextlib.suppress(FileNotFoundError):
            self._staged = [self.staged_path.read_bytes()[:KEY_BYTES]]
        if not self.staged_path.exists():
            self._staged = []
        if not self._installed:
            self._fernet = _fernet(self.of_file)
