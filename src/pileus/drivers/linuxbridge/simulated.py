"""Bridges in memory, over the links of a simulated host: they carry nothing; refusals are the kernel's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from pileus.drivers.linuxbridge.bridges import LABEL, Change, Device, Entry, Seen, Vlan
from pileus.drivers.netlink.links import Link

_FIRST_INDEX = 100_000
replace = msgspec.structs.replace


class SimulatedBridges:
    """``links`` tells the other interfaces of the host (``Links.links``), whatever is done here."""

    def __init__(self, links: Callable[[], Awaitable[dict[str, Link]]]) -> None:
        self._links = links
        self._made: dict[str, Device] = {}
        self._masters: dict[str, str] = {}
        self._entries: dict[str, set[Entry]] = {}
        self._number = _FIRST_INDEX

    async def read(self) -> Seen:
        """See Bridges."""
        devices = await self._devices()
        entries = {name: frozenset(some) for name, some in self._entries.items()}
        return Seen(devices, entries)

    async def apply(self, change: Change) -> dict[str, str]:
        """See Bridges."""
        failed: dict[str, str] = {}
        for name in change.removed:
            self._remove(name)
        devices = await self._devices()
        for wanted in change.made:
            if isinstance(wanted, Vlan) and wanted.link not in devices:
                failed[wanted.name] = f"{wanted.link}: no such interface"
                continue
            self._number += 1
            old = self._made.get(wanted.name)
            index = old.index if old is not None else self._number
            self._made[wanted.name] = Device(wanted.name, index, LABEL, None, up=True, made=wanted)
        devices = await self._devices()
        for name, master in change.masters:
            missing = next((one for one in (name, master) if one is not None and one not in devices), None)
            if missing is not None:
                failed[name] = f"{missing}: no such interface"
            elif master is None:
                self._masters.pop(name, None)
            else:
                self._masters[name] = master
        for device, entry in change.dropped:
            self._entries.get(device, set()).discard(entry)
        for device, entry in change.added:
            if device not in self._made:
                failed[device] = f"{device}: no such interface"
            else:
                self._entries.setdefault(device, set()).add(entry)
        return failed

    async def _devices(self) -> dict[str, Device]:
        found = {
            name: Device(name, link.index, link.label, None, link.up, link.mtu, link.addresses)
            for name, link in (await self._links()).items()
        } | self._made
        gone = [name for name, master in self._masters.items() if not {name, master} <= found.keys()]
        for name in gone:
            del self._masters[name]
        return {name: replace(one, master=self._masters.get(name)) for name, one in found.items()}

    def _remove(self, name: str) -> None:
        self._made.pop(name, None)
        self._entries.pop(name, None)
        self._masters.pop(name, None)
