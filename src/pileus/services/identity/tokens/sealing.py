"""Secrets at rest: what users keep here is sealed with the keys of a file of its own.

The file has the form of that of the tokens' keys. What is kept here has no end, so a key that goes would
take with it what it sealed: keys rotate only when everything is sealed with the primary one
(``tokens.ring``).
"""

from __future__ import annotations

from pileus.core.errors import Fault, Kind
from pileus.services.identity.tokens.keys import TokenKeys


class CredentialEncryptionError(Fault):
    """No key of this service opens the stored blob (500)."""

    kind = Kind.INTERNAL
    message = "An unexpected error prevented the server from accessing encrypted credentials."


def blob_seal(keys: TokenKeys, blob: str, seconds: int) -> str:
    """Seal a blob for the table; ``seconds`` since the epoch is written into it."""
    return keys.seal(blob.encode(), seconds)


def blob_open(keys: TokenKeys, sealed: str) -> str:
    """Open a sealed blob. Raises CredentialEncryptionError."""
    blob = keys.open(sealed)
    if blob is None:
        raise CredentialEncryptionError
    return blob.decode()
