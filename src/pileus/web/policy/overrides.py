"""The operator's own rules: a JSON object, or the part of YAML that policy files use.

That part is one ``"name": "rule"`` a line (quotes of either kind or none), comments
and empty lines; it is what ``oslopolicy-sample-generator`` writes.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from pileus.web.policy.language import PolicyError

_LINE = re.compile(
    r"""\s*(?P<name>"[^"]*"|'[^']*'|[^"'#\s][^\s]*?)\s*:(?:\s+|(?=["']))"""
    r"""(?P<rule>"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^"'#\s].*?)\s*(?:\#.*)?"""
)


def load_overrides(path: Path) -> dict[str, str]:
    """The rules of a policy file by name. Raises PolicyError, or OSError if it can't be read."""
    try:
        return parse_overrides(path.read_text(encoding="utf-8"))
    except PolicyError as error:
        raise PolicyError(error.rule, error.column, f"{error.problem} ({path})") from None


def parse_overrides(text: str) -> dict[str, str]:
    """The rules of a policy file's text by name. Raises PolicyError."""
    if text.lstrip().startswith("{"):
        return _from_json(text)
    rules = {}
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if not bare or bare.startswith("#") or bare in ("---", "{}"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise PolicyError(bare[:40], 1, f'line {number} is not of the form "name": "rule".')
        rules[_unquote(match["name"])] = _unquote(match["rule"])
    return rules


def _from_json(text: str) -> dict[str, str]:
    try:
        rules = json.loads(text)
    except ValueError as error:
        raise PolicyError("(file)", getattr(error, "colno", None), f"not JSON: {error}.") from None
    for name, rule in rules.items():
        if not isinstance(rule, str):
            raise PolicyError(name, None, "its value must be a string.")
    return dict(rules)


def _unquote(text: str) -> str:
    if text.startswith('"'):
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    if text.startswith("'"):
        return text[1:-1].replace("''", "'")
    return text
