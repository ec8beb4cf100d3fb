"""The time at which something shall end, as a request says it."""

from __future__ import annotations

import datetime as dt

from pileus.core.errors import Invalid
from pileus.resource import types
from pileus.services.identity.common.errors import ValidationTimeStampError


class ValidationExpirationError(Invalid):
    """The expiry is past (400)."""

    message = (
        "The 'expires_at' must not be before now. The server could not comply with the request since it is "
        "either malformed or otherwise incorrect. The client is assumed to be in error."
    )


def expiry_read(text: str | None, now: dt.datetime) -> dt.datetime | None:
    """The time in a request's ``expires_at``. Raises Invalid for what is no time, or is past."""
    if not text:
        return None
    try:
        moment = types.timestamp.parse(text if text.endswith("Z") else text + "Z")
    except types.BadValue:
        raise ValidationTimeStampError from None
    if moment < now:
        raise ValidationExpirationError
    return moment  # type: ignore[no-any-return]
