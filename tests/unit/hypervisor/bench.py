"""A hypervisor agent over twins: the host outlives the agent, as disks, taps and machines do."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from tests.waiting import PATIENCE_S

from pileus.core.clock import SystemClock
from pileus.drivers.libvirt.hypervisor import Power
from pileus.drivers.libvirt.simulated import SimulatedHypervisor
from pileus.drivers.netlink.simulated import SimulatedLinks
from pileus.drivers.ovsdb.edit import Edit
from pileus.drivers.ovsdb.simulated import SimulatedSwitch
from pileus.drivers.qemu_img.simulated import SimulatedImages
from pileus.host.agent import AgentSettings
from pileus.host.hypervisor.agent import HypervisorAgent
from pileus.host.hypervisor.images import ImageCache
from pileus.host.hypervisor.settings import NodeSettings
from pileus.wire.hypervisor import ServerDetails, ServerPort

from .compute_server import HOST, ComputeServer


def server_id(number: int) -> str:
    return str(uuid.UUID(int=number))


def port(number: int) -> ServerPort:
    return ServerPort(f"{number:08x}-1111-4000-8000-000000000000", f"fa:16:3e:00:00:{number:02x}", 1450)


def details(number: int, **values: Any) -> ServerDetails:
    """A server with one port and no image."""
    return replace(
        ServerDetails(
            server_id=server_id(number),
            name=f"server-{number}",
            generation=1,
            wanted="running",
            vcpus=1,
            memory_mib=64,
            root_gib=1,
            image=None,
            ports=(port(number),),
            config_drive={"openstack/latest/meta_data.json": b"{}"},
        ),
        **values,
    )


class Bench:
    """``start`` and ``kill`` the agent; everything else stays."""

    def __init__(self, folder: Path, server: Any = None, *, host: str = HOST, **node: Any) -> None:
        self.folder = folder
        self.host = host
        self.server: ComputeServer = server or ComputeServer()
        self.switch = SimulatedSwitch()
        self.links = SimulatedLinks(self.switch)
        self.hypervisor = SimulatedHypervisor(folder / "domains.json")
        self.images = SimulatedImages()
        values: dict[str, Any] = {
            "instances": folder / "instances",
            "durable": False,
            "shutdown_timeout_s": 1.0,
        }
        self.node = NodeSettings(**(values | node))
        self.client = self.switch.client()
        self.agent: HypervisorAgent | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._bridge()
        self.agent = HypervisorAgent(
            AgentSettings(host=self.host),
            self.node,
            self.server,
            SystemClock(),
            self.hypervisor,
            self.images,
            ImageCache(self.folder / "images", self.images, keep_s=self.node.image_keep_s),
            self.links,
            self.client,
            memory_used=lambda: 1000,
        )
        self._task = asyncio.create_task(self.agent.run())

    async def _bridge(self) -> None:
        if not self.client.connected:
            await self.client.connect()
            edit = Edit(self.client)
            edit.ensure_bridge("br-int", datapath_type="netdev")
            await edit.commit()

    async def kill(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def close(self) -> None:
        await self.kill()
        await self.client.close()
        await self.switch.close()

    @property
    def running(self) -> HypervisorAgent:
        assert self.agent is not None
        return self.agent

    async def settled(self, timeout_s: float = PATIENCE_S) -> None:
        """Until nothing is under way: no job, no pass, no news."""
        agent = self.running
        async with asyncio.timeout(timeout_s):
            while True:
                await agent.in_sync.wait()
                await agent.reconciler.settled()
                await agent.outbox.sent()
                await asyncio.sleep(0.01)
                if agent.jobs.is_idle:
                    return

    async def until(self, condition: Callable[[], Any], timeout_s: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"it did not come to that: {self.server.states}"
            await asyncio.sleep(0.005)

    async def full_pass(self) -> int:
        """A pass that takes nothing for granted, to its end; what it changed."""
        agent = self.running
        before = agent.metrics.full_passes
        agent.reconciler.wake(reread=True, inspect=True)
        await self.until(lambda: agent.metrics.full_passes > before)
        changes = agent.metrics.changes_of_last_full_pass
        await self.settled()
        return changes

    async def powers(self) -> dict[str, Power]:
        return {state.uuid: state.power for state in await self.hypervisor.list_domains()}

    def plugged(self) -> set[str]:
        rows = self.client.by_name("Interface").values()
        return {row["external_ids"]["iface-id"] for row in rows if "iface-id" in row["external_ids"]}

    async def taps(self) -> set[str]:
        return {name for name in await self.links.links() if name.startswith("tap")}

    def folders(self) -> set[str]:
        return {path.name for path in self.node.instances.iterdir() if path.is_dir()}
