"""What failed waits, longer each time, and not at all once it is another thing."""

from __future__ import annotations

from pileus.core.clock import ManualClock
from pileus.flow.patience import Patience


def test_what_failed_waits_longer_each_time() -> None:
    clock = ManualClock()
    patience = Patience(clock, first_s=1.0, limit_s=4.0)
    assert (patience.waits("a", 1), patience.pause(), len(patience)) == (False, None, 0)
    for pause in (1.0, 2.0, 4.0, 4.0):
        patience.failed("a", 1, "why")
        assert patience.waits("a", 1)
        assert patience.pause() == pause
        clock.advance(pause)
        assert not patience.waits("a", 1)
        assert patience.reasons == {"a": "why"}
    patience.went_well("a")
    assert (patience.reasons, patience.pause()) == ({}, None)


def test_another_thing_is_tried_at_once_and_begins_anew() -> None:
    clock = ManualClock()
    patience = Patience(clock, first_s=1.0, limit_s=60.0)
    for _ in range(5):
        patience.failed("a", 1, "why")
    assert patience.waits("a", 1)
    assert not patience.waits("a", 2)
    patience.failed("a", 2, "again")
    assert patience.pause() == 1.0


def test_all_may_be_hurried_and_those_that_are_not_wanted_are_forgotten() -> None:
    patience = Patience(ManualClock())
    patience.failed("a", 1, "x")
    patience.failed("b", 1, "y")
    patience.keep({"b"})
    assert patience.reasons == {"b": "y"}
    patience.hurry()
    assert not patience.waits("b", 1)
    assert patience.pause() == 0.0
