"""Node tokens: any server can check one, nobody can make one without the secret."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.bus.node import (
    BadNodeToken,
    NodeTokens,
    RevokedNodeToken,
    _sign,
    node_secret,
    node_token,
    read_token,
)


@given(st.text(min_size=1, max_size=64).filter(lambda text: text.isprintable()))
def test_a_token_names_its_host(host: str) -> None:
    assert NodeTokens(b"secret").check(node_token(b"secret", host)).host == host


@given(st.text(max_size=80))
def test_nothing_else_is_a_token(text: str) -> None:
    with pytest.raises(BadNodeToken):
        NodeTokens(b"secret").check(text)


def test_a_token_of_another_secret_is_refused() -> None:
    with pytest.raises(BadNodeToken):
        NodeTokens(b"secret").check(node_token(b"other", "h1"))


@pytest.mark.parametrize("part", range(5))
def test_no_part_of_a_token_can_be_another_tokens(part: int) -> None:
    one = node_token(b"secret", "h1", 100, 1_000_000.0).split(".")
    two = node_token(b"secret", "h2", 200, 2_000_000.0).split(".")
    mixed = ".".join(two[part] if number == part else word for number, word in enumerate(one))
    with pytest.raises(BadNodeToken):
        NodeTokens(b"secret", now_s=lambda: 1_000_050.0).check(mixed)


def test_a_newer_token_is_noted_once() -> None:
    tokens = NodeTokens(b"secret")
    seen: list[int] = []
    tokens.seen = lambda node: seen.append(node.issued_ms)
    first, second = (node_token(b"secret", "h1", now_s=time.time() + number) for number in (-10, 0))
    for token in (first, second, first, second):
        tokens.check(token)
    assert seen == [read_token(first).issued_ms, read_token(second).issued_ms]


def test_the_secret_is_made_once_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "node.secret"
    secret = node_secret(path)
    assert len(secret) == 32
    assert node_secret(path) == secret
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["node.secret"]


def test_no_token_of_a_revoked_line_is_taken_however_often_it_was_renewed() -> None:
    clock = [1000.0]
    tokens = NodeTokens(b"secret", lifetime_s=100, now_s=lambda: clock[0])
    first = tokens.check(node_token(b"secret", "h1", 100, 1000.0))
    clock[0] = 1001.0
    second = tokens.check(tokens.renew(first))
    tokens.refuse({"h1": 1_001_500})
    clock[0] = 1002.0  # at a server that has not heard of it yet, or in the moment before
    late = [tokens.renew(node) for node in (first, second)]
    for token in late:
        with pytest.raises(RevokedNodeToken):
            tokens.check(token)
    fresh = node_token(b"secret", "h1", 100, 1002.0)
    assert tokens.check(tokens.renew(tokens.check(fresh))).host == "h1"


def test_a_token_of_four_parts_begins_its_own_line() -> None:
    text = "aDE.1000000.1100000"
    tokens = NodeTokens(b"secret", now_s=lambda: 1001.0)
    old = f"{text}.{_sign(b'secret', 'node', text)}"
    assert tokens.check(old).began_ms == 1_000_000
    assert read_token(tokens.renew(tokens.check(old))).began_ms == 1_000_000
    tokens.refuse({"h1": 1_000_500})
    with pytest.raises(RevokedNodeToken):
        tokens.check(old)
