"""Ids of what a request makes besides what it asks for, such as the rules that a group begins with."""

from __future__ import annotations

import uuid

from pileus.core.context import Context

_SPACE = uuid.UUID("0c1a4c2e-5d0e-5d5f-9b1c-6b8a5f6f2d11")


def derived_id(context: Context, *parts: str) -> str:
    """Make an id for what a request makes besides: the same when its unit is run again, unlike any other."""
    return str(uuid.uuid5(_SPACE, "/".join((context.request_id, *parts))))
