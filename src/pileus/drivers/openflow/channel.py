"""A short OpenFlow 1.3 conversation with a bridge, for what has no batch in ovs-ofctl: meters.

N meters are N messages and one barrier on one connection, where ovs-ofctl needs a process for
each. Message layouts are those of the OpenFlow Switch Specification 1.3.5 (7.1 header, 7.3.4.5
meter modification, 7.3.5.3 aggregate statistics, 7.3.5.14 meter configuration, 7.5.1 hello, 7.5.4 errors).
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

_VERSION = 4
_HEADER = struct.Struct("!BBHI")
_HELLO, _ERROR, _ECHO_REQUEST, _ECHO_REPLY = 0, 1, 2, 3
_MULTIPART_REQUEST, _MULTIPART_REPLY = 18, 19
_BARRIER_REQUEST, _BARRIER_REPLY, _METER_MOD = 20, 21, 29
_METER_CONFIG, _MORE = 10, 1
_AGGREGATE, _ALL_TABLES, _ANY = 2, 0xFF, 0xFFFFFFFF
_EMPTY_MATCH = struct.pack("!HH4x", 1, 4)
_ADD, _MODIFY, _DELETE = 0, 1, 2
_ALL_METERS = 0xFFFFFFFF
_KBPS, _PKTPS, _BURST = 1, 2, 4
_DROP_BAND = 1
_METER_HEAD = struct.Struct("!HHI")
_BAND = struct.Struct("!HHII4x")
_ANSWERS_WITHIN_S = 10.0


class SwitchRefused(Exception):
    """The switch answered with an OpenFlow error; ``kind`` and ``code`` are the specification's."""

    def __init__(self, kind: int, code: int, about: str) -> None:
        self.kind = kind
        self.code = code
        super().__init__(f"OpenFlow error {kind}, {code} for {about}")


class MeterBand(msgspec.Struct, frozen=True):
    """Above this rate packets are dropped; in the meter's unit, and its thousandth's for the burst:
    kilobits a second and kilobits, or packets a second and packets. A burst of 0 is the switch's choice."""

    rate: int
    burst: int = 0


class Meter(msgspec.Struct, frozen=True):
    """A meter with one band that drops. ``packets``: counts packets, not kilobits."""

    band: MeterBand
    packets: bool = False


async def read_meters(path: Path) -> dict[int, Meter]:
    """All of a bridge's meters that have one dropping band; raises OSError, SwitchRefused."""
    async with _conversation(path) as channel:
        body = struct.pack("!HH4xI4x", _METER_CONFIG, 0, _ALL_METERS)
        number = channel.send(_MULTIPART_REQUEST, body)
        meters: dict[int, Meter] = {}
        while True:
            kind, answer = await channel.answer(number, "the list of meters")
            if kind != _MULTIPART_REPLY:
                continue
            _, flags = struct.unpack_from("!HH", answer)
            meters |= dict(_parse_meters(answer[8:]))
            if not flags & _MORE:
                return meters


async def count_flows(path: Path, cookie: int, mask: int) -> int:
    """How many flows of all tables have a cookie with these bits; raises OSError, SwitchRefused."""
    async with _conversation(path) as channel:
        head = struct.pack("!HH4x", _AGGREGATE, 0)
        asked = struct.pack("!B3xII4xQQ", _ALL_TABLES, _ANY, _ANY, cookie, mask)
        number = channel.send(_MULTIPART_REQUEST, head + asked + _EMPTY_MATCH)
        while True:
            kind, answer = await channel.answer(number, "the number of flows")
            if kind == _MULTIPART_REPLY:
                count: int = struct.unpack_from("!QQI", answer, 8)[2]
                return count


