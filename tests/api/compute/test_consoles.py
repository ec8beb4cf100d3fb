"""Consoles: addresses of them, the tokens in these, their pages, and the way to the host."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests import databases
from tests.api.compute.cloud import Cloud, Host, tell
from tests.sockets import SocketClient

from pileus.services.compute.config import ComputeConfig

OLD = "2.5"
VNC = {"remote_console": {"protocol": "vnc", "type": "novnc"}}
SERIAL = {"remote_console": {"protocol": "serial", "type": "serial"}}


def inner(url: str) -> str:
    """The address of the socket that an address of a console holds, as clients of noVNC read it."""
    return "/" + parse_qs(urlsplit(url).query)["path"][0]


async def booted(api: Cloud) -> tuple[Host, Any]:
    await api.a_network()
    host = await api.host()
    return host, await api.boot(host, "web")


async def given(api: Cloud, server: Any, body: Any = VNC) -> str:
    reply = await api("POST", f"/servers/{server['id']}/remote-consoles", body)
    assert reply.status == 200, reply
    return inner(reply.json["remote_console"]["url"])


async def refused(api: Cloud, address: str, **headers: str) -> None:
    client = SocketClient(api.app, address, headers)
    assert (await client.said())["type"] == "websocket.close"
    await client.task


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_console_from_the_browser_to_the_host(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud) -> None:
        host, server = await booted(api)
        for body, console in ((VNC, "vnc"), (SERIAL, "serial")):
            address = await given(api, server, body)
            client = SocketClient(api.app, address, {"origin": "http://cloud"})
            assert await client.said() == {"type": "websocket.accept", "subprotocol": "binary"}
            (asked, stream) = api.streams.opened[-1]
            assert asked == (
                "h1",
                "hypervisor:h1",
                "console",
                {"server_id": server["id"], "console": console},
            )
            stream.comes.put_nowait(b"RFB")
            assert await client.said() == {"type": "websocket.send", "bytes": b"RFB"}
            client.send(bytes=b"\1\2")
            client.send(text="é")
            while stream.sent != [b"\1\2", "é".encode()]:
                await asyncio.sleep(0.01)
            await client.leave()
            assert stream.closed.is_set()
            # It is good until it ends, and the machine's end ends the browser's.
            again = SocketClient(api.app, address)
            await again.said()
            api.streams.opened[-1][1].comes.put_nowait(b"")
            assert (await again.said())["type"] == "websocket.close"
            await again.task
        assert await api.count("console_tokens") == 2
        assert (await api("DELETE", f"/servers/{server['id']}")).status == 204
        await host.pass_()
        await api.conductor().work()
        assert await api.count("console_tokens") == 0
        await refused(api, address)

    tell(story, tmp_path, kind)


def test_whom_a_token_opens_what(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        _, server = await booted(api)
        address = await given(api, server)
        count = len(api.streams.opened)
        await refused(api, address, origin="http://elsewhere")
        await refused(api, address.replace("/vnc", "/serial"))
        await refused(api, address.replace("token=", "token=x"))
        await refused(api, address.partition("?")[0])
        await refused(api, address.partition("?")[0] + "?token=" + "x" * 5000)
        await refused(api, address.partition("?")[0] + "?token=%00")
        await refused(api, address.partition("?")[0] + "?" + "&".join(["token=x"] * 5000))
        await refused(api, "/compute/consoles/none")
        await refused(api, "/compute/v2.1/servers")
        assert len(api.streams.opened) == count
        api.streams.refuses = "the machine does not run"
        await refused(api, address)
        api.streams.refuses = ""
        # Being asked to go is enough, whether the host has heard of it or not.
        assert (await api("DELETE", f"/servers/{server['id']}")).status == 204
        await refused(api, address)

    tell(story, tmp_path)


def test_tokens_end(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        _, server = await booted(api)
        address = await given(api, server)
        api.clock.advance(29)
        client = SocketClient(api.app, address)
        assert (await client.said())["type"] == "websocket.accept"
        await client.leave()
        api.clock.advance(2)
        await refused(api, address)
        await given(api, server)
        assert await api.count("console_tokens") == 1

    tell(story, tmp_path, config=ComputeConfig(console_token_lifetime_s=30))


def test_of_many_tokens_of_a_server_the_newest_are_good(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        _, server = await booted(api)
        addresses = []
        for _ in range(34):
            api.clock.advance(0.001)
            addresses.append(await given(api, server))
        assert await api.count("console_tokens") == 32
        await refused(api, addresses[1])
        for address in (addresses[2], addresses[-1]):
            client = SocketClient(api.app, address)
            assert (await client.said())["type"] == "websocket.accept"
            await client.leave()

    tell(story, tmp_path)


def test_who_gets_an_address(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        _, server = await booted(api)
        path = f"/servers/{server['id']}/remote-consoles"
        assert (await api.as_("bob")("POST", path, VNC)).status == 404
        assert (await api.as_("reader")("POST", path, VNC)).status == 403
        assert (await api.as_("admin")("POST", path, VNC)).status == 200
        assert (await api.at(OLD)("POST", path, VNC)).status == 404
        reply = await api.at(OLD).act(server["id"], "os-getVNCConsole", {"type": "novnc"})
        assert reply.status == 200 and reply.json["console"]["type"] == "novnc"
        assert (await api.act(server["id"], "os-getVNCConsole", {"type": "novnc"})).status == 400
        building = (await api.ask_for("building")).json["server"]
        reply = await api("POST", f"/servers/{building['id']}/remote-consoles", VNC)
        assert (reply.status, reply.message) == (409, f"Instance {building['id']} is not ready")

    tell(story, tmp_path)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"protocol": "spice", "type": "spice-html5"}, "Unavailable console type spice-html5."),
        ({"protocol": "rdp", "type": "rdp-html5"}, "Unavailable console type rdp-html5."),
        ({"protocol": "mks", "type": "webmks"}, "Unavailable console type webmks."),
        ({"protocol": "vnc", "type": "xvpvnc"}, "Unavailable console type xvpvnc."),
        ({"protocol": "vnc", "type": "serial"}, "Invalid console type serial"),
        ({"protocol": "vnc"}, "'type' is a required property"),
        ({"protocol": "telnet", "type": "novnc"}, "'telnet' is not one of"),
        ({"protocol": "vnc", "type": "novnc", "more": 1}, "Additional properties are not allowed"),
    ],
)
def test_what_is_not_here(tmp_path: Path, body: Any, message: str) -> None:
    async def story(api: Cloud) -> None:
        _, server = await booted(api)
        path = f"/servers/{server['id']}/remote-consoles"
        reply = await api("POST", path, {"remote_console": body})
        assert reply.status == 400 and message in reply.message
        assert await api.count("console_tokens") == 0

    tell(story, tmp_path)


def test_what_a_token_is_for(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        _, server = await booted(api)
        token = (await given(api, server)).partition("token=")[2]
        path, admin = f"/os-console-auth-tokens/{token}", api.as_("admin")
        reply = await admin("GET", path)
        shown = {"instance_uuid": server["id"], "host": "h1", "port": 0, "internal_access_path": None}
        assert (reply.status, reply.json) == (200, {"console": shown})
        assert (await admin.at(OLD)("GET", path)).status == 401
        assert (await admin("GET", path + "x")).status == 404
        assert (await api("GET", path)).status == 403

    tell(story, tmp_path)


def test_pages_say_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(api: Cloud) -> None:
        anybody = api.as_("")
        for installed in (True, False):
            if not installed:
                monkeypatch.setattr("pileus.web.assets._ARCHIVE", None)
            for path, package in (("/consoles/vnc", "noVNC"), ("/consoles/serial", "xterm.js")):
                reply = await anybody("GET", path, root=True)
                text = reply.content.decode()
                assert reply.status == 200 and package in text and "</html>" in text
                policy = reply.headers["content-security-policy"]
                assert "default-src 'none'" in policy and "connect-src http://cloud ws://cloud;" in policy
                if not installed:
                    assert "not installed" in text and "<script" not in text
        assert (await anybody("GET", "/consoles/assets/novnc/core/rfb.js", root=True)).status == 404

    tell(story, tmp_path)
