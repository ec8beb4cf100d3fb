"""Values that break things: what tests put into single fields of records that cross the wire."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import Phase
from hypothesis import strategies as st

TEXTS = st.one_of(
    st.sampled_from(
        [
            "",
            " ",
            "\n",
            "\x00",
            "fe80::1%a b\n",
            "fd00::5%x",
            "10.0.0.5%1",
            "10.0.0.1",
            "10.1.0.10",
            "10.0.0.1\nadd table=0,priority=9999,actions=NORMAL",
            "10.0.0.0/33",
            "::ffff:10.0.0.1",
            "256.0.0.1",
            "fa:16:3e:00:00:01",
            "FA:16:3E:00:00:01",
            "fa:16:3e:00:00:09\n",
            "fa:16:3e:00:00:09,actions=NORMAL",
            "fa-16-3e-00-00-09",
            "0x1:2:3:4:5:6",
            "ff:ff:ff:ff:ff:ff",
            "1_0:2:3:4:5:6",
            "net,other",
            "../../victim",
            "a\ndhcp-option=6,1.2.3.4",
            "tcp",
            "\N{SUPERSCRIPT TWO}",
            "256",
            "-1",
            "x" * 300,
            "\u202e",
        ]
    ),
    st.text(max_size=20),
)
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""Without shrinking: an example is one field already, and a failing one waits for its time to be over."""

NUMBERS = st.sampled_from(
    [-1, 0, 1, 77, 4095, 4096, 65535, 65536, 1 << 24, 1 << 31, 1 << 32, (1 << 63) - 1, -(1 << 63)]
)


def poisoned(record: msgspec.Struct) -> st.SearchStrategy[Any]:
    """The record with one field, of its own or of a record within, that has a value of its type that it
    should not have."""
    choices = {
        field.name: choice
        for field in msgspec.structs.fields(record)
        if (choice := _poison(getattr(record, field.name), str(field.type))) is not None
    }

    def replaced(name: str) -> st.SearchStrategy[Any]:
        return choices[name].map(lambda value: msgspec.structs.replace(record, **{name: value}))

    return st.sampled_from(sorted(choices)).flatmap(replaced)


def _poison(value: Any, declared: str) -> st.SearchStrategy[Any] | None:
    match value:
        case bool():
            return None
        case int():
            return NUMBERS
        case str():
            return TEXTS
        case None if "int" in declared:
            return NUMBERS
        case None if "str" in declared:
            return TEXTS
        case msgspec.Struct():
            return poisoned(value)
        case (first, *rest):
            inner = _poison(first, "")
            return inner.map(lambda bad: (bad, *rest)) if inner is not None else None
        case () if "str" in declared:
            return TEXTS.map(_alone)
        case dict():
            first = next(iter(value.values()), "")
            values = TEXTS if isinstance(first, str) else st.binary(max_size=20)
            return st.tuples(TEXTS, values).map(_single)
    return None


def _single(pair: tuple[str, Any]) -> dict[str, Any]:
    return dict([pair])


def _alone(text: str) -> tuple[str, ...]:
    return (text,)
