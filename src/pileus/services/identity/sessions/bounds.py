"""The bounds of a session in which somebody acts for another, or a program for its user."""

from __future__ import annotations

from pileus.core.errors import Forbidden
from pileus.services.identity.common.errors import Refused
from pileus.services.identity.sessions.authenticator import Authenticator
from pileus.services.identity.sessions.session import Session
from pileus.web.request import Request


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


def require_own(session: Session, what: str) -> None:
    """Raise Refused where the caller acts for somebody else: what he made would outlive that."""
    if session.delegated:
        raise Refused(f"cannot manage {what} with a token issued via delegation")


async def require_direct(authenticator: Authenticator, request: Request, what: str) -> None:
    """Raise Refused where the caller acts for somebody, or is a program that does."""
    session = (await authenticator.authenticate(request.header("x-auth-token") or "")).session
    if session.bound is not None:
        raise Refused(f"cannot manage {what} with a token issued via delegation")
