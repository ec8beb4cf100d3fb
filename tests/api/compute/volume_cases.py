"""Volumes of servers in the compute API's cloud: a pool on the server's host, and the chains that attach
and detach."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests import databases
from tests.api.compute.cloud import IMAGE, Cloud, Host, cloud
from tests.api.volume.cloud import GIB, StorageHost

from pileus.core.context import system_context
from pileus.services.volume.types.work import types_seed
from pileus.wire.volume import PoolReport

POOL = PoolReport(
    "fast", driver="simulated", backend_name="fast", total_bytes=100 * GIB, free_bytes=100 * GIB
)


class Volumes:
    """The volumes of a cloud in which compute speaks."""

    def __init__(self, api: Cloud, host: str = "h1") -> None:
        self.api = api
        self.storage = StorageHost(api, host, [POOL])  # type: ignore[arg-type] # it uses the wire alone

    async def set_up(self) -> None:
        face = self.api.faces["block-storage"]
        await self.api.store.write(types_seed, system_context(self.api.clock.now()), face.config)
        await self.storage.heartbeat()

    async def make(self, person: Cloud | None = None) -> str:
        """A volume that is available; its id."""
        api = person or self.api
        answer = await api("POST", "/volume/v3/volumes", {"volume": {"size": 1}})
        assert answer.status == 202, answer
        await self.storage.pass_()
        return str(answer.json["volume"]["id"])

    async def shown(self, volume_id: str) -> dict[str, Any]:
        answer = await self.api.as_("admin")("GET", f"/volume/v3/volumes/{volume_id}")
        assert answer.status == 200, answer
        found: dict[str, Any] = answer.json["volume"]
        return found

    async def attach(self, host: Host, server_id: str, volume_id: str) -> None:
        """Have a volume attached, and see it through."""
        body = {"volumeAttachment": {"volumeId": volume_id}}
        answer = await self.api("POST", f"/servers/{server_id}/os-volume_attachments", body)
        assert answer.status == 200, answer
        await self.go_on(host)
        assert (await self.shown(volume_id))["status"] == "in-use"

    async def boot(self, host: Host) -> dict[str, Any]:
        """A server that is ACTIVE and began from a volume made of an image."""
        root = {"source_type": "image", "destination_type": "volume", "uuid": IMAGE, "boot_index": 0}
        root |= {"volume_size": 2, "delete_on_termination": True}
        answer = await self.api.ask_for(imageRef="", networks="none", block_device_mapping_v2=[root])
        assert answer.status == 202, answer
        await self.go_on(host)
        server = await self.api.server(answer.json["server"]["id"])
        assert server["status"] == "ACTIVE", server
        return server

    async def list(self) -> list[dict[str, Any]]:
        """All volumes of whoever speaks."""
        found: list[dict[str, Any]] = (await self.api("GET", "/volume/v3/volumes/detail")).json["volumes"]
        return found

    async def go_on(self, host: Host) -> None:
        """Everybody does what there is to do."""
        conductor = self.api.conductor()
        for _ in range(3):
            await self.storage.pass_()
            await conductor.work()
            await host.pass_(ports=False)
            await conductor.work()


def tell(story: Callable[[Cloud], Awaitable[None]], folder: Path, kind: str = "sqlite") -> None:
    async def main() -> None:
        with databases.fresh(kind, folder) as url:
            async with cloud(url, with_volumes=True) as api:
                await story(api)

    asyncio.run(main())
