"""News of a node's volumes, on their way to the server. What is not taken is told again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping

from pileus.core import log
from pileus.core.errors import Fault, Kind
from pileus.core.recurring import Trouble
from pileus.wire.hypervisor import OperationReport
from pileus.wire.volume import ExportReport, StoredVolume, VolumeProgress, VolumeReport

_log = log.get("host.blockdev")

_RETRY_S, _RETRY_LIMIT_S = 0.2, 5.0
_REFUSED = frozenset((Kind.INVALID, Kind.CONFLICT))


class News:
    """``send`` makes the call and raises Fault."""

    def __init__(self, host: str, send: Callable[[VolumeReport], Awaitable[object]]) -> None:
        self._host = host
        self._send = send
        self._trouble = Trouble(_log, "a report of volumes was not taken", host=host)
        self._operations: dict[str, OperationReport] = {}
        self._exports: dict[str, ExportReport] = {}
        self._progress: dict[str, VolumeProgress] = {}
        self._present: tuple[tuple[StoredVolume, ...], int] | None = None
        self._told: dict[str, ExportReport] = {}
        self._woken = asyncio.Event()

    def operation(self, report: OperationReport) -> None:
        self._operations[report.operation_id] = report
        self._progress.pop(report.operation_id, None)
        self._woken.set()

    def again(self, ended: Mapping[str, OperationReport], operation_ids: Iterable[str]) -> None:
        """Tell of those operations that have ended, which the server still waits for."""
        for operation_id in operation_ids:
            if (report := ended.get(operation_id)) is not None:
                self.operation(report)

    def export(self, report: ExportReport) -> None:
        """Nothing is sent where that was told already."""
        known = self._exports.get(report.export_id) or self._told.get(report.export_id)
        if known != report:
            self._exports[report.export_id] = report
            self._woken.set()

    def closed(self, export_ids: Iterable[str]) -> None:
        """Exports that nobody wants to hear of any more."""
        for key in export_ids:
            self._exports.pop(key, None)
            self._told.pop(key, None)

    def progress(self, operation_id: str, percent: int) -> None:
        self._progress[operation_id] = VolumeProgress(operation_id, percent)
        self._woken.set()

    def present(self, volumes: tuple[StoredVolume, ...], position: int) -> None:
        self._present = volumes, position
        self._woken.set()

    def forget(self) -> None:
        """The server may have forgotten: tell everything again."""
        self._told.clear()

    async def run(self) -> None:
        """Send until cancelled."""
        pause = _RETRY_S
        while True:
            await self._woken.wait()
            self._woken.clear()
            report = self._take()
            try:
                await self._send(report)
            except Fault as fault:
                self._trouble.fault(fault)
                if fault.kind in _REFUSED:
                    _log.error("the server refuses what it is told", said=str(report)[:500], why=fault.text)
                    continue
                self._put_back(report)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _RETRY_LIMIT_S)
            else:
                pause = _RETRY_S
                self._trouble.over()

    def _take(self) -> VolumeReport:
        present, position = self._present or (None, 0)
        self._told |= self._exports
        report = VolumeReport(
            host=self._host,
            operations=tuple(self._operations.values()),
            exports=tuple(self._exports.values()),
            progress=tuple(self._progress.values()),
            present=present,
            position=position,
        )
        self._operations, self._exports, self._progress, self._present = {}, {}, {}, None
        return report

    def _put_back(self, report: VolumeReport) -> None:
        """Beside what is newer."""
        for operation in report.operations:
            self._operations.setdefault(operation.operation_id, operation)
        for export in report.exports:
            if self._told.get(export.export_id) == export:
                self._exports.setdefault(export.export_id, export)
        if report.present is not None and self._present is None:
            self._present = report.present, report.position
        self._woken.set()
