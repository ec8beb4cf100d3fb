"""The volume API in the test cloud, and scripted storage hosts.

A scripted host does through the wire what a storage agent would: it says which pools it has, asks what
they should have, says that it is so. It can be told to fail, or to say nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.api import cloud as one
from tests.api.cloud import P1, P2, PEOPLE, Node
from tests.api.compute.cloud import FakeImages, an_image
from tests.asgi import Answer

from pileus.core.clock import ManualClock
from pileus.core.context import system_context
from pileus.services.image.images.tables import images
from pileus.services.volume.service import VolumeConfig, Volumes
from pileus.services.volume.types.work import types_seed
from pileus.services.volume.worker import overdue
from pileus.store import Store
from pileus.web.face import ServiceFace
from pileus.wire.hypervisor import OperationReport
from pileus.wire.volume import (
    ExportReport,
    PoolReport,
    VolumeConnection,
    VolumeOperation,
    VolumeReport,
    VolumeState,
    VolumeStateRequest,
)

__all__ = ["IMAGE", "LATEST", "P1", "P2", "PEOPLE", "Cloud", "StorageHost", "cloud", "tell"]

IMAGE = "10000000-0000-4000-8000-000000000001"
LATEST = "3.71"
GIB = 1 << 30


def pool(name: str = "fast", gib: int = 100, **values: Any) -> PoolReport:
    """A pool as a host reports it."""
    said = {
        "driver": "simulated",
        "backend_name": name,
        "over_subscription_ratio": 1.0,
        "backups": True,
        **values,
    }
    return PoolReport(name, total_bytes=gib * GIB, free_bytes=gib * GIB, **said)


class StorageHost:
    """A scripted host. ``fails``: why no operation goes well; ``refuses``: why no export does."""

    def __init__(self, cloud: Cloud, name: str, pools: Sequence[PoolReport]) -> None:
        self.cloud, self.name, self.pools = cloud, name, list(pools)
        self.fails: str | None = None
        self.refuses: str | None = None
        self.done: list[str] = []
        self.asked: list[VolumeOperation] = []
        self.results: dict[str, dict[str, Any]] = {"backup": {"object_count": 3}}

    async def tell(self, **said: Any) -> Any:
        return await self.cloud.wire["volume_report"](VolumeReport(self.name, **said), Node(self.name))

    async def heartbeat(self) -> None:
        await self.tell(pools=tuple(self.pools))

    async def state(self, volumes: tuple[str, ...] | None = None) -> VolumeState:
        found = await self.cloud.wire["volume_state"](VolumeStateRequest(self.name, volumes), Node(self.name))
        assert isinstance(found, VolumeState)
        return found

    async def pass_(self) -> None:
        """One look, as an agent's: make it so, and say so."""
        state = await self.state()
        pending = [one for volume in state.volumes for one in volume.operations] + list(state.operations)
        self.done += [one.kind for one in pending]
        self.asked += pending
        await self.tell(
            operations=tuple(
                OperationReport(one.operation_id, self.fails, self.results.get(one.kind, {}))
                for one in pending
            ),
            exports=tuple(self._opened(volume, one) for volume in state.volumes for one in volume.exports),
        )

    def _opened(self, volume: Any, export: Any) -> ExportReport:
        if self.refuses is not None:
            return ExportReport(export.export_id, error=self.refuses)
        if export.host == self.name:
            return ExportReport(
                export.export_id, VolumeConnection("file", path=f"/pools/{volume.pool}/{volume.volume_id}")
            )
        nbd = VolumeConnection("nbd", address="192.0.2.1", port=10809, name=export.export_id)
        return ExportReport(export.export_id, nbd)


