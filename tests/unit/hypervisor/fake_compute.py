"""The compute service in this process, for a hypervisor agent: servers in a dictionary.

Its wake-ups can be dropped, doubled and reordered, it can be away, and it serves images. Like the real
one it stops wanting what went off by itself, forgets operations that were reported, and what is gone.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from msgspec.structs import replace

from pileus.core.errors import Fault, Unavailable
from pileus.wire import scopes as scope_names
from pileus.wire.agents import Wakeup
from pileus.wire.calls import Call
from pileus.wire.hypervisor import (
    HypervisorReport,
    HypervisorState,
    HypervisorStateRequest,
    ImageSource,
    Inventory,
    OperationReport,
    PendingOperation,
    ServerDetails,
    ServerReport,
    Step,
)
from pileus.wire.questions import Answer
from pileus.wire.switch import Acknowledged

HOST = "n1"


class FakeCompute:
    """``chance`` of a wake-up to be lost or doubled; None: each comes once."""

    def __init__(self, chance: random.Random | None = None) -> None:
        self.position = 1
        self.servers: dict[str, ServerDetails] = {}
        self.images: dict[str, bytes] = {}
        self.downloads: list[str] = []
        self.download_gate: asyncio.Event | None = None
        self.away = False
        self.deaf = False
        self.calls: list[str] = []
        self.reports: list[HypervisorReport] = []
        self.states: dict[str, ServerReport] = {}
        self.history: defaultdict[str, list[ServerReport]] = defaultdict(list)
        self.steps: defaultdict[str, list[Step]] = defaultdict(list)
        self.operations: dict[str, OperationReport] = {}
        self.operation_reports: list[str] = []
        self.gone: list[str] = []
        self.inventory: Inventory | None = None
        self.present: tuple[str, ...] | None = None
        self.answers: list[Answer] = []
        self.newest: dict[str, int] = {}
        self.changed_at: dict[str, int] = {}
        self._chance = chance
        self._listeners: list[tuple[frozenset[str], asyncio.Queue[Wakeup]]] = []

    # -- what tests change

    def image(self, name: str, content: bytes, disk_format: str = "qcow2") -> ImageSource:
        """An image that can be fetched."""
        self.images[name] = content
        digest = hashlib.sha512(content).hexdigest()
        key = str(uuid.uuid5(uuid.NAMESPACE_URL, name))
        return ImageSource(key, disk_format, len(content), "sha512", digest, f"/image/{name}?ticket=t")

    def put(self, server: ServerDetails) -> None:
        known = server.server_id in self.servers
        self.servers[server.server_id] = server
        self._changed(server.server_id, (scope_names.server(server.server_id),) if known else None)

    def change(self, server_id: str, **values: Any) -> None:
        self.put(replace(self.servers[server_id], **values))

    def operate(self, server_id: str, operation_id: str, kind: str = "reboot", **arguments: Any) -> None:
        operation = PendingOperation(operation_id, kind, arguments)
        self.change(server_id, operations=(*self.servers[server_id].operations, operation))

    def delete(self, server_id: str) -> None:
        del self.servers[server_id]
        self.states.pop(server_id, None)
        self._changed(server_id, None)

    def _changed(self, server_id: str, heard: tuple[str, ...] | None) -> None:
        """None: the set of servers is another one."""
        self.position += 1
        self.changed_at[server_id] = self.position
        told = heard or (scope_names.hypervisor(HOST), scope_names.server(server_id))
        for scope in told:
            self.newest[scope] = self.position
        if not self.deaf:
            self.tell(told)

    def tell(self, told: tuple[str, ...]) -> None:
        """Wake whoever listens, as well as the mood allows."""
        for wanted, queue in self._listeners:
            if mine := tuple(sorted(wanted & set(told))):
                for _ in range(self._chance.choice((0, 1, 1, 2)) if self._chance else 1):
                    queue.put_nowait(Wakeup(self.position, mine))

    def ask(self, *questions: Any) -> None:
        for _, queue in self._listeners:
            queue.put_nowait(Wakeup(self.position, (), tuple(questions)))

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

    async def download(self, path: str) -> AsyncIterator[bytes]:
        name = path.split("/")[-1].partition("?")[0]
        self.downloads.append(name)
        if self.away:
            raise Unavailable("the server is away")
        if name not in self.images:
            raise Fault(f"no image {name}")
        content = self.images[name]
        yield content[: len(content) // 2]
        if self.download_gate is not None:
            await self.download_gate.wait()
        await asyncio.sleep(0)
        yield content[len(content) // 2 :]

    def _hypervisor_state(self, request: HypervisorStateRequest) -> HypervisorState:
        return HypervisorState(
            self.position,
            tuple(
                server
                for key, server in self.servers.items()
                if request.servers is None or key in request.servers
            ),
        )

    def _hypervisor_report(self, report: HypervisorReport) -> Acknowledged:
        self.reports.append(report)
        self.inventory = report.inventory or self.inventory
        self.gone += report.gone
        if report.present is not None:
            self.present = report.present
            self.gone += [
                key
                for key, at in self.changed_at.items()
                if key not in self.servers and at <= report.position and key not in report.present
            ]
        for server in report.servers:
            self.steps[server.server_id] += server.steps
            self._heard(replace(server, steps=()))
        for operation in report.operations:
            self._operation_ended(operation)
        return Acknowledged(max(self.newest.values(), default=0))

    def _heard(self, report: ServerReport) -> None:
        key = report.server_id
        server = self.servers.get(key)
        if server is None:
            return
        self.states[key] = report
        self.history[key].append(report)
        went = report.in_place and report.power_state in (4, 6)
        if went and server.wanted in ("running", "paused") and report.generation == server.generation:
            self.change(key, wanted="stopped")

    def _operation_ended(self, report: OperationReport) -> None:
        self.operation_reports.append(report.operation_id)
        self.operations[report.operation_id] = report
        for key, server in self.servers.items():
            left = tuple(one for one in server.operations if one.operation_id != report.operation_id)
            if left != server.operations:
                self.change(key, operations=left)
                return

    def _answer(self, answer: Answer) -> Acknowledged:
        self.answers.append(answer)
        return Acknowledged()
