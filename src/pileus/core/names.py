"""Names that become a part of a path: checked once more where the path is built.

What crosses a process line has been checked when it was decoded (``wire/types``); this is the second
look, for what comes another way.
"""

from __future__ import annotations

import re

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,254}", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)


class NotAName(ValueError):
    """The text can't be one part of a path: it leads elsewhere, or is none."""


def is_path_part(text: str) -> bool:
    """Whether ``text`` names something directly in a folder."""
    return bool(_PART.fullmatch(text))


def path_part(text: str) -> str:
    """``text`` itself, if it names something directly in a folder; raises NotAName."""
    if not is_path_part(text):
        raise NotAName(f"{text[:100]!r} is no name of a file")
    return text


def is_uuid(text: str) -> bool:
    """Whether ``text`` is a UUID with hyphens."""
    return bool(_UUID.fullmatch(text))
