"""Node tokens: any server can check one, nobody can make one without the secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.bus.node import BadNodeToken, node_of_token, node_secret, node_token


@given(st.text(min_size=1, max_size=64).filter(lambda text: text.isprintable()))
def test_a_token_names_its_host(host: str) -> None:
    assert node_of_token(b"secret", node_token(b"secret", host)).host == host


@given(st.text(max_size=80))
def test_nothing_else_is_a_token(text: str) -> None:
    with pytest.raises(BadNodeToken):
        node_of_token(b"secret", text)


def test_a_token_of_another_secret_is_refused() -> None:
    with pytest.raises(BadNodeToken):
        node_of_token(b"secret", node_token(b"other", "h1"))


def test_the_secret_is_made_once_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "node.secret"
    secret = node_secret(path)
    assert len(secret) == 32
    assert node_secret(path) == secret
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["node.secret"]
