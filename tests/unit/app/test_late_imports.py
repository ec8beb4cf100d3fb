"""A server that has dropped its rights may not be able to read its source: what it imports late is known."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pileus
from pileus.app.processes import server

SOURCE = Path(pileus.__file__).parent
ROOMS = ("bus", "core", "flow", "policy", "resource", "services", "store", "web", "wire")
AT_THE_START = frozenset({"alembic"})
"""Packages that migrations alone import; ``migrations.preload`` does so before."""


def late_imports(file: Path) -> set[str]:
    """The packages that functions of a file import, but for Python's own and ours."""
    found: set[str] = set()
    for function in ast.walk(ast.parse(file.read_text())):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for node in ast.walk(function):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            found |= {name.partition(".")[0] for name in names}
    return found - sys.stdlib_module_names - {"pileus"} - AT_THE_START


def test_late_imports_are_made_before_rights_are_dropped() -> None:
    text = Path(server.__file__).read_text()
    files = [file for room in ROOMS for file in sorted((SOURCE / room).rglob("*.py"))]
    late = {name: file for file in files for name in late_imports(file)}
    assert "aiohttp" in late
    unknown = {
        name: str(file.relative_to(SOURCE))
        for name, file in late.items()
        if f'"{name}"' not in text and f'"{name}.' not in text
    }
    assert not unknown, unknown
