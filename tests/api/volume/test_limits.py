"""What the keys of QoS specs come to for one volume."""

from __future__ import annotations

import pytest

from pileus.services.volume.rules.limits import front_end, limits_of, objection

CASES: dict[str, tuple[str, dict[str, str], int, dict[str, int]]] = {
    "plain": ("front-end", {"read_iops_sec": "5", "colour": "red"}, 1, {"read_iops_sec": 5}),
    "the pool keeps them": ("back-end", {"read_iops_sec": "5"}, 1, {}),
    "for each GiB": ("both", {"total_bytes_sec_per_gb": "10"}, 7, {"total_bytes_sec": 70}),
    "at least": (
        "both",
        {"read_iops_sec_per_gb": "10", "read_iops_sec_per_gb_min": "100"},
        7,
        {"read_iops_sec": 100},
    ),
    "zero limits nothing": ("front-end", {"read_iops_sec": "0"}, 1, {}),
    "a burst of nothing": (
        "front-end",
        {"read_iops_sec_max": "9", "write_iops_sec_max_length": "9", "size_iops_sec": "1"},
        1,
        {},
    ),
    "a burst": (
        "front-end",
        {
            "read_iops_sec": "5",
            "read_iops_sec_max": "9",
            "read_iops_sec_max_length": "2",
            "size_iops_sec": "1",
        },
        1,
        {"read_iops_sec": 5, "read_iops_sec_max": 9, "read_iops_sec_max_length": 2, "size_iops_sec": 1},
    ),
    "a burst below what the volume's size gives": (
        "front-end",
        {"read_iops_sec_per_gb": "5", "read_iops_sec_max": "9", "read_iops_sec_max_length": "2"},
        2,
        {"read_iops_sec": 10},
    ),
    "a burst that QEMU can't count": (
        "front-end",
        {
            "read_iops_sec": "5",
            "read_iops_sec_max": "9",
            "read_iops_sec_max_length": "4294967296",
            "write_bytes_sec": "1000",
            "write_bytes_sec_max": "1000000000",
            "write_bytes_sec_max_length": "1000001",
        },
        1,
        {"read_iops_sec": 5, "read_iops_sec_max": 9, "write_bytes_sec": 1000, "write_bytes_sec_max": 10**9},
    ),
    "a length without a burst": (
        "front-end",
        {"read_iops_sec": "5", "read_iops_sec_max_length": "2"},
        1,
        {"read_iops_sec": 5},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_limits(name: str) -> None:
    consumer, specs, size_gib, wanted = CASES[name]
    assert limits_of(consumer, specs, size_gib) == wanted


def test_whoever_opens_a_volume_is_told_all_other_keys_too() -> None:
    specs = {"colour": "red", "read_iops_sec_per_gb": "2", "read_iops_sec_per_gb_min": "1"}
    assert front_end("both", specs, 3) == {"colour": "red", "read_iops_sec": "6"}


def test_what_a_hypervisor_can_t_keep_is_said() -> None:
    assert objection("front-end", {"read_iops_sec": "1e3"}) is not None
    assert objection("front-end", {"read_iops_sec": "9" * 17}) is not None
    assert objection("both", {"total_bytes_sec": "1", "write_bytes_sec": "1"}) is not None
    assert objection("both", {"total_bytes_sec": "1", "write_iops_sec": "1"}) is None
    assert objection("back-end", {"read_iops_sec": "many"}) is None
    burst = {"read_iops_sec": "10", "read_iops_sec_max": "9"}
    assert objection("both", burst) == "read_iops_sec_max is below read_iops_sec"
    long = {"read_iops_sec": "5", "read_iops_sec_max": "9", "read_iops_sec_max_length": "4294967296"}
    assert "max_length is too long" in (objection("both", long) or "")
    assert objection("both", {**burst, "read_iops_sec_max": "10", "read_iops_sec_max_length": "60"}) is None
    assert objection("both", {"read_iops_sec_per_gb": "10", "read_iops_sec_max": "9"}) is None
