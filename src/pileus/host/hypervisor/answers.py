"""Answers to the server's questions about a machine: its console's log, its counters."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from pileus.core.errors import Fault, Invalid, NotFound
from pileus.drivers.libvirt.console import last_lines, read_console
from pileus.drivers.libvirt.hypervisor import Hypervisor, HypervisorFailed
from pileus.host.hypervisor.records import InstanceBook
from pileus.wire.questions import Answer, Question

_LONGEST = 256 * 1024
"""Bytes of a console that one answer holds."""


class NoSuchServer(NotFound):
    message = "There is no server {server_id} on this host."


class UnknownQuestion(Invalid):
    message = "A hypervisor agent does not know the question {kind}."


async def answer(host: str, question: Question, book: InstanceBook, hypervisor: Hypervisor) -> Answer:
    """The answer to one question; what prevents it is said in it."""
    try:
        result = await _result(question, book, hypervisor)
    except Fault as fault:
        return Answer(host, question.question_id, error=fault.text)
    except (HypervisorFailed, OSError, KeyError, TypeError, ValueError) as error:
        return Answer(host, question.question_id, error=f"{type(error).__name__}: {error}")
    return Answer(host, question.question_id, result)


async def _result(question: Question, book: InstanceBook, hypervisor: Hypervisor) -> dict[str, Any]:
    server_id = str(question.arguments["server_id"])
    if book.get(server_id) is None:
        raise NoSuchServer(server_id=server_id)
    if question.kind == "console_log":
        length = question.arguments.get("length")
        log = await asyncio.to_thread(read_console, book.places(server_id).console, limit=_LONGEST)
        text = log.text if length is None or int(length) < 0 else last_lines(log.text, int(length))
        return {"output": text.decode(errors="replace")}
    if question.kind == "diagnostics":
        stats = (await hypervisor.stats([server_id])).get(server_id)
        if stats is None:
            raise NoSuchServer(server_id=server_id)
        plain: dict[str, Any] = msgspec.to_builtins(stats)
        return plain
    raise UnknownQuestion(kind=question.kind)
