"""Streams that a server asks a node for, over a Unix socket and over TLS."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.contract.test_bus import Bus, Story, on_bus
from tests.sockets import MemoryStream

from pileus.bus.client import ServerUnreachable, WireClient
from pileus.bus.hub import NobodyAnswers
from pileus.bus.streams import StreamRefused
from pileus.core.streams import relay
from pileus.wire.calls import ANSWER
from pileus.wire.questions import Answer, Question

__all__ = ["on_bus"]

SCOPE = "hypervisor:h1"


async def node(client: WireClient, answers: Callable[[Question], Any]) -> None:
    """An agent that listens, and answers each question as it is told."""
    async for wakeup in client.wakeups("h1", (SCOPE,)):
        for question in wakeup.questions:
            error = await answers(question)
            await client.call(ANSWER, Answer("h1", question.question_id, error=error))


async def asked(bus: Bus, answers: Callable[[Question], Any]) -> asyncio.Task[None]:
    listening = asyncio.create_task(node(bus.client(), answers))
    while SCOPE not in bus.hub._by_scope:
        await asyncio.sleep(0.01)
    return listening


def test_bytes_go_both_ways_and_ends_are_told(on_bus: Callable[[Story], None]) -> None:
    async def story(bus: Bus) -> None:
        client, console = bus.client(), MemoryStream()
        relays: list[asyncio.Task[None]] = []

        async def answers(question: Question) -> None:
            assert question.kind == "console" and question.arguments["server_id"] == "s"
            stream = await client.stream(question.arguments["stream"])
            relays.append(asyncio.create_task(relay(console, stream)))

        listening = await asked(bus, answers)
        for end in ("server", "node"):
            stream = await bus.streams.open("h1", SCOPE, "console", server_id="s")
            big = bytes(range(256)) * 4000
            await stream.send(big)
            await stream.send(b"!")
            async with asyncio.timeout(10):
                while sum(map(len, console.sent)) < len(big) + 1:
                    await asyncio.sleep(0.01)
            assert b"".join(console.sent) == big + b"!"
            console.comes.put_nowait(b"picture")
            assert await stream.receive() == b"picture"
            console.sent.clear()
            if end == "server":
                await stream.close()
            else:
                console.comes.put_nowait(b"")
                assert await stream.receive() == b""
                await stream.close()
            async with asyncio.timeout(10):
                await relays.pop()
            assert console.closed.is_set()
            console.closed.clear()
        listening.cancel()
        await client.close()

    on_bus(story)


def test_who_opens_a_stream(on_bus: Callable[[Story], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pileus.bus.streams.OPENS_WITHIN_S", 0.5)

    async def story(bus: Bus) -> None:
        other, mine = bus.client("h2"), bus.client()
        tried: list[type[Exception] | None] = []

        async def answers(question: Question) -> str | None:
            if question.arguments["server_id"] == "none":
                return "there is no such machine"
            for client, name in ((other, question.arguments["stream"]), (mine, "another-name-of-a-stream")):
                try:
                    await client.stream(name)
                    tried.append(None)
                except ServerUnreachable:
                    tried.append(ServerUnreachable)
            return None

        listening = await asked(bus, answers)
        with pytest.raises(StreamRefused, match="there is no such machine"):
            await bus.streams.open("h1", SCOPE, "console", server_id="none")
        with pytest.raises(StreamRefused, match="did not come"):
            await bus.streams.open("h1", SCOPE, "console", server_id="s")
        assert tried == [ServerUnreachable, ServerUnreachable]
        with pytest.raises(NobodyAnswers):
            await bus.streams.open("h9", "hypervisor:h9", "console", server_id="s")
        forged = bus.client("h1", b"another secret of another server")
        with pytest.raises(ServerUnreachable):
            await forged.stream("x" * 32)
        assert not bus.streams._waiting
        listening.cancel()
        for client in (other, mine, forged):
            await client.close()

    on_bus(story)
