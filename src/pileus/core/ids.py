"""Identifiers: made in one place, so that tests can hand in their own."""

from __future__ import annotations

import uuid


def new_id() -> str:
    """A random UUID with hyphens, 36 characters, as Neutron and Nova use."""
    return str(uuid.uuid4())


def new_hex_id() -> str:
    """A random UUID without hyphens, 32 characters, as Keystone uses."""
    return uuid.uuid4().hex


def new_request_id() -> str:
    """``req-`` and a UUID, the form of OpenStack's request ids."""
    return f"req-{uuid.uuid4()}"
