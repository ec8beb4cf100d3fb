"""When a password may be chosen, and when a user who gave wrong ones must wait.

Both are Keystone's ``[security_compliance]``: ``password_regex`` and its description,
``lockout_failure_attempts`` and ``lockout_duration``.
"""

from __future__ import annotations

import datetime as dt

import msgspec
import re2

_OPENINGS = {"(?=": True, "(?!": False}


class BadPasswordRegex(ValueError):
    """The setting is no expression that can be matched in linear time."""


class PasswordPolicy:
    """The expression that passwords must match; an empty one takes all.

    The expression is an administrator's, the texts are anybody's, so it is matched by RE2, in time linear in
    the text. RE2 has no look-ahead, with which most such expressions begin (``^(?=.*\\d)(?=.*[A-Z]).{8,}$``):
    those at the beginning become expressions of their own. Raises BadPasswordRegex.
    """

    def __init__(self, regex: str = "", description: str = "") -> None:
        self.description = description
        self._parts = [(_compile(text), wanted) for text, wanted in _split(regex)] if regex else []

    def takes(self, password: str) -> bool:
        """Whether the password fits, from its beginning on, as Python's ``re.match``."""
        try:
            return all((part.match(password) is not None) is wanted for part, wanted in self._parts)
        except UnicodeError:  # lone surrogates, which no text in UTF-8 has
            return False


def _compile(text: str) -> re2._Regexp[str]:
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except (re2.error, UnicodeError) as error:
        raise BadPasswordRegex(f"{text!r}: {error}") from None


def _split(regex: str) -> list[tuple[str, bool]]:
    """Expressions that must (True) and must not match at the beginning, for all of them together."""
    rest, parts = regex.removeprefix("^"), []
    while (opening := rest[:3]) in _OPENINGS:
        end = _closing(rest)
        parts.append((rest[3:end], _OPENINGS[opening]))
        rest = rest[end + 1 :].removeprefix("^")
    if parts and rest[:1] in ("*", "+", "?", "{", "|"):
        raise BadPasswordRegex(f"{regex!r}: a look-ahead can't be repeated, or be one of several")
    return [*parts, (rest, True)]


def _closing(text: str) -> int:
    """Where the group ends that begins the text. Raises BadPasswordRegex."""
    depth, at, in_class = 0, 0, False
    while at < len(text):
        character = text[at]
        if character == "\\":
            at += 1
        elif in_class:
            in_class = character != "]"
        elif character == "[":
            in_class = True
            at += 1 + (text[at + 1 : at + 2] == "^")  # a bracket at its beginning is one of the class
        elif character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
            if not depth:
                return at
        at += 1
    raise BadPasswordRegex(f"{text!r}: a group has no end")


class Lockout(msgspec.Struct, frozen=True):
    """How many wrong passwords lock a user (0: none does), and for how long (0: until he is enabled)."""

    failure_attempts: int = 0
    duration_s: int = 1800

    def locks(self, count: int, last: dt.datetime | None, now: dt.datetime) -> bool:
        """Whether a user is locked who failed so often, last then."""
        if not self._is_reached(count):
            return False
        return not self.duration_s or last is None or now < last + dt.timedelta(seconds=self.duration_s)

    def after_failure(self, count: int) -> int:
        """The count after one failure more of a user who is not locked: it begins anew after a lock."""
        return 1 if self._is_reached(count) else count + 1

    def _is_reached(self, count: int) -> bool:
        return bool(self.failure_attempts) and count >= self.failure_attempts
