"""Columns between JSON and Python, and the differences that update2 carries."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.drivers.ovsdb.rows import Column, Named, Shape

SETS = Column.parse({"type": {"key": "integer", "min": 0, "max": "unlimited"}})
MAPS = Column.parse({"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}})
OPTIONAL = Column.parse({"type": {"key": "string", "min": 0, "max": 1}})
REFERENCES = Column.parse(
    {"type": {"key": {"type": "uuid", "refTable": "Port"}, "min": 0, "max": "unlimited"}}
)
UUID = "c61acf37-fdc8-46f7-94b5-2d8a280f88b9"


@pytest.mark.parametrize(
    ("column", "value", "wire"),
    [
        (SETS, frozenset((3, 1)), ["set", [1, 3]]),
        (SETS, frozenset(), ["set", []]),
        (MAPS, {"b": "2", "a": "1"}, ["map", [["a", "1"], ["b", "2"]]]),
        (OPTIONAL, None, ["set", []]),
        (OPTIONAL, "x", "x"),
        (REFERENCES, frozenset((UUID,)), ["set", [["uuid", UUID]]]),
        (Column.parse({"type": "boolean"}), True, True),
        (Column.parse({"type": "uuid"}), UUID, ["uuid", UUID]),
    ],
)
def test_values_and_json(column: Column, value: Any, wire: Any) -> None:
    assert column.encode(value) == wire
    assert column.decode(wire) == value


def test_a_lone_value_is_a_set_of_one() -> None:
    assert SETS.decode(5) == frozenset((5,))
    assert REFERENCES.decode(["uuid", UUID]) == frozenset((UUID,))
    assert OPTIONAL.decode(["set", ["x"]]) == "x"


def test_a_row_of_the_same_transaction_is_named() -> None:
    assert REFERENCES.encode(frozenset((Named("new1"),))) == ["set", [["named-uuid", "new1"]]]
    (one,) = REFERENCES.decode(["named-uuid", "new1"])
    assert isinstance(one, Named)


maps = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("xyz"))
sets = st.frozensets(st.integers(0, 5))


@given(st.tuples(st.just(MAPS), maps, maps) | st.tuples(st.just(SETS), sets, sets))
def test_a_difference_leads_from_old_to_new(case: tuple[Column, Any, Any]) -> None:
    column, old, new = case
    assert column.patched(old, column.difference(old, new)) == new
    assert bool(column.difference(old, new)) == (old != new)


def test_a_default_fits_its_shape() -> None:
    assert [column.default() for column in (SETS, MAPS, OPTIONAL)] == [frozenset(), {}, None]
    assert Column(Shape.ONE, "integer").default() == 0
