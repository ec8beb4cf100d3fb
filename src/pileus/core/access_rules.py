"""Access rules of application credentials: which requests a program may make, by service, method and path.

The patterns are those of Keystone's middleware: ``*`` and ``{anything}`` stand for one segment of a path,
``**`` for any number of characters.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import Any

import msgspec
import re2

_PARTS = re.compile(
    r"(?P<one>\{[^}]*\}|(?<!\*)\*(?!\*)|(?<=\*\*)\*(?!\*))|(?P<many>\*\*)|(?P<literal>.)", re.S
)


class AccessRule(msgspec.Struct, frozen=True):
    """One request that is allowed: of a catalog's service type, with a method, on the paths of a pattern."""

    service: str
    method: str
    path: str


@functools.lru_cache(maxsize=1024)
def _pattern(path: str) -> Any:
    """The pattern for RE2, which is linear in the path however many ``**`` a user has written."""
    text = "".join(
        "[^/]+" if part["one"] else ".*" if part["many"] else re2.escape(part["literal"])
        for part in _PARTS.finditer(path)
    )
    return re2.compile(f"(?s){text}")


def path_matches(pattern: str, path: str) -> bool:
    """Whether a path is one of the pattern's."""
    return _pattern(pattern).fullmatch(path) is not None


def allows(rules: Iterable[AccessRule], service: str, method: str, paths: Iterable[str]) -> bool:
    """Whether one of the rules allows the request, whose path may be written in several ways."""
    written = tuple(paths)
    return any(
        rule.method == method
        and rule.service == service
        and any(path_matches(rule.path, path) for path in written)
        for rule in rules
    )
