"""Which texts of a filter are read as regular expressions: those that all three databases read alike.

Nova hands the text to its database, so what works differs from cloud to cloud and a wrong one is an error.
Here a text that is no expression, or one that only some databases know, is looked for as it stands.
"""

from __future__ import annotations

import re

_PLAIN = re.compile(r"[\w :@/-]*")
_ODD = re.compile(
    r"""\(\?            # groups with options, look-around
      | [{}]            # counted repetition, literal in some
      | [*+?][*+]       # possessive in some, wrong in others
      | \\[^\W_dDwWsS]  # escapes of letters beyond the classes that all know
      | \[\[            # classes of POSIX
      """,
    re.VERBOSE,
)


def is_expression(text: str) -> bool:
    """Whether to match ``text`` as a regular expression rather than to look for it."""
    if len(text) > 255 or _PLAIN.fullmatch(text) or _ODD.search(text):
        return False
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError):
        return False
    return True
