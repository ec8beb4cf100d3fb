"""Regular expressions of filters: linear, one meaning everywhere, odd ones refused."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.services.compute.rules.patterns import (
    BadPattern,
    Expression,
    Literal,
    read_address_pattern,
    read_pattern,
)


@pytest.mark.parametrize("text", ["web", "web-1", "a b", "^web$", "^web", "50%", "under_score", "ü"])
def test_texts_without_operators_are_left_to_the_database(text: str) -> None:
    assert isinstance(read_pattern(text), Literal)


@pytest.mark.parametrize("text", ["w.b", "^web-[0-9]+$", "a|b", "(a|b)c", "a{2}", r"\d+", r"\.example", "x*"])
def test_expressions_are_read(text: str) -> None:
    assert isinstance(read_pattern(text), Expression)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "(",
        "[",
        "*",
        "a**",
        "a{2",
        "(?=a)",
        r"(a)\1",
        "(?<!a)b",
        "x" * 256,
        "((a{99}){99}){99}",
        "(?P<n",
        "\ud800[",
    ],
)
def test_what_is_no_expression_is_refused(text: str) -> None:
    if text == "a{2":  # a brace that counts nothing is a brace
        assert read_pattern(text).matches("a{2")
        return
    with pytest.raises(BadPattern):
        read_pattern(text)


_WORD = st.text(st.sampled_from("ab1-^$ .*+[]()|_"), max_size=8)


@given(_WORD.filter(bool), st.text(st.sampled_from("ab1- ._"), max_size=12))
def test_the_meaning_is_that_of_python_where_both_read_it(pattern: str, name: str) -> None:
    try:
        expected = re.search(pattern.replace("$", r"\Z"), name) is not None
        mine = read_pattern(pattern)
    except (re.error, BadPattern, RecursionError):
        return
    if re.search(r"[*+?][*+]|\[[^]]*[$^]", pattern):
        return  # possessive in Python; a dollar inside brackets was replaced above
    assert mine.matches(name) is expected


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a|a)*$", "(.*a){20}x", "^(([a-z])+.)+[A-Z]([a-z])+$", "(a?){99}a{99}x"]
)
def test_no_expression_takes_long(pattern: str) -> None:
    """The times of a backtracking engine would be beyond the age of the universe."""
    mine = read_pattern(pattern)
    began = time.process_time()
    for _ in range(20):
        mine.matches("a" * 254 + "!")
    assert time.process_time() - began < 5


def test_a_dot_in_an_address_is_a_dot() -> None:
    assert read_address_pattern("10.0.0.") == Literal("10.0.0.")
    assert read_address_pattern(r"10\.0") == Literal("10.0")
    expression = read_address_pattern(r"^10\.0\.0\.[5-7]$")
    assert expression.matches("10.0.0.6")
    assert not expression.matches("10.0.0.60")
    with pytest.raises(BadPattern):
        read_address_pattern("")
