"""Limits are raised where they are too low, and put back."""

from __future__ import annotations

from pathlib import Path

import pytest

from pileus.app.nodes.limits import raise_limits, restore_limits

NEEDED = {"fs/low": 1000, "fs/high": 1000, "fs/unknown": 1000}


@pytest.fixture
def system(tmp_path: Path) -> Path:
    (tmp_path / "sys" / "fs").mkdir(parents=True)
    (tmp_path / "sys" / "fs" / "low").write_text("128\n")
    (tmp_path / "sys" / "fs" / "high").write_text("5000\n")
    return tmp_path / "sys"


def value(system: Path, name: str) -> int:
    return int((system / "fs" / name).read_text())


def test_a_low_limit_is_raised_and_put_back(system: Path, tmp_path: Path) -> None:
    memory = tmp_path / "memory.json"
    assert raise_limits(memory, NEEDED, system) == {"fs/low": 128}
    assert (value(system, "low"), value(system, "high")) == (1000, 5000)
    assert raise_limits(memory, NEEDED, system) == {}
    restore_limits(memory, NEEDED, system)
    assert (value(system, "low"), value(system, "high")) == (128, 5000)
    assert not memory.exists()
    restore_limits(memory, NEEDED, system)


def test_what_was_first_is_put_back_after_a_reboot_in_between(system: Path, tmp_path: Path) -> None:
    memory = tmp_path / "memory.json"
    raise_limits(memory, NEEDED, system)
    (system / "fs" / "low").write_text("200\n")
    raise_limits(memory, NEEDED, system)
    restore_limits(memory, NEEDED, system)
    assert value(system, "low") == 128


def test_what_somebody_else_has_set_stays(system: Path, tmp_path: Path) -> None:
    memory = tmp_path / "memory.json"
    raise_limits(memory, NEEDED, system)
    (system / "fs" / "low").write_text("9999\n")
    restore_limits(memory, NEEDED, system)
    assert value(system, "low") == 9999
