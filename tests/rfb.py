"""As much of a client of RFB as tests need (RFC 6143): shake hands, look once, in 32 bits."""

from __future__ import annotations

import asyncio
import struct

from pileus.core.streams import ByteStream


class Display:
    """What a display shows; ``width`` and ``height`` are known when it is ``opened``."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._held = b""
        self.width = self.height = 0
        self.name = ""

    async def _read(self, length: int) -> bytes:
        while len(self._held) < length:
            async with asyncio.timeout(20):
                data = await self._stream.receive()
            assert data, "the display has gone"
            self._held += data
        found, self._held = self._held[:length], self._held[length:]
        return found

    async def open(self) -> None:
        version = await self._read(12)
        assert version == b"RFB 003.008\n"
        await self._stream.send(version)
        (count,) = await self._read(1)
        assert 1 in await self._read(count), "a display that nobody reaches asks for no password"
        await self._stream.send(b"\1")
        assert await self._read(4) == bytes(4)
        await self._stream.send(b"\1")
        head = await self._read(24)
        self.width, self.height, length = *struct.unpack(">HH", head[:4]), *struct.unpack(">I", head[20:])
        self.name = (await self._read(length)).decode()
        pixels = struct.pack(">BBBBHHHBBBxxx", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)
        await self._stream.send(b"\0\0\0\0" + pixels + struct.pack(">BxHi", 2, 1, 0))

    async def picture(self) -> bytes:
        """Ask for all of it, and take the first rectangle."""
        await self._stream.send(struct.pack(">BBHHHH", 3, 0, 0, 0, self.width, self.height))
        kind, count = struct.unpack(">BxH", await self._read(4))
        assert kind == 0 and count
        _, _, width, height, encoding = struct.unpack(">HHHHi", await self._read(12))
        assert encoding == 0
        return await self._read(width * height * 4)
