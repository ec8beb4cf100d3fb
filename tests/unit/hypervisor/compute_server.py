"""The compute service in this process, for a hypervisor agent: servers in a dictionary.

It serves images. Like the real one it stops wanting what went off by itself, forgets operations that
were reported, and what is gone.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from tests.fake_server import FakeServer
from tests.sockets import MemoryStream

from pileus.core.errors import Fault, Unavailable, UploadRefused
from pileus.wire import scopes as scope_names
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


class ComputeServer(FakeServer):
    """Servers, images, and the reports that came."""

    def __init__(self, chance: random.Random | None = None) -> None:
        super().__init__(chance)
        self.servers: dict[str, ServerDetails] = {}
        self.images: dict[str, bytes] = {}
        self.downloads: list[str] = []
        self.download_gate: asyncio.Event | None = None
        self.uploads: list[str] = []
        self.streams: dict[str, MemoryStream] = {}
        self.refuses_uploads = 0
        self.forgets_to_answer = False
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
        self.changed_at: dict[str, int] = {}

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
        self.changed_at[server_id] = self.position + 1
        self.changed(*(heard or (scope_names.hypervisor(HOST), scope_names.server(server_id))))

    # -- what agents ask

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

    async def stream(self, name: str) -> MemoryStream:
        return self.streams.setdefault(name, MemoryStream())

    async def upload(self, path: str, file: Path) -> None:
        name = path.split("/")[-1].partition("?")[0]
        self.uploads.append(name)
        if self.away:
            raise Unavailable("the server is away")
        if self.refuses_uploads:
            raise UploadRefused(path, self.refuses_uploads)
        self.images[name] = file.read_bytes()
        if self.forgets_to_answer:
            self.forgets_to_answer = False
            self.refuses_uploads = 409
            raise Unavailable("the connection broke")

    async def holds(self, path: str) -> bool:
        return path.split("/")[-1].partition("?")[0] in self.images

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
        # One with a task does not go by itself.
        went = report.in_place and report.power_state in (4, 6) and not server.operations
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