class Cloud(one.Cloud):
    """Speaks to the volume API at one of its versions."""

    version = LATEST

    @property
    def volumes(self) -> Volumes:
        return self.faces["block-storage"]  # type: ignore[no-any-return]

    async def begin(self) -> None:
        """Make the default type and an image."""
        now = self.clock.now()
        await self.store.write(types_seed, system_context(now), self.volumes.config)
        await self.store.write(lambda tx: tx.insert(images, [an_image(IMAGE, "small", now)]))

    def as_(self, token: str, version: str | None = None) -> Self:
        other = super().as_(token)
        other.version = version or self.version
        return other

    def at(self, version: str) -> Self:
        return self.as_(self.token or "", version)

    def usual_headers(self, method: str) -> dict[str, str]:
        return {**super().usual_headers(method), "openstack-api-version": f"volume {self.version}"}

    async def __call__(  # type: ignore[override] # a test speaks to one service, and has its words
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """``path`` is below ``/volume/v3``."""
        return await self.request(method, f"/volume/v3{path}", body, headers)

    async def host(self, name: str = "h1", *pools: PoolReport) -> StorageHost:
        """A host with pools, ``fast`` unless said."""
        host = StorageHost(self, name, pools or [pool()])
        await host.heartbeat()
        return host

    async def ask_for(self, size: int | None = 1, **values: Any) -> Answer:
        """POST a volume."""
        return await self("POST", "/volumes", {"volume": {"size": size, **values}})

    async def make(self, host: StorageHost, size: int | None = 1, **values: Any) -> dict[str, Any]:
        """A volume that is available."""
        answer = await self.ask_for(size, **values)
        assert answer.status == 202, answer
        await host.pass_()
        volume = await self.volume(answer.json["volume"]["id"])
        assert volume["status"] == "available", volume
        return volume

    async def snapshot(self, host: StorageHost, volume_id: str, **values: Any) -> dict[str, Any]:
        """A snapshot that is available."""
        answer = await self("POST", "/snapshots", {"snapshot": {"volume_id": volume_id, **values}})
        assert answer.status == 202, answer
        await host.pass_()
        found: dict[str, Any] = (await self("GET", f"/snapshots/{answer.json['snapshot']['id']}")).json[
            "snapshot"
        ]
        assert found["status"] == "available", found
        return found

    async def backup(self, host: StorageHost, volume_id: str, **values: Any) -> dict[str, Any]:
        """A backup that is available."""
        answer = await self("POST", "/backups", {"backup": {"volume_id": volume_id, **values}})
        assert answer.status == 202, answer
        await host.pass_()
        found: dict[str, Any] = (await self("GET", f"/backups/{answer.json['backup']['id']}")).json["backup"]
        assert found["status"] == "available", found
        return found

    async def volume(self, volume_id: str) -> dict[str, Any]:
        answer = await self("GET", f"/volumes/{volume_id}")
        assert answer.status == 200, answer
        found: dict[str, Any] = answer.json["volume"]
        return found

    async def act(self, volume_id: str, verb: str, argument: Any = None) -> Answer:
        return await self("POST", f"/volumes/{volume_id}/action", {verb: argument})

    async def a_type(self, name: str, **values: Any) -> dict[str, Any]:
        """A volume type, made by the administrator."""
        answer = await self.as_("admin")("POST", "/types", {"volume_type": {"name": name, **values}})
        assert answer.status == 200, answer
        made: dict[str, Any] = answer.json["volume_type"]
        return made

    async def late(self) -> None:
        """End what nobody has reported in time."""
        await self.store.write(overdue, system_context(self.clock.now()), self.volumes.config)

    async def while_asked(self, asking: Awaitable[Answer], host: StorageHost) -> Answer:
        """The answer to a request that waits for a host, which looks meanwhile."""
        task = asyncio.ensure_future(asking)
        while not task.done():
            await host.pass_()
            await asyncio.sleep(0.005)
        return task.result()


@contextlib.asynccontextmanager
async def cloud(
    url: str, config: VolumeConfig | None = None, overrides: Mapping[str, str] | None = None
) -> AsyncIterator[Cloud]:
    """Volumes over the database at ``url``, spoken to by alice, a member of P1."""

    def faces(store: Store, clock: ManualClock) -> Sequence[ServiceFace]:
        return [Volumes(config or VolumeConfig(connection_wait_s=5), clock, images=FakeImages())]

    async with one.served(Cloud, url, faces, rules={"block-storage": overrides or {}}) as made:
        yield made


Story = Callable[[Cloud], Awaitable[None]]


def tell(
    story: Story,
    folder: Path,
    kind: str = "sqlite",
    config: VolumeConfig | None = None,
    overrides: Mapping[str, str] | None = None,
) -> None:
    """Run a story on a fresh database of one kind."""
    one.tell_on(kind, folder, lambda url: cloud(url, config, overrides), story)
