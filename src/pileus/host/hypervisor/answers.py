"""Answers to the server's questions about a machine: its console's log, counters, streams of its consoles."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from pileus.core import log
from pileus.core.errors import Fault, Invalid, NotFound
from pileus.core.streams import ByteStream, relay
from pileus.drivers.libvirt.console import last_lines, read_console
from pileus.drivers.libvirt.hypervisor import Hypervisor, HypervisorFailed
from pileus.host.hypervisor.records import InstanceBook
from pileus.wire.questions import Answer, Question

_log = log.get("host.hypervisor")

_STREAM = re.compile(r"[A-Za-z0-9_-]{16,64}")
_LONGEST = 256 * 1024
"""Bytes of a console that one answer holds."""


class NoSuchServer(NotFound):
    message = "There is no server {server_id} on this host."


class UnknownQuestion(Invalid):
    message = "A hypervisor agent does not know the question {kind}."


class ConsoleStreams:
    """The consoles that servers look at through this host: each a stream that was asked for."""

    def __init__(self, open_stream: Callable[[str], Awaitable[ByteStream]]) -> None:
        self._open_stream = open_stream
        self._running: set[asyncio.Task[None]] = set()

    def begin(self, name: str, console: ByteStream) -> None:
        """Bring a console to the server, by the stream of this name, until one of both ends."""
        task = asyncio.create_task(self._bring(name, console))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """End all."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _bring(self, name: str, console: ByteStream) -> None:
        try:
            stream = await self._open_stream(name)
        except Fault as fault:
            _log.warning("a console can't be brought to the server", reason=fault.text)
            await console.close()
            return
        await relay(console, stream)


async def answer(
    host: str, question: Question, book: InstanceBook, hypervisor: Hypervisor, streams: ConsoleStreams
) -> Answer:
    """The answer to one question; what prevents it is said in it."""
    try:
        result = await _result(question, book, hypervisor, streams)
    except Fault as fault:
        return Answer(host, question.question_id, error=fault.text)
    except (HypervisorFailed, OSError, KeyError, TypeError, ValueError) as error:
        return Answer(host, question.question_id, error=f"{type(error).__name__}: {error}")
    return Answer(host, question.question_id, result)


async def _result(
    question: Question, book: InstanceBook, hypervisor: Hypervisor, streams: ConsoleStreams
) -> dict[str, Any]:
    server_id = str(question.arguments["server_id"])
    if book.get(server_id) is None:
        raise NoSuchServer(server_id=server_id)
    if question.kind == "console_log":
        length = question.arguments.get("length")
        found = await asyncio.to_thread(read_console, book.places(server_id).console, limit=_LONGEST)
        text = found.text if length is None or int(length) < 0 else last_lines(found.text, int(length))
        return {"output": text.decode(errors="replace")}
    if question.kind == "console":
        kind, name = question.arguments["console"], question.arguments["stream"]
        if kind not in ("vnc", "serial") or not _STREAM.fullmatch(name):
            raise UnknownQuestion(kind=question.kind)
        streams.begin(name, await hypervisor.open_console(server_id, kind))
        return {}
    if question.kind == "diagnostics":
        stats = (await hypervisor.stats([server_id])).get(server_id)
        if stats is None:
            raise NoSuchServer(server_id=server_id)
        plain: dict[str, Any] = msgspec.to_builtins(stats)
        return plain
    raise UnknownQuestion(kind=question.kind)
