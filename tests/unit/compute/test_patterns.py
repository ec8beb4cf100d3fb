"""Which filters are regular expressions."""

from __future__ import annotations

import pytest

from pileus.services.compute.rules.patterns import is_expression


@pytest.mark.parametrize(
    "text", [r"^a.*\-instance\-[0-9]+$", "a|b", "^web", "db.*", r"\d+", "10.0.0.", "(a)"]
)
def test_expressions(text: str) -> None:
    assert is_expression(text)


@pytest.mark.parametrize(
    "text",
    [
        "web-1",
        "a b",
        "[",
        "*",
        "(?i)a",
        "(?P<n>x)",
        "a{2}",
        "a{,3}",
        "a++",
        r"\Ax",
        "[[:alpha:]]",
        "a" * 256,
        "",
    ],
)
def test_plain_texts(text: str) -> None:
    assert not is_expression(text)
