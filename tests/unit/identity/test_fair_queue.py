"""The queue in which nobody waits for another's heap."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.services.identity.rules.fair_queue import FairQueue, Origin, QueueFull


def drained(queue: FairQueue[str]) -> list[str]:
    return list(iter(queue.take, None))


def test_clients_take_turns_and_a_clients_users_too():
    queue: FairQueue[str] = FairQueue(100, 100)
    for number in range(3):
        queue.add(Origin("a", "x"), f"ax{number}")
    queue.add(Origin("a", "y"), "ay0")
    queue.add(Origin("b", "z"), "bz0")
    assert drained(queue) == ["ax0", "bz0", "ay0", "ax1", "ax2"]
    assert len(queue) == 0 and queue.take() is None


def test_what_is_taken_out_is_not_done():
    queue: FairQueue[str] = FairQueue(100, 100)
    queue.add(Origin("a", "x"), "1")
    queue.add(Origin("a", "x"), "2")
    queue.remove("1")
    queue.remove("1")
    queue.remove("other")
    assert drained(queue) == ["2"]


def test_a_full_share_is_its_own_clients_matter():
    queue: FairQueue[str] = FairQueue(100, 3)
    for number in range(3):
        assert queue.add(Origin("a", "x"), f"x{number}") is None
    with pytest.raises(QueueFull) as full:
        queue.add(Origin("a", "x"), "x3")
    assert full.value.own
    assert queue.add(Origin("b", "x"), "b") is None
    assert queue.add(Origin("a", "y"), "y") == "x2", "the newest of whoever has most"
    assert queue.add(Origin("a", "z"), "z") == "x1"
    with pytest.raises(QueueFull):
        queue.add(Origin("a", "w"), "w")  # nobody has more than he would have then
    assert drained(queue) == ["x0", "b", "y", "z"]


def test_a_full_queue_makes_room_at_the_largest_share():
    queue: FairQueue[str] = FairQueue(4, 4)
    for number in range(4):
        queue.add(Origin("a", f"u{number % 2}"), f"a{number}")
    assert queue.add(Origin("b", "x"), "b0") == "a2"
    assert queue.add(Origin("b", "x"), "b1") == "a3"
    for client in "cd":
        assert queue.add(Origin(client, "x"), client) is not None
    with pytest.raises(QueueFull) as full:
        queue.add(Origin("e", "x"), "e")  # nobody has more than he would have then
    assert not full.value.own


@given(
    adds=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xy")), max_size=60),
    most=st.integers(1, 12),
    most_of_one=st.integers(1, 12),
)
def test_nothing_is_lost_and_no_bound_is_broken(adds, most, most_of_one):
    queue: FairQueue[int] = FairQueue(most, most_of_one)
    inside: dict[int, Origin] = {}
    for number, (client, user) in zip(itertools.count(), adds, strict=False):
        origin = Origin(client, user)
        try:
            dropped = queue.add(origin, number)
        except QueueFull:
            continue
        inside[number] = origin
        if dropped is not None:
            del inside[dropped]
        assert len(queue) == len(inside) <= most
        for one in "abc":
            assert sum(origin.client == one for origin in inside.values()) <= most_of_one
    taken = [queue.take() for _ in range(len(queue))]
    assert sorted(one for one in taken if one is not None) == sorted(inside)
    assert queue.take() is None
