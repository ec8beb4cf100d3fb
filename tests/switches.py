"""A host with a switch, real or simulated, for suites that ask both the same questions."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pileus.drivers.netlink.links import Links
from pileus.drivers.netlink.linux import LinuxLinks
from pileus.drivers.netlink.simulated import SimulatedLinks
from pileus.drivers.openflow.simulated import SimulatedFlows
from pileus.drivers.openflow.table import FlowTable, OpenFlow
from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.drivers.ovsdb.daemons import SwitchDaemons, missing_programs
from pileus.drivers.ovsdb.simulated import SimulatedSwitch
from tests.waiting import PATIENCE_S

_numbers = itertools.count(1)


def why_not_real() -> str | None:
    """Why no real switch can be run here, in words for a skipped test."""
    if os.geteuid() != 0:
        return "needs root: namespaces and ovs-vswitchd"
    if missing := missing_programs():
        return f"Open vSwitch is not installed: {', '.join(missing)}"
    if not Path("/dev/net/tun").exists():
        return "the machine has no /dev/net/tun, which the userspace datapath needs"
    return None


class Host:
    """One host's switch, flows and links, and a loop on which its clients live."""

    flows: FlowTable
    links: Links
    socket: Path
    is_real: bool

    def __init__(self, runner: asyncio.Runner, folder: Path) -> None:
        self.run = runner.run
        self.folder = folder
        self.clients: list[OvsdbClient] = []

    async def client(self, **options: Any) -> OvsdbClient:
        """A connected client, closed at the end."""
        client = OvsdbClient(f"unix:{self.socket}", retry_s=0.02, **options)
        self.clients.append(client)
        await client.connect(5)
        return client

    async def start(self) -> None: ...

    async def stop(self) -> None:
        for client in self.clients:
            await client.close()
        await self.flows.close()

    def another(self) -> FlowTable:
        """Somebody else who writes flows."""
        raise NotImplementedError

    async def restart_database(self) -> None: ...

    async def kill_vswitchd(self) -> None: ...

    async def start_vswitchd(self) -> None: ...


class RealHost(Host):
    is_real = True

    def __init__(self, runner: asyncio.Runner, folder: Path) -> None:
        super().__init__(runner, folder)
        self.namespace = f"plt-{os.getpid()}-{next(_numbers)}"
        self.daemons = SwitchDaemons(folder, namespace=self.namespace)
        self.links = LinuxLinks(self.namespace)
        self.flows = OpenFlow(folder)
        self.socket = folder / "db.sock"

    def another(self) -> FlowTable:
        return OpenFlow(self.folder)

    async def start(self) -> None:
        await self.links.ensure_namespaces([self.namespace])
        await self.daemons.start()

    async def stop(self) -> None:
        await super().stop()
        await self.daemons.stop()
        await self.links.delete_namespaces([self.namespace])

    async def restart_database(self) -> None:
        await self.daemons.stop_database(kill=True)
        await self.daemons.start_database()

    async def kill_vswitchd(self) -> None:
        await self.daemons.stop_vswitchd(kill=True)

    async def start_vswitchd(self) -> None:
        await self.daemons.start_vswitchd()


class SimulatedHost(Host):
    is_real = False

    def __init__(self, runner: asyncio.Runner, folder: Path) -> None:
        super().__init__(runner, folder)
        self.switch: SimulatedSwitch
        self.socket = folder / "db.sock"

    async def start(self) -> None:
        self.switch = SimulatedSwitch(devices=set())
        self.flows = SimulatedFlows(self.switch)
        self.links = SimulatedLinks(self.switch)
        await self.switch.listen(self.socket)

    def another(self) -> FlowTable:
        return SimulatedFlows(self.switch)

    async def stop(self) -> None:
        await super().stop()
        await self.switch.close()

    async def restart_database(self) -> None:
        self.switch.disconnect()

    async def kill_vswitchd(self) -> None:
        self.switch.stop_vswitchd()

    async def start_vswitchd(self) -> None:
        self.switch.start_vswitchd()


@contextmanager
def running_host(kind: Callable[[asyncio.Runner, Path], Host]) -> Iterator[Host]:
    """A host that is started, and stopped with all that it made."""
    # A Unix socket's path must be short: pytest's own folders are not.
    folder = Path(tempfile.mkdtemp(prefix="plt-"))
    try:
        with asyncio.Runner() as runner:
            host = kind(runner, folder)
            try:
                runner.run(host.start())
                yield host
            finally:
                runner.run(host.stop())
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def eventually(condition: Callable[[], Awaitable[bool]], within_s: float = PATIENCE_S) -> None:
    """Wait for a condition of the outside world, which tells nobody."""
    async with asyncio.timeout(within_s):
        while not await condition():
            await asyncio.sleep(0.02)
