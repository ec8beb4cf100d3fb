"""The bounds of a session that came from a restricted application credential."""

from __future__ import annotations

from pileus.core.errors import Forbidden
from pileus.services.identity.sessions.session import Session


class DelegationForbidden(Forbidden):
    """A restricted application credential makes and ends no others (403)."""

    message = (
        "You are not authorized to perform the requested action: Using method 'application_credential' is "
        "not allowed for managing additional {what}."
    )


def require_unrestricted(session: Session, what: str) -> None:
    """Raise DelegationForbidden where the caller came with a restricted application credential."""
    if session.credential is not None and not session.credential.unrestricted:
        raise DelegationForbidden(what=what)
