"""Keys through rotations and withdrawals."""

from __future__ import annotations

import datetime as dt

from pileus.services.identity.rules.keys import MOST, Key, rotated, withdrawn

NOW = dt.datetime(2026, 1, 1)
HOUR = dt.timedelta(hours=1)


def _states(keys: list[Key]) -> dict[str, str]:
    return {one.id: one.state for one in keys}


def _rotate(keys: list[Key], now: dt.datetime, *fresh: str) -> list[Key]:
    return rotated(keys, fresh, now, active=3, needed=HOUR)


def test_the_staged_key_becomes_primary_and_the_oldest_goes_when_nothing_needs_it():
    keys = _rotate([Key("file", "primary", NOW)], NOW, "a", "b")
    assert _states(keys) == {"a": "primary", "b": "staged", "file": "secondary"}
    keys = _rotate(keys, NOW + HOUR, "c", "d")
    assert _states(keys) == {"b": "primary", "c": "staged", "a": "secondary"}
    # in the same hour all stay: their tokens live
    again = _rotate(keys, NOW + HOUR * 1.5, "e", "f")
    assert _states(again) == {"c": "primary", "e": "staged", "b": "secondary", "a": "secondary"}
    assert _states(_rotate(again, NOW + HOUR * 4, "g", "h")) == {
        "e": "primary",
        "g": "staged",
        "c": "secondary",
    }


def test_rotations_without_end_keep_a_bounded_number():
    keys = [Key("file", "primary", NOW)]
    for number in range(200):
        keys = _rotate(keys, NOW, f"a{number}", f"b{number}")
    assert len(keys) == MOST + 2
    assert [one.state for one in keys].count("primary") == 1


def test_a_key_that_is_withdrawn_is_gone_and_another_seals():
    keys = _rotate([Key("file", "primary", NOW)], NOW, "a", "b")
    assert _states(withdrawn(keys, "file", ["x", "y"], NOW)) == {"a": "primary", "b": "staged"}
    assert _states(withdrawn(keys, "a", ["x", "y"], NOW)) == {
        "b": "primary", "x": "staged", "file": "secondary"
    }  # fmt: skip
    assert _states(withdrawn(keys, "b", ["x", "y"], NOW)) == {
        "a": "primary", "x": "staged", "file": "secondary"
    }  # fmt: skip
    alone = [Key("file", "primary", NOW)]
    assert _states(withdrawn(alone, "file", ["x", "y"], NOW)) == {"x": "primary", "y": "staged"}
