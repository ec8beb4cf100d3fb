"""Texts that a renderer must make exactly; ``PILEUS_GOLDEN=rewrite`` makes them what they are now."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parent / "golden"


def assert_golden(name: str, text: str) -> None:
    """``name``: the file below tests/golden."""
    path = FOLDER / name
    if os.environ.get("PILEUS_GOLDEN") == "rewrite":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()
