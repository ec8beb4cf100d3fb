"""The operation ``migrate``: a machine that runs goes to another host.

    moving   the other host makes room, and the hypervisors bring the machine over

An agent that was killed meanwhile begins anew: whatever had come to the other host went with the connection.
A machine that is no longer here has gone. Of one that stands still here, as it does between its end here and
its going on there, the other host is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import msgspec

from pileus.drivers.libvirt.daemon import qemu_owner
from pileus.drivers.libvirt.hypervisor import MEMORY, DomainStats, HypervisorFailed, Power
from pileus.flow.chain import Chain, Step
from pileus.host.hypervisor.hands import Hands
from pileus.host.hypervisor.passage import Identity, NoPassage, Way
from pileus.host.hypervisor.steps import GivenUp
from pileus.wire.hypervisor import Door, MigrationProgress, PendingOperation, ServerDetails

KIND = "migrate"
ABORT, FORCE = "abort", "force"
_LOOK_EVERY_S = 0.5
_LONGEST_LOG = 1 << 20
_CANCELLED = "The live migration was cancelled."


class _Departure:
    """A server that leaves, and what is said about it meanwhile."""

    def __init__(self, operation: PendingOperation) -> None:
        self.operation_id = operation.operation_id
        self.order = str(operation.arguments.get("order") or "")
        self.stopped = False
        self.news = asyncio.Event()


class Departures:
    """Servers that are leaving this host. ``tell`` takes how far one has come."""

    def __init__(self, identity: Identity, tell: Callable[[MigrationProgress], None]) -> None:
        self._identity = identity
        self._tell = tell
        self._leaving: dict[str, _Departure] = {}

    # -- what a job is told while it works

    def hear(self, servers: Mapping[str, ServerDetails]) -> None:
        """Take the orders of servers as they are wanted now; what is no longer asked for is aborted."""
        for server_id, departure in self._leaving.items():
            server = servers.get(server_id)
            named = {one.operation_id: one for one in server.operations} if server is not None else {}
            operation = named.get(departure.operation_id)
            order = ABORT if operation is None else str(operation.arguments.get("order") or "")
            if order and order != departure.order:
                departure.order = order
                departure.news.set()

    def stopped(self, server_id: str) -> None:
        """The guest of one is stopped, to go on at the other host."""
        if (departure := self._leaving.get(server_id)) is not None:
            departure.stopped = True
            departure.news.set()

    @contextlib.contextmanager
    def _departure(self, server: ServerDetails, operation: PendingOperation) -> Iterator[_Departure]:
        departure = self._leaving[server.server_id] = _Departure(operation)
        try:
            yield departure
        finally:
            del self._leaving[server.server_id]

    # -- the job

    async def leave(self, server: ServerDetails, operation: PendingOperation, hands: Hands) -> None:
        """Bring a machine to the other host. Raises GivenUp where it stays."""
        key = server.server_id
        stats = (await hands.hypervisor.stats([key])).get(key)
        if stats is None:
            return  # it has gone
        way = self._way(operation)
        try:
            if stats.power is not Power.RUNNING and await self._has_gone(way):
                return
            if stats.power is Power.PAUSED and server.wanted == "running":
                await hands.hypervisor.resume(key)
            elif stats.power not in (Power.RUNNING, Power.PAUSED):
                raise GivenUp("The machine is switched off.")
            with self._departure(server, operation) as departure:
                await self._carry(server, departure, way, stats, hands)
        except NoPassage as error:
            raise GivenUp(f"The other host does not take it: {error}") from error
        finally:
            await way.close()
            await hands.hypervisor.way_closed(operation.operation_id)

    def _way(self, operation: PendingOperation) -> Way:
        target = operation.arguments.get("target") or {}
        try:
            door = msgspec.convert(target, Door)
            context = self._identity.context(str(target.get("certificate") or ""), listens=False)
        except (msgspec.ValidationError, ValueError) as error:
            raise GivenUp(f"The other host can't be reached: {error}") from error
        return Way((door.address, door.port), context, door.folder)

    @staticmethod
    async def _has_gone(way: Way) -> bool:
        """Whether the machine runs at the other host already; one that says nothing has nothing of it."""
        try:
            return bool((await way.ask({"ask": "power"})).get("here"))
        except NoPassage:
            return False

    async def _carry(
        self, server: ServerDetails, departure: _Departure, way: Way, stats: DomainStats, hands: Hands
    ) -> None:
        key, places, hypervisor = server.server_id, hands.places(server.server_id), hands.hypervisor
        sizes = {disk.target: disk.capacity_bytes for disk in stats.disks}
        await way.ask({"ask": "prepare", "disks": sizes})
        for path in (places.config_drive, places.console, places.kernel, places.ramdisk):
            content = await asyncio.to_thread(_content, path)
            if content is not None:
                await way.ask({"ask": "file", "name": path.name, "size": len(content)}, content)
        channels = await hypervisor.way_out(departure.operation_id)
        before = {}
        if await hypervisor.stops_for_memory(key):
            before[MEMORY] = partial(self._stop, key, hands)
        await way.carry(channels, qemu_owner(), before)
        if departure.order == ABORT:
            raise GivenUp(_CANCELLED)
        moving = asyncio.create_task(
            hypervisor.migrate(key, departure.operation_id, places.folder, way.folder)
        )
        try:
            await self._watch(key, departure, moving, hands)
            await moving
        except asyncio.CancelledError:
            await way.close()
            with contextlib.suppress(HypervisorFailed):
                await hypervisor.abort_migration(key)
            await asyncio.gather(moving, return_exceptions=True)
            raise
        except HypervisorFailed as error:
            if departure.stopped and server.wanted == "running":
                with contextlib.suppress(HypervisorFailed):
                    await hypervisor.resume(key)  # the hypervisor leaves alone what was stopped by us
            raise GivenUp(_CANCELLED if departure.order == ABORT else error.reason) from error

    async def _stop(self, key: str, hands: Hands) -> None:
        """Have the guest stand still until it is on the other host."""
        await hands.hypervisor.force_migration(key)
        self.stopped(key)

    async def _watch(self, key: str, departure: _Departure, moving: asyncio.Task[None], hands: Hands) -> None:
        """Tell how far it is and pass orders on, until it has ended."""
        given = ""
        told = False
        while not moving.done():
            if departure.order != given:
                given = departure.order
                with contextlib.suppress(HypervisorFailed):
                    if given == ABORT:
                        await hands.hypervisor.abort_migration(key)
                    else:
                        await self._stop(key, hands)
            if departure.stopped and not told:
                told = True
                self._tell(MigrationProgress(departure.operation_id, switching=True))
            elif not told:
                with contextlib.suppress(HypervisorFailed):
                    stats = await hands.hypervisor.migration_stats(key)
                    if stats is not None:
                        values = msgspec.structs.asdict(stats)
                        self._tell(MigrationProgress(departure.operation_id, **values))
            departure.news.clear()
            if departure.order != given or (departure.stopped and not told):
                continue
            news = asyncio.create_task(departure.news.wait())
            await asyncio.wait([moving, news], timeout=_LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            news.cancel()


def _content(path: Path) -> bytes | None:
    """The end of a small file; None where there is none."""
    try:
        return path.read_bytes()[-_LONGEST_LOG:] if path.suffix == ".log" else path.read_bytes()
    except FileNotFoundError:
        return None


async def _move(server: ServerDetails, operation: PendingOperation, hands: Hands) -> None:
    await hands.departures.leave(server, operation, hands)


MIGRATE = Chain(KIND, (Step("moving", _move),))
