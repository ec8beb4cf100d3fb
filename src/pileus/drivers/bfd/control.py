"""Questions to a running BIRD: lines over its control socket, each answer with a number in front."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

_WITHIN_S = 5.0
_LONGEST = 1 << 20
_FIRST_FAULT = 8000


class ControlFailed(Exception):
    """BIRD did not answer, or refused."""


async def ask(socket: Path, question: str) -> list[str]:
    """The lines of the answer, without numbers. Raises ControlFailed."""
    try:
        async with asyncio.timeout(_WITHIN_S):
            reader, writer = await asyncio.open_unix_connection(str(socket), limit=_LONGEST)
            try:
                await _answer(reader)
                writer.write(f"{question}\n".encode())
                await writer.drain()
                return await _answer(reader)
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError, ValueError) as error:
        raise ControlFailed(str(error) or "no answer") from error


async def _answer(reader: asyncio.StreamReader) -> list[str]:
    lines: list[str] = []
    while True:
        line = (await reader.readline()).decode(errors="replace")
        if not line:
            raise ControlFailed("it hung up")
        line = line.rstrip("\n")
        number, mark, text = line[:4], line[4:5], line[5:]
        if not number.isdigit():
            lines.append(line[1:])  # a line that goes on with the number of the one before
            continue
        if text:
            lines.append(text)
        if int(number) >= _FIRST_FAULT:
            raise ControlFailed(text)
        if mark != "-":
            return lines


async def sessions(socket: Path) -> dict[str, str]:
    """The state (Up, Down, Init, AdminDown) of each neighbour that is watched, by its address."""
    found = {}
    for line in await ask(socket, "show bfd sessions"):
        words = line.split()
        if len(words) == 6 and words[0] != "IP":
            found[words[0]] = words[2]
    return found
