"""What a password must look like, and when a user is locked out."""

from __future__ import annotations

import datetime as dt
import time

import pytest

from pileus.services.identity.rules.passwords import BadPasswordRegex, Lockout, PasswordPolicy

NOW = dt.datetime(2026, 1, 1)


@pytest.mark.parametrize(
    ("regex", "good", "bad"),
    [
        ("", ["", "x"], []),
        (r"^(?=.*\d)(?=.*[a-zA-Z]).{7,}$", ["abcdef1", "1234567x"], ["abcdefg", "1234567", "a1", ""]),
        (r"(?=.*[)(\]])(?!.*\s).{3,}", ["ab)", "]ab"], ["abc", "a )", ")"]),
        (r"^(?=(?:.*[A-Z]){2})(?!admin).+$", ["aAbB", "AA"], ["aAb", "adminAA"]),
        (r"^[a-z]{3}$", ["abc"], ["abcd", "ABC", "xabc"]),
        (r"(?=a|b).*z", ["az", "bz"], ["cz", "a"]),
        (r"^(?=.*[]\\)]).*$", ["]", "\\", ")"], ["x"]),
    ],
)
def test_what_a_password_must_look_like(regex, good, bad):
    policy = PasswordPolicy(regex)
    assert [text for text in good if not policy.takes(text)] == []
    assert [text for text in bad if policy.takes(text)] == []
    assert not regex or not policy.takes("\ud800")


@pytest.mark.parametrize(
    "regex", ["(", "(?=x", "(?=x)*y", "(?=x)|y", "a(?=b)c", r"(a)\1", "(?<=x)y", "(?=(?=x)y)z"]
)
def test_what_can_not_be_matched_in_linear_time_is_said_at_once(regex):
    with pytest.raises(BadPasswordRegex):
        PasswordPolicy(regex)


def test_no_password_takes_long():
    policy = PasswordPolicy(r"^(?=.*\d)(a+)+$")
    begun = time.perf_counter()
    assert not policy.takes("a" * 4000 + "1!")
    assert time.perf_counter() - begun < 5, "a backtracking engine would not come back"


def test_lockout():
    never, often = Lockout(), Lockout(3, 600)
    assert not never.locks(1000, NOW, NOW)
    assert not often.locks(2, NOW, NOW) and often.locks(3, NOW, NOW)
    assert often.locks(3, NOW, NOW + dt.timedelta(seconds=599))
    assert not often.locks(3, NOW, NOW + dt.timedelta(seconds=600))
    assert Lockout(3, 0).locks(3, NOW, NOW + dt.timedelta(days=999))
    assert [often.after_failure(count) for count in (0, 1, 2, 3)] == [1, 2, 3, 1]
