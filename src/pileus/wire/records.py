"""The base of the typed records that cross a process line."""

from __future__ import annotations

import msgspec


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """A frozen record; fields that the reader does not know are ignored, so that a newer
    server may speak to an older agent. Subclasses say ``frozen=True`` again."""
