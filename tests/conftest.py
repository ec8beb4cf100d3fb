"""What all tests share: the golden files and the option that rewrites them."""

from __future__ import annotations

import datetime as dt
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import engine

GOLDEN = Path(__file__).with_name("golden")
_DAYS = 5


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--regenerate-golden", action="store_true", help="write what was made over the golden files"
    )
    parser.addoption(
        "--machine", metavar="SUITE", default="", help="run the stories on a machine: bookworm, trixie or all"
    )
    parser.addoption(
        "--sample", action="store_true", help=f"of the nightly tests run one in {_DAYS}, each day others"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a machine of its own, unless one was asked for, and other days' samples."""
    away: set[pytest.Item] = set()
    if not config.getoption("--machine"):
        away |= {item for item in items if item.get_closest_marker("machine")}
    if config.getoption("--sample"):
        nightly = (item for item in items if item.get_closest_marker("nightly"))
        away |= {item for item in nightly if not _is_todays(item.nodeid)}
    if away:
        config.hook.pytest_deselected(items=sorted(away, key=items.index))
        items[:] = [item for item in items if item not in away]


def _is_todays(nodeid: str) -> bool:
    """Whether today's sample has a nightly test: each is in it once in so many days, by its name."""
    return (zlib.crc32(nodeid.encode()) + dt.datetime.now(dt.UTC).date().toordinal()) % _DAYS == 0


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


# Where a run decides whether a change may land, the same examples are tried each time; everywhere else
# hypothesis looks for new ones.
# Neither fails because the machine is busy.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("looks", _PATIENT)
settings.register_profile("decides", _PATIENT, derandomize=True, database=None, print_blob=True)
settings.load_profile("decides" if os.environ.get("CI") else "looks")
# Where one example takes seconds (agents that wait for what does not come), making it smaller takes as long
# as it may; the default is five minutes.
engine.MAX_SHRINKING_SECONDS = 60
