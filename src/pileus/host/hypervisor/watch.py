"""Watch a host for changes of its own: machines that start, stop or crash, ports that leave the switch."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable

from pileus.drivers.libvirt.hypervisor import Change, Event, Hypervisor
from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.flow.reconcile import Reconciler
from pileus.host.hypervisor.desired import Desired
from pileus.host.hypervisor.jobs import Jobs
from pileus.host.hypervisor.machine import tap_name
from pileus.host.hypervisor.observed import Observed
from pileus.host.hypervisor.records import InstanceBook
from pileus.host.hypervisor.taps import Taps
from pileus.host.switch import SwitchUnreachable

_SWITCH_PAUSE_S = 0.5
_MIGRATED = "migrated"
_DIED = frozenset(("crashed", "failed"))


class HostWatch:
    """Has machines looked at when something happened to them; ``client`` is of the host's switch.
    ``stopped`` is told of guests that go on elsewhere, ``arrived`` of those that go on here."""

    def __init__(
        self,
        reconciler: Reconciler,
        hypervisor: Hypervisor,
        client: OvsdbClient,
        taps: Taps,
        desired: Desired,
        observed: Observed,
        book: InstanceBook,
        jobs: Jobs,
        stopped: Callable[[str], None],
        arrived: Callable[[str], None],
    ) -> None:
        self._stopped = stopped
        self._arrived = arrived
        self._reconciler = reconciler
        self._hypervisor = hypervisor
        self._client = client
        self._taps = taps
        self._desired = desired
        self._observed = observed
        self._book = book
        self._jobs = jobs
        self._broken: set[str] = set()

    async def run(self) -> None:
        """Watch until cancelled."""
        await asyncio.gather(self._see_events(), self._see_switch())

    async def _see_events(self) -> None:
        while True:
            self._happened(await self._hypervisor.events.get())

    def _happened(self, event: Event) -> None:
        if event.detail == _MIGRATED and event.change is Change.PAUSED:
            self._stopped(event.uuid)
        elif event.detail == _MIGRATED and event.change is Change.RESUMED:
            self._arrived(event.uuid)
        match event.change:
            case Change.CONNECTED:
                self._reconciler.wake(inspect=True)
                self._reconciler.hurry()
            case Change.STOPPED | Change.CRASHED:
                if event.change is Change.CRASHED or event.detail in _DIED:
                    self._observed.died(event.uuid)
                self._jobs.touch(event.uuid)
            case Change.STARTED | Change.PAUSED | Change.RESUMED | Change.SUSPENDED | Change.UNDEFINED:
                self._jobs.touch(event.uuid)

    async def _see_switch(self) -> None:
        """A port of ours that somebody takes off the switch is put back."""
        generation = self._client.generation
        while True:
            await self._client.wait_until(functools.partial(self._switch_differs, generation))
            if self._client.generation != generation:
                generation = self._client.generation
                self._reconciler.wake(inspect=True)
                self._reconciler.hurry()
            broken = self._taps.broken()
            if broken - self._broken:
                self._reconciler.wake(inspect=True)
            self._broken = broken
            for server_id in self._unplugged():
                self._jobs.touch(server_id)
            await asyncio.sleep(_SWITCH_PAUSE_S)

    def _switch_differs(self, generation: int) -> bool:
        return (
            self._client.generation != generation
            or self._taps.broken() != self._broken
            or bool(self._unplugged())
        )

    def _unplugged(self) -> list[str]:
        """Servers that nobody works on, and of whose ports not all are on the switch."""
        try:
            plugged = self._taps.plugged()
        except SwitchUnreachable:
            return []
        return [
            key
            for key, server in self._desired.servers.items()
            if key not in self._jobs
            and key not in self._jobs.dirty
            and self._book.get(key) is not None
            and any(tap_name(port.port_id) not in plugged for port in server.ports)
        ]
