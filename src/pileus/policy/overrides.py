"""The operator's own rules: JSON, or the part of YAML that policy files use.

That part is one ``"name": "rule"`` a line (quotes of either kind or none), comments and empty lines, as
``oslopolicy-sample-generator`` writes it. In a file for several services, rules of one of them are
indented below its name (``network:``), or in JSON in an object of that name; others are for every service.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from pileus.policy.language import PolicyError

Overrides: TypeAlias = Mapping[str, Mapping[str, str]]
"""``{service: {rule: text}}``."""

EVERY = ""
"""The key of the rules for every service."""

_LINE = re.compile(
    r"""\s*(?P<name>"[^"]*"|'[^']*'|[^"'#\s][^\s]*?)\s*:(?:\s+|(?=["']))"""
    r"""(?P<rule>"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^"'#\s].*?)\s*(?:\#.*)?"""
)
_SERVICE = re.compile(r"""(?P<name>"[\w-]+"|'[\w-]+'|[\w-]+)\s*:\s*(?:\#.*)?""")
_SUFFIXES = (".yaml", ".yml", ".json")


def load_policy(file: str, folder: str) -> dict[str, dict[str, str]]:
    """Read the file for all services and the folder's file for each; empty paths are passed over.

    A service's own file goes before the one for all. Raises PolicyError, or OSError for what can't be read.
    """
    rules = _load(Path(file)) if file else {}
    for path in sorted(Path(folder).iterdir()) if folder else ():
        if path.suffix not in _SUFFIXES:
            continue
        for service, several in _load(path).items():
            if service not in (EVERY, path.stem):
                raise PolicyError(service, None, f"rules of another service than {path.stem} ({path})")
            rules.setdefault(path.stem, {}).update(several)
    return rules


def _load(path: Path) -> dict[str, dict[str, str]]:
    try:
        return parse_overrides(path.read_text(encoding="utf-8"))
    except PolicyError as error:
        raise PolicyError(error.rule, error.column, f"{error.problem} ({path})") from None


def parse_overrides(text: str) -> dict[str, dict[str, str]]:
    """Read a policy file's text: the rules by service. Raises PolicyError."""
    if text.lstrip().startswith("{"):
        return _from_json(text)
    rules: dict[str, dict[str, str]] = {}
    service = EVERY
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if not bare or bare.startswith("#") or bare in ("---", "{}"):
            continue
        if not line[0].isspace():
            service = EVERY
            if section := _SERVICE.fullmatch(bare):
                service = _unquote(section["name"])
                continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise PolicyError(bare[:40], 1, f'line {number} is not of the form "name": "rule".')
        rules.setdefault(service, {})[_unquote(match["name"])] = _unquote(match["rule"])
    return rules


def _from_json(text: str) -> dict[str, dict[str, str]]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise PolicyError("(file)", getattr(error, "colno", None), f"not JSON: {error}.") from None
    rules: dict[str, dict[str, str]] = {}
    for name, value in document.items():
        several, service = (value, name) if isinstance(value, dict) else ({name: value}, EVERY)
        for rule, check in several.items():
            if not isinstance(check, str):
                raise PolicyError(rule, None, "its value must be a string.")
            rules.setdefault(service, {})[rule] = check
    return rules


def _unquote(text: str) -> str:
    if text.startswith('"'):
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    if text.startswith("'"):
        return text[1:-1].replace("''", "'")
    return text
