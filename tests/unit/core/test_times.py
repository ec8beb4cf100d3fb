"""Times that others write: ISO 8601 as OpenStack reads it, and nothing else reads any."""

from __future__ import annotations

import ast
import datetime as dt
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.core.times import parse_time

SOURCE = Path(__file__).parents[3] / "src" / "pileus"
OF_THEIR_OWN = {
    "core/times.py",  # the parser itself
    "store/schema.py",  # what the database wrote
}


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31T10:20:30Z", dt.datetime(2026, 1, 31, 10, 20, 30)),
        ("2026-01-31 10:20:30", dt.datetime(2026, 1, 31, 10, 20, 30)),
        ("2026-01-31T10:20:30.5", dt.datetime(2026, 1, 31, 10, 20, 30, 500_000)),
        ("2026-01-31T10:20:30,1234567Z", dt.datetime(2026, 1, 31, 10, 20, 30, 123_456)),
        ("2026-01-31T10:20:30+02:00", dt.datetime(2026, 1, 31, 8, 20, 30)),
        ("2026-01-31T10:20:30 02:00", dt.datetime(2026, 1, 31, 8, 20, 30)),  # an unescaped plus in a query
        ("2026-01-31T10:20:30-0130", dt.datetime(2026, 1, 31, 11, 50, 30)),
        ("20260131T102030Z", dt.datetime(2026, 1, 31, 10, 20, 30)),
        ("2026-01-31T10", dt.datetime(2026, 1, 31, 10)),
        ("2026-1-3", dt.datetime(2026, 1, 3)),
        ("2026-02", dt.datetime(2026, 2, 1)),
        ("2026", dt.datetime(2026, 1, 1)),
        ("0001-01-01T00:00:00Z", dt.datetime(1, 1, 1)),
        ("9999-12-31T23:59:59-00:00", dt.datetime(9999, 12, 31, 23, 59, 59)),
    ],
)
def test_the_forms(text: str, moment: dt.datetime) -> None:
    assert parse_time(text) == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-02-30",
        "2026-W05-1",
        "202601",
        "2026-01-31T10:20:30Z\n",
        " 2026-01-31",
        "2026-01-31x10:20:30",
        "٢٠٢٦-01-31",
        "0001-01-01T00:00:00+14:00",  # no year in UTC
        "9999-12-31T23:59:59-00:01",
        "2026-01-31T10:20:30+24:00",
        "2026-01-31T10:20:30." + "0" * 100,
        "1" * 100_000,
    ],
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError):
        parse_time(text)


def test_forms_of_a_calls_own() -> None:
    assert parse_time("2026-01-31 10:20", "%Y", "%Y-%m-%d %H:%M") == dt.datetime(2026, 1, 31, 10, 20)
    for text in ("2026-01-31", "0001-01-01 00:00 +1400"):
        with pytest.raises(ValueError):
            parse_time(text, "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M %z")


@given(st.text(max_size=40) | st.from_regex(r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-9:+-]{0,16}", fullmatch=True))
def test_any_text_is_a_time_in_utc_or_refused(text: str) -> None:
    try:
        moment = parse_time(text)
    except ValueError:
        return
    assert moment.tzinfo is None


@given(st.datetimes())
def test_what_is_written_is_read(moment: dt.datetime) -> None:
    assert parse_time(moment.isoformat()) == moment
    assert parse_time(moment.isoformat() + "Z") == moment


def test_nothing_else_reads_times() -> None:
    found = {
        str(file.relative_to(SOURCE))
        for file in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("fromisoformat", "strptime")
    }
    assert found == OF_THEIR_OWN