async def change_meters(path: Path, put: Mapping[int, Meter], delete: Iterable[int]) -> None:
    """Write and delete meters, and wait until the switch has; raises OSError, SwitchRefused.

    Deleting a meter deletes the flows that use it (OpenFlow 1.3.5, 6.4); what is not there is
    deleted without a word.
    """
    delete = list(delete)
    if not put and not delete:
        return
    present = await read_meters(path) if put else {}
    async with _conversation(path) as channel:
        about = {}
        for number in delete:
            about[channel.send(_METER_MOD, _meter_mod(_DELETE, number, None))] = f"meter {number}"
        for number, meter in put.items():
            if present.get(number) != meter:
                command = _MODIFY if number in present else _ADD
                about[channel.send(_METER_MOD, _meter_mod(command, number, meter))] = f"meter {number}"
        await channel.barrier(about)


def _meter_mod(command: int, number: int, meter: Meter | None) -> bytes:
    if meter is None:
        return struct.pack("!HHI", command, 0, number)
    flags = (_PKTPS if meter.packets else _KBPS) | (_BURST if meter.band.burst else 0)
    band = _BAND.pack(_DROP_BAND, _BAND.size, meter.band.rate, meter.band.burst)
    return struct.pack("!HHI", command, flags, number) + band


def _parse_meters(body: bytes) -> Iterable[tuple[int, Meter]]:
    start = 0
    while start < len(body):
        length, flags, number = _METER_HEAD.unpack_from(body, start)
        if length == _METER_HEAD.size + _BAND.size:
            kind, _, rate, burst = _BAND.unpack_from(body, start + _METER_HEAD.size)
            if kind == _DROP_BAND:
                known_burst = burst if flags & _BURST else 0
                yield number, Meter(MeterBand(rate, known_burst), packets=bool(flags & _PKTPS))
        start += length


class _Channel:
    """One connection after the greeting."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._number = 0

    def send(self, kind: int, body: bytes = b"", number: int | None = None) -> int:
        if number is None:
            self._number += 1
            number = self._number
        self._writer.write(_HEADER.pack(_VERSION, kind, _HEADER.size + len(body), number) + body)
        return number

    async def receive(self) -> tuple[int, int, bytes]:
        """Kind, number and body of the next message that is no probe."""
        while True:
            _, kind, length, number = _HEADER.unpack(await self._reader.readexactly(_HEADER.size))
            body = await self._reader.readexactly(length - _HEADER.size)
            if kind != _ECHO_REQUEST:
                return kind, number, body
            self.send(_ECHO_REPLY, body, number)

    async def answer(self, number: int, about: str) -> tuple[int, bytes]:
        while True:
            kind, answered, body = await self.receive()
            if answered == number:
                _raise_error(kind, body, about)
                return kind, body

    async def barrier(self, about: Mapping[int, str]) -> None:
        """Wait until all that was sent is done; the first error among it is raised."""
        number = self.send(_BARRIER_REQUEST)
        refused: SwitchRefused | None = None
        while True:
            kind, answered, body = await self.receive()
            try:
                _raise_error(kind, body, about.get(answered, "a message"))
            except SwitchRefused as error:
                refused = refused or error
            if kind == _BARRIER_REPLY and answered == number:
                break
        if refused is not None:
            raise refused


async def until_gone(path: Path) -> None:
    """Return when the switch behind a management socket has gone (or was never there)."""
    try:
        async with _conversation(path, None) as channel:
            while True:
                await channel.receive()
    except OSError:
        return


@asynccontextmanager
async def _conversation(path: Path, timeout_s: float | None = _ANSWERS_WITHIN_S) -> AsyncIterator[_Channel]:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        async with asyncio.timeout(timeout_s):
            channel = _Channel(reader, writer)
            channel.send(_HELLO)
            kind, number, body = await channel.receive()
            if kind != _HELLO:
                _raise_error(kind, body, f"the greeting (message {number})")
            yield channel
    except asyncio.IncompleteReadError as error:
        raise ConnectionResetError("the switch closed the connection") from error
    finally:
        writer.close()


def _raise_error(kind: int, body: bytes, about: str) -> None:
    if kind == _ERROR:
        reason, code = struct.unpack_from("!HH", body)
        raise SwitchRefused(reason, code, about)
