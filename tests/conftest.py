"""What all tests share: the golden files and the option that rewrites them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

GOLDEN = Path(__file__).with_name("golden")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--regenerate-golden", action="store_true", help="write what was made over the golden files"
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """``golden("l2/br-int.flows", text)`` compares a text with a file below tests/golden."""

    def compare(name: str, text: str) -> None:
        file = GOLDEN / name
        if request.config.getoption("--regenerate-golden"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        assert text == file.read_text(), f"{name} differs; --regenerate-golden rewrites it"

    return compare


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What drives real parts runs one after the other, since it looks at the whole machine; the rest goes
    by files (``--dist=loadgroup``)."""
    for item in items:
        name = "real" if item.get_closest_marker("real") else item.path.stem
        item.add_marker(pytest.mark.xdist_group(name))
