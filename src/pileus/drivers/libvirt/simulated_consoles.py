"""Consoles of simulated machines: a display that shows a test card by RFB, a serial line that echoes.

Source: RFC 6143, "The Remote Framebuffer Protocol".
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from pileus.drivers.channel import Channel

WIDTH, HEIGHT = 640, 400
_VERSION = b"RFB 003.008\n"
_NO_SECURITY = 1
_PIXELS = struct.pack(">BBBBHHHBBBxxx", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)
"""32 bits little endian, blue first: what the picture is made in, and what browsers ask for."""
_BARS = (
    b"\xff\xff\xff\0",
    b"\0\xff\xff\0",
    b"\xff\xff\0\0",
    b"\0\xff\0\0",
    b"\xff\0\xff\0",
    b"\0\0\xff\0",
    b"\xff\0\0\0",
)
_LENGTHS = {0: 19, 3: 9, 4: 7, 5: 5}
"""Bytes after the type of a client's messages: pixel format, update, key, pointer."""

Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter


def picture(x: int, y: int, width: int, height: int) -> bytes:
    """Make the pixels of a rectangle of the test card: coloured bars."""
    bar = WIDTH // len(_BARS) + 1
    row = b"".join(_BARS[column // bar] for column in range(x, x + width))
    return row * height


async def show(reader: Reader, writer: Writer, title: str) -> None:
    """Speak RFB with whoever looks, until he goes."""
    writer.write(_VERSION)
    await reader.readexactly(len(_VERSION))
    writer.write(bytes((1, _NO_SECURITY)))
    if await reader.readexactly(1) != bytes((_NO_SECURITY,)):
        return
    writer.write(struct.pack(">I", 0))
    await reader.readexactly(1)  # whether others may look, too
    name = title.encode()
    writer.write(struct.pack(">HH", WIDTH, HEIGHT) + _PIXELS + struct.pack(">I", len(name)) + name)
    seen = False
    while True:
        (kind,) = await reader.readexactly(1)
        if kind == 2:
            _, count = struct.unpack(">BH", await reader.readexactly(3))
            await reader.readexactly(4 * count)
            continue
        if kind == 6:
            _, length = struct.unpack(">3sI", await reader.readexactly(7))
            await reader.readexactly(length)
            continue
        if kind not in _LENGTHS:
            return
        body = await reader.readexactly(_LENGTHS[kind])
        if kind == 3 and not (seen and body[0]):
            x, y, width, height = struct.unpack(">HHHH", body[1:])
            width, height = min(width, WIDTH - x), min(height, HEIGHT - y)
            if width <= 0 or height <= 0:
                return
            seen = True
            writer.write(
                struct.pack(">BxHHHHHi", 0, 1, x, y, width, height, 0) + picture(x, y, width, height)
            )
            await writer.drain()


async def echo(reader: Reader, writer: Writer, title: str) -> None:
    """A terminal at which somebody may type; what he types comes back."""
    writer.write(f"\r\n{title} login: ".encode())
    while data := await reader.read(4096):
        writer.write(data.replace(b"\r", f"\r\n{title} login: ".encode()))
        await writer.drain()


class Consoles:
    """The consoles that are open; one of each kind a machine, as with QEMU's serial line."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], asyncio.Task[None]] = {}

    async def open(self, uuid: str, kind: str, title: str) -> Channel:
        """Begin a conversation with a console of a machine; one that was there ends."""
        self.hang_up(uuid, kind)
        mine, theirs = socket.socketpair()
        talk: Callable[[Reader, Writer, str], Coroutine[Any, Any, None]] = show if kind == "vnc" else echo

        async def converse() -> None:
            reader, writer = await asyncio.open_connection(sock=theirs)
            try:
                await talk(reader, writer, title)
            except (asyncio.IncompleteReadError, OSError):
                return
            finally:
                writer.close()

        self._open[uuid, kind] = asyncio.create_task(converse())
        return Channel(mine.detach())

    def hang_up(self, uuid: str, kind: str | None = None) -> None:
        """End the conversations with a machine, or with one console of it."""
        for key in [key for key in self._open if key[0] == uuid and kind in (None, key[1])]:
            self._open.pop(key).cancel()
