"""Tickets: the right to move one image's bytes for a short while, for nodes, which have no token.

A ticket is ``EXPIRY.PURPOSE.MAC``: the Unix time at which it ends, what it is for, and an HMAC-SHA256 over
these and the image's id. It is checked without a look into the database.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac

from pileus.core.errors import Forbidden

DOWNLOAD, UPLOAD = "download", "upload"

HEADER = "x-image-ticket"


class BadTicket(Forbidden):
    """The ticket is not ours, is for something else, or has ended."""

    message = "The image ticket is not valid."


class Tickets:
    """Makes and checks tickets with one secret key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, image_id: str, purpose: str, expires: dt.datetime) -> str:
        """A ticket; ``expires`` is naive UTC."""
        end = int(expires.replace(tzinfo=dt.UTC).timestamp())
        return f"{end}.{purpose}.{self._mac(image_id, purpose, end)}"

    def check(self, ticket: str, image_id: str, purpose: str, now: dt.datetime) -> None:
        """Raise BadTicket unless the ticket is for this and has not ended."""
        parts = ticket.split(".")
        if len(parts) != 3 or not parts[0].isascii() or not parts[0].isdigit() or len(parts[0]) > 12:
            raise BadTicket
        end = int(parts[0])
        wanted = self._mac(image_id, purpose, end)
        if not hmac.compare_digest(parts[2].encode(), wanted.encode()) or parts[1] != purpose:
            raise BadTicket
        if now.replace(tzinfo=dt.UTC).timestamp() >= end:
            raise BadTicket

    def _mac(self, image_id: str, purpose: str, end: int) -> str:
        return hmac.new(self._key, f"{end}.{purpose}.{image_id}".encode(), hashlib.sha256).hexdigest()
