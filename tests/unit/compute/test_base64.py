"""Base64 as the real services read it."""

from __future__ import annotations

import pytest

from pileus.resource.types import BadValue
from pileus.services.compute.rules.base64 import decode
from pileus.services.compute.servers.requests import BASE64


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("aGVsbG8=", b"hello"),
        ("aGVs\nbG8=\n", b"hello"),
        ("aGVs\r\nbG8=\r\n", b"hello"),
        (" aGVs bG8= ", b"hello"),
        ("aGVs-bG8=", b"hello"),
        ("aGVsü\U0001f642bG8=", b"hello"),
        ("", b""),
        ("-", b""),
    ],
)
def test_what_is_read(text: str, data: bytes) -> None:
    assert decode(text) == data
    assert BASE64.parse(text) == text


@pytest.mark.parametrize("text", ["a", "aGVsbG8", "aGVsbG8 ", "=", "abcde="])
def test_what_is_refused(text: str) -> None:
    if text == "=":  # padding of nothing is nothing
        assert decode(text) == b""
        return
    with pytest.raises(ValueError):
        decode(text)
    with pytest.raises(BadValue):
        BASE64.parse(text)
