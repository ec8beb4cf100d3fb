"""An address that can't be listened on is refused with the reason."""

from __future__ import annotations

import pytest

from pileus.app.serving.http import BadListenAddress, listen_tcp


@pytest.mark.parametrize(
    "address",
    [
        "",
        "nonsense",
        "127.0.0.1:",
        "127.0.0.1:x",
        "::1",
        "127.0.0.1:65536",
        "127.0.0.1:0000000099999",
        "h:-1",
    ],
)
def test_what_is_no_address_and_port(address: str) -> None:
    with pytest.raises(BadListenAddress):
        listen_tcp(address)


def test_it_is_said_how_one_is_written() -> None:
    with pytest.raises(BadListenAddress, match="it is not HOST:PORT"):
        listen_tcp("nonsense")


def test_an_address_of_another_machine() -> None:
    with pytest.raises(BadListenAddress, match=r"192\.0\.2\.1:80 can't be listened on"):
        listen_tcp("192.0.2.1:80")
