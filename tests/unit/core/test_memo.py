"""What is remembered stays bounded by what is in use."""

from __future__ import annotations

from pileus.core.memo import SPARE, Memos


def test_what_is_gone_is_forgotten_and_what_is_in_use_costs_one_round() -> None:
    memos = Memos()
    made: list[int] = []

    @memos.remember(1 << 16)
    def double(number: int) -> int:
        made.append(number)
        return 2 * number

    in_use = range(100)
    largest = 0
    for round_ in range(50):
        for number in (*in_use, *range(1000 * (round_ + 1), 1000 * (round_ + 1) + 500)):
            assert double(number) == 2 * number
        largest = max(largest, memos.entries)
        memos.trim()
    assert largest <= 2 * 600 + SPARE + 600
    assert made.count(5) < 50 / 3, "a round in a while starts anew"


def test_a_cache_that_does_not_grow_is_left_alone() -> None:
    memos = Memos()
    made: list[int] = []

    @memos.remember(1 << 16)
    def same(number: int) -> int:
        made.append(number)
        return number

    for _ in range(20):
        for number in range(3 * SPARE):
            same(number)
        memos.trim()
    assert len(made) == 3 * SPARE == memos.entries
