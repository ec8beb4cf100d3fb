"""Whose word about a client counts: the peer's own address, and what named proxies wrote."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.unit.web.widgets import widget_app

from pileus.web.client import BadProxy, Proxies, share_of


def scope(peer: str | None, **headers: str) -> dict[str, Any]:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"client": (peer, 1) if peer is not None else None, "headers": named}


@pytest.mark.parametrize(
    ("trusted", "peer", "told", "address"),
    [
        ((), "192.0.2.1", "10.9.9.9", "192.0.2.1"),
        ((), None, "10.9.9.9", ""),
        (("192.0.2.0/24",), "192.0.2.1", "10.9.9.9", "10.9.9.9"),
        (("192.0.2.0/24",), "::ffff:192.0.2.1", "10.9.9.9", "10.9.9.9"),
        (("192.0.2.0/24",), "198.51.100.1", "10.9.9.9", "198.51.100.1"),
        (("192.0.2.0/24",), None, "10.9.9.9", ""),
        (("unix",), None, "10.9.9.9", "10.9.9.9"),
        (("unix",), "192.0.2.1", "10.9.9.9", "192.0.2.1"),
        (("192.0.2.1",), "192.0.2.1", "127.0.0.1, 10.9.9.9", "10.9.9.9"),  # the client wrote the first itself
        (("192.0.2.0/24",), "192.0.2.1", "6.6.6.6, 10.9.9.9, 192.0.2.7", "10.9.9.9"),
        (("192.0.2.0/24",), "192.0.2.1", "192.0.2.8, 192.0.2.7", "192.0.2.8"),
        (("192.0.2.0/24",), "192.0.2.1", "10.9.9.9, nonsense", "192.0.2.1"),
        (("192.0.2.0/24",), "192.0.2.1", "", "192.0.2.1"),
        (("2001:db8::/32",), "2001:db8::1", "2001:DB8:0::5%eth0", "2001:db8::5"),
    ],
)
def test_the_address_of_a_client(trusted: tuple[str, ...], peer: str | None, told: str, address: str) -> None:
    assert Proxies(trusted).client_address(scope(peer, x_forwarded_for=told)) == address


def test_several_headers_are_one_chain() -> None:
    asked = scope("192.0.2.1", x_forwarded_for="10.9.9.9")
    asked["headers"].insert(0, (b"x-forwarded-for", b"6.6.6.6"))
    assert Proxies(["192.0.2.1"]).client_address(asked) == "10.9.9.9"


def test_a_setting_that_names_no_proxy() -> None:
    with pytest.raises(BadProxy, match=r"proxy\.example"):
        Proxies(["proxy.example"])


def test_host_and_scheme_are_a_proxys_and_of_their_form() -> None:
    proxies = Proxies(["192.0.2.1"])
    told = {"x_forwarded_host": "a, cloud.example:8443", "x_forwarded_proto": "HTTPS"}
    assert proxies.forwarded(scope("192.0.2.1", **told)) == ("cloud.example:8443", "https")
    assert proxies.forwarded(scope("192.0.2.2", **told)) == ("", "")
    odd = {"x_forwarded_host": "evil.example/x?", "x_forwarded_proto": "javascript"}
    assert proxies.forwarded(scope("192.0.2.1", **odd)) == ("", "")


def test_links_lead_where_a_trusted_proxy_says_and_nowhere_else(tmp_path: Path) -> None:
    async def main() -> None:
        async with widget_app(tmp_path, proxies=Proxies(["192.0.2.1"])) as app:
            for peer, base in (("192.0.2.1", "https://cloud.example"), ("192.0.2.2", "http://inside")):
                sent: list[Any] = []
                asked = {
                    "type": "http",
                    "method": "GET",
                    "path": "/widgets",
                    "query_string": b"",
                    **scope(peer, host="inside", x_forwarded_host="cloud.example", x_forwarded_proto="https"),
                }

                async def receive() -> Any:
                    return {"type": "http.request", "body": b""}

                async def send(message: Any, sent: list[Any] = sent) -> None:
                    sent.append(message)

                await app(asked, receive, send)
                assert f'"{base}/widgets/v2.0/"'.encode() in sent[1]["body"]

    asyncio.run(main())


def test_shares() -> None:
    assert share_of("192.0.2.1") == "192.0.2.1"
    assert share_of("2001:db8:1:2:3::4") == share_of("2001:db8:1:2::9") == "2001:db8:1:2::"
    assert share_of("") == ""
