"""Stand-ins of a far switch's sockets: bytes pass, its death and return are seen, no shell is tempted."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.waiting import until

from pileus.drivers.relay.prefix import NotPlain, parse_prefix, prefixed
from pileus.drivers.relay.sockets import RelaySockets

PIPE = (sys.executable, "-m", "pileus.drivers.relay.pipe", "{socket}")
HELLO = b"\x05\x00\x00\x08\x00\x00\x00\x01"
PROBE = b"\x05\x02\x00\x0a\x00\x00\x00\x07ab"
ANSWER = b"\x05\x03\x00\x0a\x00\x00\x00\x07ab"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short name: sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="plr-") as name:
        yield Path(name)


def test_words_behind_a_prefix_are_plain() -> None:
    prefix = parse_prefix("ssh -o 'ProxyCommand=nc -x proxy %h' root@dom0")
    assert prefix == ("ssh", "-o", "ProxyCommand=nc -x proxy %h", "root@dom0")
    assert prefixed(prefix, ("ip", "link", "set", "eth0.10", "up"))[-5:] == (
        "ip",
        "link",
        "set",
        "eth0.10",
        "up",
    )
    for word in (
        "a;reboot",
        "$(reboot)",
        "a b",
        "`x`",
        "a|b",
        "a&",
        "<x",
        "*",
        "~",
        "'",
        "",
        "a\nb",
        "{x,y}",
    ):
        with pytest.raises(NotPlain):
            prefixed(prefix, ("echo", word))


def test_a_relay_says_where_the_socket_goes(folder: Path) -> None:
    with pytest.raises(ValueError, match="does not say where"):
        RelaySockets((), ("socat", "-"), folder, folder / "near")
    with pytest.raises(NotPlain):
        RelaySockets((), PIPE, Path("/run/$(reboot)"), folder / "near")


def test_bytes_pass_both_ways_until_either_end(folder: Path) -> None:
    async def story() -> None:
        async def upper(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(1 << 16):
                writer.write(data.upper())
            writer.write(b"end")
            writer.close()

        server = await asyncio.start_unix_server(upper, str(folder / "db.sock"))
        relay = RelaySockets((), PIPE, folder, folder / "near")
        await relay.start([])
        reader, writer = await asyncio.open_unix_connection(str(folder / "near" / "db.sock"))
        big = b"x" * (1 << 20)
        writer.write(big)
        assert await reader.readexactly(len(big)) == big.upper()
        writer.write_eof()
        assert await reader.read() == b"end"
        writer.close()
        server.close()
        # Nobody is there any more: the connection ends at once.
        (folder / "db.sock").unlink()
        reader, writer = await asyncio.open_unix_connection(str(folder / "near" / "db.sock"))
        assert await reader.read() == b""
        writer.close()
        await relay.close()
        assert list((folder / "near").iterdir()) == []

    asyncio.run(story())


def test_a_bridge_is_there_while_its_switch_answers(folder: Path) -> None:
    async def story() -> None:
        answers: list[bytes] = []
        alive: list[asyncio.StreamWriter] = []

        async def switch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            alive.append(writer)
            assert await reader.readexactly(8) == HELLO
            writer.write(HELLO + PROBE)
            answers.append(await reader.read(10))

        there, here = folder / "br-int.mgmt", folder / "near" / "br-int.mgmt"
        relay = RelaySockets((), PIPE, folder, folder / "near")
        await relay.start(["br-int"])
        server = await asyncio.start_unix_server(switch, str(there))
        await until(here.exists)
        await until(lambda: answers == [ANSWER])
        first = here.stat().st_ctime_ns
        server.close()
        there.unlink()
        alive.pop().close()
        await until(lambda: not here.exists())
        server = await asyncio.start_unix_server(switch, str(there))
        await until(here.exists)
        assert here.stat().st_ctime_ns != first
        await relay.close()
        server.close()
        assert not here.exists()

    asyncio.run(story())
