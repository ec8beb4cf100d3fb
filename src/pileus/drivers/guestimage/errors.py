"""Errors of building a guest image."""

from __future__ import annotations

from pileus.core.errors import Unavailable


class CannotBuildImage(Unavailable):
    """A program or package that the build needs is missing, or one of them failed."""

    message = "The guest image could not be built: {reason}"
