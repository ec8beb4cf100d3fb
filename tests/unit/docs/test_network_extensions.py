"""The page on extensions of the network names each that the service lists, and files that are there."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from tests.api.network.cloud import CONFIG

from pileus.core.clock import SystemClock
from pileus.services.network.service import network_service

ROOT = Path(__file__).parents[3]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "network-extensions.md").read_text().splitlines()
    if line.startswith("| `")
]
BY_SETTINGS = {"subnet-dns-publish-fixed-ip"}
"""Listed where an external DNS is set up."""
NAMED = re.compile(r"`([^`]+)`")


def test_each_extension_that_is_listed_has_one_place() -> None:
    said = Counter(alias for row in ROWS for alias in NAMED.findall(row[0]))
    listed = {one.alias for one in network_service(CONFIG, SystemClock()).extensions}
    listed |= BY_SETTINGS
    assert said.keys() == listed, said.keys() ^ listed
    assert set(said.values()) == {1}, [alias for alias, times in said.items() if times > 1]


def test_each_row_names_tests_and_files_that_are_there() -> None:
    for aliases, enforced, tests in ROWS:
        assert tests, aliases
        assert all((ROOT / name).is_file() for name in NAMED.findall(tests)), tests
        places = [name for name in NAMED.findall(enforced) if "/" in name and " " not in name]
        assert all((ROOT / "src" / "pileus" / name).exists() for name in places), enforced
