"""Docstrings say in their first line what a thing is or does."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[3] / "src" / "pileus"
GLOSSARY = Path(__file__).parents[3] / "docs" / "glossary.md"

RIDDLES = ("What ", "See the module")
NOT_YET = ("store/migrations/",)
"""Rooms whose docstrings are still to be looked at. It only gets shorter."""


def docstrings(file: Path) -> Iterator[tuple[int, str]]:
    """Strings that stand alone: docstrings of modules, classes and functions, and what is said of values."""
    for node in ast.walk(ast.parse(file.read_text())):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                text = child.value.value
                if isinstance(text, str):
                    yield child.lineno, text.strip()


def test_no_docstring_is_a_riddle() -> None:
    found = [
        f"{file.relative_to(SOURCE)}:{line}: {text.splitlines()[0]}"
        for file in sorted(SOURCE.rglob("*.py"))
        if not file.relative_to(SOURCE).as_posix().startswith(NOT_YET)
        for line, text in docstrings(file)
        if text.startswith(RIDDLES)
    ]
    assert not found, "\n".join(found)


def test_the_glossary_is_sorted_and_names_files_that_are_there() -> None:
    text = GLOSSARY.read_text()
    words = re.findall(r"(?m)^\| ([^|]+) \| \S", text)[1:]
    assert words == sorted(words)
    # A name alone (``section.py``) is a file that many folders have.
    files = re.findall(r"`([\w/]+/\w+\.py)`", text)
    assert [file for file in files if not (SOURCE / file).exists()] == []
