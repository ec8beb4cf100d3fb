"""Stand-ins of a far switch's Unix sockets: a local folder in which they lie as in vswitchd's own.

Whoever connects to one here is connected to the same one there, by a relay program behind the prefix
(``socat - UNIX-CONNECT:/run/openvswitch/db.sock``). The database's is always there. A bridge's management
socket is there while its switch answers, so that a switch's death and return look as they do on one machine:
a watching connection is kept to each, and its end takes the stand-in away.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any

from pileus.core import log
from pileus.drivers.relay.prefix import prefixed

_log = log.get("drivers.relay")

_CHUNK = 1 << 16
_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 2.0
_GREETS_WITHIN_S = 10.0
_HEADER = struct.Struct("!BBHI")
_VERSION, _HELLO, _ECHO_REQUEST, _ECHO_REPLY = 5, 0, 2, 3
"""OpenFlow 1.4, of which the watcher says hello and answers probes."""

DATABASE = "db.sock"


class RelaySockets:
    """``command`` is the relay's, with ``{socket}`` in one of its words; ``far`` is vswitchd's run directory
    there, ``folder`` the one of the stand-ins, which is root's alone."""

    def __init__(self, prefix: Sequence[str], command: Sequence[str], far: Path, folder: Path) -> None:
        if not any("{socket}" in word for word in command):
            raise ValueError("the relay's command does not say where {socket} goes")
        self.folder = folder
        self._prefix = tuple(prefix)
        self._command = tuple(command)
        self._far = far
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._said: dict[str, str] = {}
        prefixed(self._prefix, self._arguments(DATABASE))  # raises NotPlain at once

    async def start(self, bridges: Iterable[str]) -> None:
        """Offer the database's socket, and watch those of these bridges."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self.folder.glob("*"):
            left.unlink()
        self._servers.append(await self._offer(DATABASE))
        for bridge in bridges:
            self._spawn(self._watch(f"{bridge}.mgmt"))

    async def close(self) -> None:
        """End all connections; the stand-ins are gone."""
        for server in self._servers:
            server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for left in self.folder.glob("*"):
            left.unlink()

    def _arguments(self, name: str) -> list[str]:
        return [word.replace("{socket}", str(self._far / name)) for word in self._command]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _offer(self, name: str) -> asyncio.Server:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                async with self._relay(name) as child:
                    await _copy_both(reader, writer, child)
            except OSError as error:
                self._say(name, str(error))
            finally:
                writer.close()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._spawn(serve(reader, writer))

        path = self.folder / name
        path.unlink(missing_ok=True)
        return await asyncio.start_unix_server(accept, str(path), limit=_CHUNK)

    @contextlib.asynccontextmanager
    async def _relay(self, name: str) -> AsyncIterator[asyncio.subprocess.Process]:
        pipe = asyncio.subprocess.PIPE
        arguments = prefixed(self._prefix, self._arguments(name))
        child = await asyncio.create_subprocess_exec(*arguments, stdin=pipe, stdout=pipe, stderr=pipe)
        assert child.stdin is not None and child.stdout is not None and child.stderr is not None
        complaint = asyncio.ensure_future(child.stderr.read(_CHUNK))
        try:
            yield child
        finally:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            child.stdin.close()
            while await child.stdout.read(_CHUNK):  # to its end, or its pipe would stay open
                pass
            await child.wait()
            if text := (await complaint).decode(errors="replace").strip():
                self._say(name, text[-500:])

    def _say(self, name: str, text: str) -> None:
        """Log a complaint of the prefix or the relay; the same one of a socket once."""
        if text != self._said.get(name):
            _log.info("the relay to the switch complains", socket=name, said=text)
        self._said[name] = text

    async def _watch(self, name: str) -> None:
        pause = _PAUSE_S
        while True:
            with contextlib.suppress(OSError, EOFError, TimeoutError):
                async with self._relay(name) as child:
                    assert child.stdin is not None and child.stdout is not None
                    async with asyncio.timeout(_GREETS_WITHIN_S):
                        await _greet(child.stdout, child.stdin)
                    server = await self._offer(name)
                    pause = _PAUSE_S
                    try:
                        await _answer_probes(child.stdout, child.stdin)
                    finally:
                        (self.folder / name).unlink(missing_ok=True)
                        server.close()
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)


async def _copy_both(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, child: asyncio.subprocess.Process
) -> None:
    """Until the far side ends, or the near one is gone."""
    assert child.stdin is not None and child.stdout is not None
    outward = asyncio.ensure_future(_copy(reader, child.stdin))
    try:
        await _copy(child.stdout, writer)
    finally:
        outward.cancel()
        await asyncio.gather(outward, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_HEADER.pack(_VERSION, _HELLO, _HEADER.size, 1))
    while (await _message(reader))[0] != _HELLO:
        pass


async def _answer_probes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the switch closes the connection; raises EOFError then."""
    while True:
        kind, number, body = await _message(reader)
        if kind == _ECHO_REQUEST:
            writer.write(_HEADER.pack(_VERSION, _ECHO_REPLY, _HEADER.size + len(body), number) + body)


async def _message(reader: asyncio.StreamReader) -> tuple[int, int, bytes]:
    _, kind, length, number = _HEADER.unpack(await reader.readexactly(_HEADER.size))
    return kind, number, await reader.readexactly(max(length - _HEADER.size, 0))
