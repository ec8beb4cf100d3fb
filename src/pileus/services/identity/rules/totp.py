"""Passcodes of TOTP (RFC 6238): six digits, SHA-1, steps of thirty seconds, as Keystone has them."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hmac

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

STEP_S = 30
DIGITS = 6
GUESSES_PER_STEP = 5
"""So few of a million passcodes of a user are looked at within a step."""
_EPOCH = dt.datetime(1970, 1, 1)


def step_of(now: dt.datetime) -> int:
    """The number of the step that a moment is in."""
    return int((now - _EPOCH).total_seconds()) // STEP_S


def secret_of(blob: str) -> bytes | None:
    """The key in a credential's blob, which is base32 with or without padding; None if it is none."""
    text = blob.strip().rstrip("=").upper()
    try:
        return base64.b32decode(text + "=" * (-len(text) % 8)) or None
    except (binascii.Error, ValueError):
        return None


def matching_step(secret: bytes, passcode: str, now: dt.datetime, previous: int) -> int | None:
    """The step of which the passcode is, of the present one and so many ``previous`` ones; None: of none."""
    totp = TOTP(secret, DIGITS, SHA1(), STEP_S, enforce_key_length=False)  # noqa: S303 - RFC 6238's default
    present, found = step_of(now), None
    given = passcode.encode("utf-8", "replace")
    for step in range(present, present - previous - 1, -1):
        if step >= 0 and hmac.compare_digest(totp.generate(step * STEP_S), given) and found is None:
            found = step
    return found
