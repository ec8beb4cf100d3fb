"""Reports to the server: gathered, and sent in as few calls as there is news.

News waits until a call has taken it; what a call took is forgotten, what it did not take is sent
again. While one call runs, all that happens goes into the next.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence

import msgspec

from pileus.core import log
from pileus.core.errors import Fault, Kind
from pileus.core.recurring import Trouble
from pileus.host.isolation import by_halves
from pileus.wire.hypervisor import HypervisorReport, MigrationProgress, OperationReport, ServerReport, Step

_log = log.get("host.hypervisor")

_LINGER_S = 0.03
_RETRY_S, _RETRY_LIMIT_S = 0.2, 5.0
_REFUSED = frozenset((Kind.INVALID, Kind.CONFLICT, Kind.INTERNAL))
_STEPS_KEPT = 200
"""Steps of one machine that are kept while nobody takes them."""


class Outbox:
    """``send`` makes the call and raises Fault; ``taken`` is told what was."""

    def __init__(
        self,
        host: str,
        send: Callable[[HypervisorReport], Awaitable[object]],
        taken: Callable[[HypervisorReport], None],
    ) -> None:
        self._host = host
        self._trouble = Trouble(_log, "a report was not taken", host=host)
        self._send = send
        self._taken = taken
        self._servers: dict[str, ServerReport] = {}
        self._steps: defaultdict[str, list[Step]] = defaultdict(list)
        self._operations: dict[str, OperationReport] = {}
        self._gone: dict[str, None] = {}
        self._progress: dict[str, MigrationProgress] = {}
        self._present: tuple[tuple[str, ...], int] | None = None
        self._told: dict[str, ServerReport] = {}
        self._news = asyncio.Event()
        self._urgent = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def server(self, report: ServerReport) -> None:
        """Report a server; nothing is sent where its state is known."""
        known = self._servers.get(report.server_id) or self._told.get(report.server_id)
        if known != report:
            self._servers[report.server_id] = report
            self._wake(urgent=True)

    def step(self, server_id: str, step: Step, report: ServerReport) -> None:
        """A step of a server's life, which is as ``report`` says meanwhile."""
        steps = self._steps[server_id]
        steps.append(step)
        del steps[:-_STEPS_KEPT]
        self._servers.setdefault(server_id, report)
        self._wake(urgent=False)

    def operation(self, report: OperationReport) -> None:
        self._operations[report.operation_id] = report
        self._wake(urgent=True)

    def progress(self, said: MigrationProgress) -> None:
        """How far a server that leaves is. That its guest is stopped is the last that is said of it."""
        known = self._progress.get(said.operation_id)
        if known is None or not known.switching:
            self._progress[said.operation_id] = said
            self._wake(urgent=said.switching)

    def gone(self, server_ids: Iterable[str]) -> None:
        for server_id in server_ids:
            self._gone[server_id] = None
            self._servers.pop(server_id, None)
            self._told.pop(server_id, None)
            self._steps.pop(server_id, None)
        self._wake(urgent=True)

    def present(self, server_ids: Sequence[str], position: int) -> None:
        self._present = (tuple(server_ids), position)
        self._wake(urgent=True)

    def forget(self) -> None:
        """The server may have forgotten: tell everything again."""
        self._told.clear()

    async def sent(self) -> None:
        """Return when there is nothing to tell."""
        await self._idle.wait()

    def _wake(self, *, urgent: bool) -> None:
        self._idle.clear()
        self._news.set()
        if urgent:
            self._urgent.set()

    async def run(self) -> None:
        """Send until cancelled."""
        pause = _RETRY_S
        while True:
            await self._news.wait()
            try:
                async with asyncio.timeout(_LINGER_S):
                    await self._urgent.wait()
            except TimeoutError:
                pass
            self._news.clear()
            self._urgent.clear()
            report = self._take()
            try:
                report = await self._deliver(report)
            except Fault as fault:
                self._trouble.fault(fault)
                self._put_back(report)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _RETRY_LIMIT_S)
                continue
            pause = _RETRY_S
            self._trouble.over()
            self._taken(report)
            if not self._news.is_set():
                self._idle.set()

    async def _deliver(self, report: HypervisorReport) -> HypervisorReport:
        """Send; where the server refuses a report, send it in halves, so that one thing that it can't take
        keeps it from hearing nothing else. What was taken; raises Fault when nothing could be sent."""
        try:
            await self._send(report)
            return report
        except Fault as fault:
            if fault.kind not in _REFUSED or not (report.servers or report.operations):
                raise
            rest = msgspec.structs.replace(report, servers=(), operations=())
            await self._send(rest)
            refused = fault

        async def send_servers(some: Sequence[ServerReport]) -> None:
            await self._send(HypervisorReport(self._host, servers=tuple(some)))

        async def send_operations(some: Sequence[OperationReport]) -> None:
            await self._send(HypervisorReport(self._host, operations=tuple(some)))

        left = await by_halves(report.servers, send_servers)
        left_operations = await by_halves(report.operations, send_operations)
        for one, why in (*left, *left_operations):
            if not isinstance(why, Fault) or why.kind not in _REFUSED - {Kind.INTERNAL}:
                raise refused  # it may be taken later: all is told again
            _log.error("the server refuses what it is told", said=str(one)[:500], why=why.text)
        return report

    def _take(self) -> HypervisorReport:
        servers = tuple(
            msgspec.structs.replace(report, steps=tuple(self._steps.pop(server_id, ())))
            for server_id, report in self._servers.items()
        )
        self._told |= self._servers
        present, position = self._present or (None, 0)
        report = HypervisorReport(
            host=self._host,
            servers=servers,
            operations=tuple(self._operations.values()),
            gone=tuple(self._gone),
            present=present,
            position=position,
            progress=tuple(self._progress.values()),
        )
        self._progress = {}
        self._servers, self._operations, self._gone, self._present = {}, {}, {}, None
        return report

    def _put_back(self, report: HypervisorReport) -> None:
        """Beside what is newer."""
        for server in report.servers:
            if server.server_id in self._gone:
                continue
            if server.steps:
                self._steps[server.server_id][:0] = server.steps
            self._servers.setdefault(server.server_id, msgspec.structs.replace(server, steps=()))
        for operation in report.operations:
            self._operations.setdefault(operation.operation_id, operation)
        for server_id in report.gone:
            self._gone.setdefault(server_id)
        for said in report.progress:
            if said.switching:
                self._progress[said.operation_id] = said
            self._progress.setdefault(said.operation_id, said)
        if report.present is not None and self._present is None:
            self._present = (report.present, report.position)
        self._wake(urgent=False)
