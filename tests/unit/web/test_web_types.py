"""Types: what they take, what they make of it, and what they say when they refuse."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.resource import types
from pileus.resource.types import BadValue, Type

POOL = types.dict_of({"start": types.ip_address, "end": types.ip_address}, required=("start", "end"))


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (types.string(3), "abc", "abc"),
        (types.uuid, "7f000001-0000-4000-8000-000000000000", "7f000001-0000-4000-8000-000000000000"),
        (types.boolean, "True", True),
        (types.boolean, 0, False),
        (types.boolean, "no", False),
        (types.integer(0, 9), "7", 7),
        (types.ip_address, "2001:DB8:0:0::1", "2001:db8::1"),
        (types.cidr, "10.1.2.3/24", "10.1.2.0/24"),
        (types.mac, "FA-16-3E-00-00-01", "fa:16:3e:00:00:01"),
        (types.enum("a", 1), 1, 1),
        (types.nullable(types.mac), None, None),
        (types.list_of(types.cidr), ["10.0.0.1/8"], ["10.0.0.0/8"]),
        (types.list_of(types.uuid, none_is_empty=True), None, []),
        (POOL, {"start": "::1", "end": "::2"}, {"start": "::1", "end": "::2"}),
        (types.one_of(types.integer(), types.mac), "fa:16:3e:00:00:01", "fa:16:3e:00:00:01"),
        (types.with_default_none(types.string(5), ""), None, ""),
        (types.normalised(types.string(5), str.upper), "tcp", "TCP"),
        (types.timestamp, "2026-01-02T03:04:05+01:00", dt.datetime(2026, 1, 2, 2, 4, 5)),
        (types.timestamp, "2026-01-02T03:04:05Z", dt.datetime(2026, 1, 2, 3, 4, 5)),
    ],
)
def test_taken(kind: Type, value: Any, expected: Any) -> None:
    parsed = kind.parse(value)
    assert parsed == expected and type(parsed) is type(expected)


@pytest.mark.parametrize(
    ("kind", "value", "neutron", "schema"),
    [
        (types.string(3), "abcd", "'abcd' exceeds maximum length of 3", "'abcd' is too long"),
        (types.string(3), 5, "'5' is not a valid string", "5 is not of type 'string'"),
        (types.string(3, minimum=1), " ", "' ' Blank strings are not permitted", "' ' is too short"),
        (types.uuid, "foo", "'foo' is not a valid UUID", "'foo' is not a 'uuid'"),
        (types.boolean, "x", "'x' cannot be converted to boolean", "'x' is not of type 'boolean'"),
        (types.boolean, 2, "'2' cannot be converted to boolean", "2 is not of type 'boolean'"),
        (
            types.strict_boolean,
            "true",
            "'true' is not a valid boolean value",
            "'true' is not of type 'boolean'",
        ),
        (
            types.integer(1),
            0,
            "'0' is too small - must be at least '1'",
            "0 is less than the minimum of 1",
        ),
        (
            types.integer(1, 4094),
            4095,
            "'4095' is too large - must be no larger than '4094'",
            "4095 is greater than the maximum of 4094",
        ),
        (types.integer(), 1.5, "'1.5' is not an integer", "1.5 is not of type 'integer'"),
        (types.cidr, "10.0.0.0", "'10.0.0.0' is not a valid IP subnet", "'10.0.0.0' is not a 'cidr'"),
        (types.mac, "fa:16:3e:00:01", "'fa:16:3e:00:01' is not a valid MAC address", None),
        (types.enum("a", "b"), "c", "c is not in ['a', 'b']", "'c' is not one of ['a', 'b']"),
        (types.enum(1), True, "True is not in [1]", "True is not one of [1]"),
        (types.list_of(types.uuid), "x", "'x' is not a list", "'x' is not of type 'array'"),
        (
            types.list_of(types.string(5), unique=True),
            ["a", "a"],
            "Duplicate items in the list: 'a'",
            "['a', 'a'] has non-unique elements",
        ),
        (POOL, [], "'[]' is not a dictionary", "[] is not of type 'object'"),
        (
            POOL,
            {"start": "::1", "end": "::2", "x": 1},
            "Unexpected keys supplied: x",
            "Additional properties are not allowed ('x' was unexpected)",
        ),
    ],
)
def test_refused(kind: Type, value: Any, neutron: str, schema: str | None) -> None:
    with pytest.raises(BadValue) as caught:
        kind.parse(value)
    assert caught.value.text == neutron
    assert schema is None or caught.value.schema == schema


def test_a_refusal_inside_tells_where() -> None:
    with pytest.raises(BadValue) as caught:
        types.list_of(POOL).parse([{"start": "::1", "end": "::2"}, {"start": "::1", "end": "x"}])
    assert caught.value.path == (1, "end") and caught.value.value == "x"


ALL = (
    types.string(5),
    types.uuid,
    types.boolean,
    types.integer(),
    types.ip_address,
    types.cidr,
    types.mac,
    types.timestamp,
    types.list_of(types.ip_address, unique=True),
    POOL,
    types.one_of(types.mac, types.cidr),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(ALL), JSON)
def test_any_json_is_taken_or_refused_in_words(kind: Type, value: Any) -> None:
    try:
        kind.parse(value)
    except BadValue as bad:
        assert bad.text and bad.schema


@given(st.sampled_from(ALL), st.text(max_size=60))
def test_any_text_of_a_query_is_taken_or_refused_in_words(kind: Type, text: str) -> None:
    try:
        kind.query(text)
    except BadValue as bad:
        assert bad.text
