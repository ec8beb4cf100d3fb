"""Passwords that guests post at the metadata service, and that their owners read and clear."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import databases
from tests.api.compute.cloud import Cloud, tell

PATH = "/openstack/2013-10-17/password"
CONFLICT = b"409 Conflict\n\nThere was a conflict when trying to complete your request.\n"


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_guest_posts_its_password_once(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        await host.service_agent("DHCP")
        network = await api.a_network()
        server, other = await api.boot(host, "web"), await api.boot(host, "other")
        address = server["addresses"]["net"][0]["addr"]
        theirs = f"/servers/{server['id']}/os-server-password"

        async def post(body: bytes, path: str = PATH) -> tuple[int, bytes]:
            reply = await host.guest_posts(path, address, network, body)
            return reply.status, reply.body

        async def read() -> tuple[int, bytes]:
            reply = await host.metadata("/openstack/latest/password", address, network)
            return reply.status, reply.body

        listing = (await host.metadata("/openstack/2013-04-04", address, network)).body.split()
        assert b"password" in listing
        listing = (await host.metadata("/openstack/2012-08-10", address, network)).body.split()
        assert b"password" not in listing
        assert await read() == (200, b"")
        assert (await api("GET", theirs)).json == {"password": ""}
        assert await post(b"") == (200, b"")
        secret = "c2VjcmV0é" + "x" * 1010
        assert await post(secret.encode()) == (200, b"")
        assert await read() == (200, secret.encode())
        assert (await api("GET", theirs)).json == {"password": secret}
        for again in (b"another", secret.encode(), b""):
            assert await post(again) == (409, CONFLICT)
        assert (await api("GET", theirs)).json == {"password": secret}
        elsewhere = f"/servers/{other['id']}/os-server-password"
        assert (await api("GET", elsewhere)).json == {"password": ""}
        # It is nowhere else that its owner or a node looks.
        assert secret not in str((await api("GET", f"/servers/{server['id']}")).json)
        steps = (await api("GET", f"/servers/{server['id']}/os-pileus-timeline")).json["timeline"]
        assert [one["step"] for one in steps if "password" in one["step"]] == ["password posted"]
        assert secret not in str(steps)
        assert secret not in str(await host.state())

        assert (await api.as_("bob")("GET", theirs)).status == 404
        assert (await api.as_("bob")("DELETE", theirs)).status == 404
        assert (await api.as_("reader")("GET", theirs)).json == {"password": secret}
        assert (await api.as_("reader")("DELETE", theirs)).status == 403
        assert (await api("DELETE", theirs)).status == 204
        assert (await api("DELETE", theirs)).status == 204
        assert (await api("GET", theirs)).json == {"password": ""}
        assert await read() == (200, b"")
        assert await post(b"another") == (200, b"")
        assert (await api("GET", theirs)).json == {"password": "another"}

        assert (await api("DELETE", f"/servers/{server['id']}")).status == 204
        await host.pass_()
        assert await api.count("guest_passwords") == 0

    tell(story, tmp_path, kind)


def test_posts_that_are_refused(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        await host.service_agent("DHCP")
        network = await api.a_network()
        server = await api.boot(host, "web")
        address = server["addresses"]["net"][0]["addr"]
        for path, body, status in (
            (PATH, b"\xff\xfe", 400),
            (PATH, b"a\0b", 400),
            ("/openstack/2012-08-10/password", b"x", 405),
            ("/openstack/none/password", b"x", 405),
            ("/openstack/latest/password/more", b"x", 405),
            ("/openstack/latest/meta_data.json", b"x", 405),
            ("/latest/password", b"x", 405),
            ("/", b"x", 405),
        ):
            reply = await host.guest_posts(path, address, network, body)
            assert reply.status == status, path
        assert (await host.guest_posts(PATH, "10.0.0.250", network, b"x")).status == 404
        assert await api.count("guest_passwords") == 0
        slashes = await host.guest_posts("//openstack///latest/password/?a=b", address, network, b"x")
        assert slashes.status == 200

    tell(story, tmp_path)
