"""The volume service in this process, for a storage agent: volumes in a dictionary, and images."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from tests.fake_server import FakeServer

from pileus.wire import scopes as scope_names
from pileus.wire.hypervisor import ImageSource, OperationReport
from pileus.wire.questions import Answer
from pileus.wire.switch import Acknowledged
from pileus.wire.volume import (
    ExportReport,
    PoolReport,
    StoredVolume,
    VolumeDetails,
    VolumeExport,
    VolumeOperation,
    VolumeReport,
    VolumeState,
    VolumeStateRequest,
)

HOST = "n1"
POOL = "local"


def uid(name: str) -> str:
    """An id that is the same for the same name."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))


class VolumeServer(FakeServer):
    """As the real one it names an operation until it was reported."""

    def __init__(self) -> None:
        super().__init__()
        self.volumes: dict[tuple[str, str], VolumeDetails] = {}
        self.of_host: list[VolumeOperation] = []
        self.images: dict[str, bytes] = {}
        self.downloads: list[str] = []
        self.operations: dict[str, OperationReport] = {}
        self.order: list[str] = []
        self.exports: dict[str, ExportReport] = {}
        self.export_reports: list[ExportReport] = []
        self.pools: tuple[PoolReport, ...] = ()
        self.present: tuple[StoredVolume, ...] | None = None
        self.answers: list[Answer] = []

    # -- what tests change

    def image(self, name: str, content: bytes, disk_format: str = "qcow2") -> ImageSource:
        self.images[name] = content
        digest = hashlib.sha512(content).hexdigest()
        return ImageSource(uid(name), disk_format, len(content), "sha512", digest, f"/image/{name}?ticket=t")

    def operate(self, name: str, operation: str, kind: str, *, pool: str = POOL, **arguments: Any) -> None:
        """Something to do with the volume ``name``, which is made known if it is not."""
        key = pool, uid(name)
        known = self.volumes.get(key) or VolumeDetails(key[1], pool, 1, ready=False)
        new = VolumeOperation(uid(operation), kind, **arguments)
        self.put(replace(known, operations=(*known.operations, new)))

    def export(self, name: str, *exports: VolumeExport, pool: str = POOL) -> None:
        self.put(replace(self.volumes[pool, uid(name)], exports=exports))

    def forget(self, name: str, pool: str = POOL) -> None:
        del self.volumes[pool, uid(name)]
        self.changed(scope_names.volumes(HOST))

    def put(self, volume: VolumeDetails) -> None:
        key = volume.pool, volume.volume_id
        scope = scope_names.volume(volume.volume_id)
        is_new = key not in self.volumes
        self.volumes[key] = volume
        self.changed(scope_names.volumes(HOST) if is_new else scope)

    def error(self, operation: str) -> str | None:
        return self.operations[uid(operation)].error

    # -- what agents ask

    def _volume_state(self, request: VolumeStateRequest) -> VolumeState:
        asked = request.volumes
        wanted = [one for one in self.volumes.values() if asked is None or one.volume_id in asked]
        of_host = tuple(self.of_host) if request.volumes is None else ()
        return VolumeState(self.position, tuple(wanted), of_host)

    def _volume_report(self, report: VolumeReport) -> Acknowledged:
        for ended in report.operations:
            if ended.operation_id not in self.operations:
                self.order.append(ended.operation_id)
            self.operations[ended.operation_id] = ended
            for key, volume in self.volumes.items():
                left = tuple(one for one in volume.operations if one.operation_id != ended.operation_id)
                if left != volume.operations:
                    self.volumes[key] = replace(volume, operations=left, ready=True)
                    self.changed(scope_names.volume(volume.volume_id))
            self.of_host = [one for one in self.of_host if one.operation_id != ended.operation_id]
        self.exports |= {one.export_id: one for one in report.exports}
        self.export_reports += report.exports
        if report.pools is not None:
            self.pools = report.pools
        if report.present is not None:
            self.present = report.present
        return Acknowledged(self.newest.get(scope_names.volumes(HOST), 0))

    def _answer(self, answer: Answer) -> Acknowledged:
        self.answers.append(answer)
        return Acknowledged(0)

    async def download(self, path: str) -> AsyncIterator[bytes]:
        name = path.rpartition("/")[2].partition("?")[0]
        self.downloads.append(name)
        yield self.images[name]

    async def upload(self, path: str, file: Path) -> None:
        self.images[path.rpartition("/")[2].partition("?")[0]] = file.read_bytes()

    async def holds(self, path: str) -> bool:
        return path.rpartition("/")[2].partition("?")[0] in self.images
