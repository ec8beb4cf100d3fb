"""Texts of filters that are regular expressions, matched in time linear in the text.

Nova hands the expression to its database, so what it means differs from cloud to cloud, and engines that
backtrack (Python's, SQLite's through it, MariaDB's) can be kept busy for as long as the caller likes. Here
the database narrows the rows to those that the caller may see, and RE2 reads the expression over what they
say, outside of any writer: one meaning on the three databases, and no expression that takes long. What RE2
does not have (look-around, back references) is refused like what is no expression at all.

Most texts are no more than a piece of a name; those are left to the database (``Literal``).
"""

from __future__ import annotations

import re
from typing import NamedTuple

import re2

LONGEST = 255
MOST = 16
"""So many expressions a request may have: each takes memory."""

_PROGRAM_BYTES = 1 << 18
"""The most memory that one expression may take; RE2 refuses what needs more, ``((a{99}){99}){99}`` say. The
newest hundred or so are remembered."""

_LITERAL = re.compile(r"(\^?)([\w :@/,;=~<>&%!\"'#-]*)(\$?)")
_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = _PROGRAM_BYTES


class BadPattern(ValueError):
    """A text is no regular expression, or one that is not taken here."""


class Literal(NamedTuple):
    """A text without an operator but for anchors at its start, or at both ends."""

    text: str
    at_start: bool = False
    at_end: bool = False

    def matches(self, text: str) -> bool:
        if self.at_start and self.at_end:
            return text == self.text
        return text.startswith(self.text) if self.at_start else self.text in text


class Expression:
    """A regular expression that RE2 has read."""

    __slots__ = ("_compiled",)

    def __init__(self, text: str) -> None:
        try:
            self._compiled = re2.compile(text, _OPTIONS)
        except (re2.error, UnicodeError):
            raise BadPattern(text) from None

    def matches(self, text: str) -> bool:
        return self._compiled.search(text) is not None


Pattern = Literal | Expression


def read_pattern(text: str) -> Pattern:
    """A filter's text as a pattern, found anywhere unless it is anchored; raises BadPattern."""
    if not text or len(text) > LONGEST:
        raise BadPattern(text)
    literal = _LITERAL.fullmatch(text)
    if literal is not None and (literal[1] or not literal[3]):
        return Literal(literal[2], bool(literal[1]), bool(literal[3]))
    return Expression(text)


_OPERATORS = frozenset("^$*+?[(|")


def read_address_pattern(text: str) -> Pattern:
    """The same for a piece of an address, in which a dot is a dot unless there is another operator."""
    if text and len(text) <= LONGEST and not _OPERATORS & {*text}:
        return Literal(text.replace("\\", ""))
    return read_pattern(text)
