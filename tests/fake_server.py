"""A server in this process, as an agent sees the bus: calls, wake-ups, and trouble with both.

Wake-ups can be dropped, doubled and reordered, and the server can be away. Each kind of agent has a
subclass with the calls that it asks: ``_NAME(request)`` answers the call ``NAME``.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from pileus.core.errors import Unavailable
from pileus.wire import scopes as scope_names
from pileus.wire.agents import AgentReply, AgentReport, Wakeup
from pileus.wire.calls import Call


class FakeServer:
    """``chance`` of a wake-up to be lost or doubled; None: each comes once. ``deaf``: none comes."""

    def __init__(self, chance: random.Random | None = None) -> None:
        self.position = 1
        self.newest: dict[str, int] = {}
        self.away = False
        self.deaf = False
        self.calls: list[str] = []
        self.agent_reports: list[AgentReport] = []
        self.heartbeat_interval_s = 30.0
        self.admin_state_up = True
        self._chance = chance
        self._listeners: list[tuple[frozenset[str], asyncio.Queue[Wakeup]]] = []

    # -- what tests change

    def changed(self, *scopes: str) -> None:
        """An event: the scopes have a new position, and whoever listens to them is told."""
        self.position += 1
        for scope in scopes:
            self.newest[scope] = self.position
        if not self.deaf:
            self.tell(scopes)

    def tell(self, scopes: tuple[str, ...]) -> None:
        """Wake whoever listens, as often as chance has it."""
        for wanted, queue in self._listeners:
            if heard := tuple(sorted(wanted & set(scopes))):
                for _ in range(self._chance.choice((0, 1, 1, 2)) if self._chance else 1):
                    queue.put_nowait(Wakeup(self.position, heard))

    def ask(self, *questions: Any) -> None:
        """Ask everybody who listens."""
        for _, queue in self._listeners:
            queue.put_nowait(Wakeup(self.position, (), tuple(questions)))

    def is_heard(self, scopes: frozenset[str]) -> bool:
        """Whether somebody listens to all of these."""
        return any(wanted >= scopes for wanted, _ in self._listeners)

    # -- what agents ask

    async def call(self, call: Call[Any, Any], request: Any) -> Any:
        if self.away:
            raise Unavailable("the server is away")
        self.calls.append(call.name)
        msgspec.msgpack.encode(request)  # it can cross the line; the ids of these scenes are for people
        await asyncio.sleep(0)
        reply = getattr(self, f"_{call.name}")(request)
        msgspec.msgpack.encode(reply)
        return reply

    async def wakeups(self, host: str, scopes: tuple[str, ...]) -> AsyncIterator[Wakeup]:
        if self.away:
            raise Unavailable("the server is away")
        entry = (frozenset(scopes), asyncio.Queue[Wakeup]())
        self._listeners.append(entry)
        try:
            yield Wakeup(max((self.newest.get(scope, 0) for scope in scopes), default=0))
            while True:
                wakeup = await entry[1].get()
                if self._chance and self._chance.random() < 0.2 and not entry[1].empty():
                    entry[1].put_nowait(wakeup)
                    continue
                yield wakeup
        finally:
            self._listeners.remove(entry)

    def _agent_report(self, report: AgentReport) -> AgentReply:
        self.agent_reports.append(report)
        scopes = {scope_names.host(report.host), *report.scopes}
        newest = max((self.newest.get(scope, 0) for scope in scopes), default=0)
        return AgentReply("agent", self.admin_state_up, newest, self.heartbeat_interval_s)
