"""Errors of directories."""

from __future__ import annotations

from pileus.core.errors import Invalid, Unavailable


class DirectoryUnavailable(Unavailable):
    """The domain's LDAP server does not answer, or not to us (503)."""

    message = "Unable to establish a connection to LDAP Server ({url})."


class SizeLimitExceeded(Invalid):
    """More entries fit than a search may return (400)."""

    message = (
        "Number of User/Group entities returned by LDAP exceeded size limit. Contact your LDAP administrator."
    )
