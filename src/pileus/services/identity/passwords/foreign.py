"""Password hashes that Keystone wrote: bcrypt, bcrypt_sha256, scrypt and pbkdf2_sha512, in passlib's form.

They are taken as they are, and replaced by one of ours when their owner logs in. What a hash may cost is
bounded: it was written by an administrator, but anybody can have it checked.

Sources: passlib's documentation of the four formats, and what a Keystone 30 writes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable

import bcrypt

BCRYPT_BYTES = 72
"""bcrypt looks at no more of a password."""

_MOST_BCRYPT_ROUNDS = 15
_MOST_PBKDF2_ROUNDS = 5_000_000
_MOST_SCRYPT_BYTES = 256 << 20

_BCRYPT = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
_BCRYPT_SHA256_1 = re.compile(r"\$bcrypt-sha256\$(2[ab]),(\d\d?)\$([./A-Za-z0-9]{22})\$([./A-Za-z0-9]{31})")
_BCRYPT_SHA256_2 = re.compile(
    r"\$bcrypt-sha256\$v=2,t=(2b),r=(\d\d?)\$([./A-Za-z0-9]{22})\$([./A-Za-z0-9]{31})"
)
_SCRYPT = re.compile(
    r"\$scrypt\$ln=(\d\d?),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{0,88})\$([A-Za-z0-9+/]{43})"
)
_PBKDF2 = re.compile(r"\$pbkdf2-sha512\$(\d{1,8})\$([./+A-Za-z0-9]{0,1366})\$([./+A-Za-z0-9]{86})")


def is_foreign(encoded: str) -> bool:
    """Whether a text is a hash of one of these kinds, of a cost that is taken."""
    return any(check(encoded) is not None for check in _CHECKS)


def foreign_verify(encoded: str, password: str) -> bool:
    """Whether the password is that of such a hash; False for a text that is none."""
    if "\x00" in password:  # HMAC fills keys up with zeros, so that more of them change nothing
        return False
    for check in _CHECKS:
        verify = check(encoded)
        if verify is not None:
            return verify(password.encode("utf-8", "surrogatepass"))
    return False


def is_whole(encoded: str, password: str) -> bool:
    """Whether the hash is of the whole password, so that it can be replaced by one of another kind."""
    return _BCRYPT.fullmatch(encoded) is None or len(password.encode()) <= BCRYPT_BYTES


_Verify = Callable[[bytes], bool]


def _bcrypt(encoded: str) -> _Verify | None:
    found = _BCRYPT.fullmatch(encoded)
    if found is None or int(found[1]) > _MOST_BCRYPT_ROUNDS:
        return None
    return lambda password: _checkpw(password[:BCRYPT_BYTES], encoded)


def _bcrypt_sha256(encoded: str) -> _Verify | None:
    new = _BCRYPT_SHA256_2.fullmatch(encoded)
    found = new or _BCRYPT_SHA256_1.fullmatch(encoded)
    if found is None or int(found[2]) > _MOST_BCRYPT_ROUNDS:
        return None
    kind, rounds, salt, digest = found.groups()

    def verify(password: bytes) -> bool:
        if new:
            inner = hmac.digest(salt.encode(), password, "sha256")
        else:
            inner = hashlib.sha256(password).digest()
        return _checkpw(base64.b64encode(inner), f"${kind}${int(rounds):02d}${salt}{digest}")

    return verify


def _checkpw(password: bytes, encoded: str) -> bool:
    try:
        return bcrypt.checkpw(password, encoded.encode())
    except ValueError:
        return False


def _scrypt(encoded: str) -> _Verify | None:
    found = _SCRYPT.fullmatch(encoded)
    if found is None:
        return None
    log_n, block, lanes = int(found[1]), int(found[2]), int(found[3])
    memory = 128 * block * ((1 << log_n) + lanes + 2)
    if not (log_n and block and lanes) or memory * lanes > _MOST_SCRYPT_BYTES:
        return None
    salt, wanted = _decode(found[4]), _decode(found[5])
    if salt is None or wanted is None:
        return None

    def verify(password: bytes) -> bool:
        made = hashlib.scrypt(
            password, salt=salt, n=1 << log_n, r=block, p=lanes, maxmem=memory + (1 << 20), dklen=len(wanted)
        )
        return hmac.compare_digest(made, wanted)

    return verify


def _pbkdf2(encoded: str) -> _Verify | None:
    found = _PBKDF2.fullmatch(encoded)
    if found is None or not 0 < int(found[1]) <= _MOST_PBKDF2_ROUNDS:
        return None
    rounds = int(found[1])
    # passlib writes a dot where Base64 has a plus
    salt, wanted = (_decode(part.replace(".", "+")) for part in (found[2], found[3]))
    if salt is None or wanted is None:
        return None
    return lambda password: hmac.compare_digest(
        hashlib.pbkdf2_hmac("sha512", password, salt, rounds, len(wanted)), wanted
    )


def _decode(text: str) -> bytes | None:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return None


_CHECKS = (_bcrypt, _bcrypt_sha256, _scrypt, _pbkdf2)
