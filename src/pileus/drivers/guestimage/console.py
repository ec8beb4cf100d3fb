"""Reading what the guest said on its serial console.

Each thing that the guest did is one line of its kernel's log, ``[    2.467409] pileus-guest: lease …``, with
the seconds since its kernel started. The words are listed in docs/guest-image.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# A prompt may stand before the bracket; an ended line only, so that half a line is never read as a whole.
_LINE = re.compile(r"\[ *(\d+\.\d+)\] pileus-guest: ([^\r\n]*)\r?\n")


@dataclass(frozen=True)
class Said:
    """One line: ``uptime_s`` after the guest's kernel started, it did what ``text`` says."""

    uptime_s: float
    text: str


def said(console: str) -> list[Said]:
    """Parse what a guest reported on its serial console, in order; several boots follow each other."""
    return [Said(float(seconds), text.strip()) for seconds, text in _LINE.findall(console)]
