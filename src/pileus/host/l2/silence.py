"""Keeps what guests send from the machine's own network stack, where the switch is in user space.

In the kernel's datapath the switch takes a frame before the stack sees it, and there is nothing to do.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pileus.core import log
from pileus.drivers.nft.driver import FilterFailed, Namespace, PacketFilter
from pileus.drivers.nft.silence import FAMILY, TABLE, render
from pileus.host.isolation import by_halves, reason
from pileus.host.l2.view import SwitchView

_log = log.get("host.l2")

_READ_BY_PROGRAMS = frozenset(("", "system"))
"""Types of interfaces whose device is the kernel's, and heard by the kernel as well."""


def devices(view: SwitchView, integration_bridge: str) -> frozenset[str]:
    """The devices of ports on the integration bridge, whoever plugged them and whether they are wired."""
    return frozenset(
        port.interface.name
        for port in view.ports.values()
        if port.bridge == integration_bridge
        and "iface-id" in port.interface.external_ids
        and port.interface.type in _READ_BY_PROGRAMS
        and (port.interface.ofport or 0) >= 0
    )


class Silence:
    """Brings the table into force. ``namespace``: where the switch's devices are."""

    def __init__(self, packet_filter: PacketFilter, namespace: Namespace = None) -> None:
        self._filter = packet_filter
        self._namespace = namespace
        self._believed: frozenset[str] | None = None
        self._generation: int | None = None

    async def is_disturbed(self) -> bool:
        """Whether the rules of the namespace were changed since this brought them into force, by whomever."""
        if self._believed is None or self._generation is None:
            return False
        try:
            return await self._read_generation() != self._generation
        except FilterFailed:
            return False

    async def _read_generation(self) -> int | None:
        return (await self._filter.generations([self._namespace])).get(self._namespace)

    def forget(self) -> None:
        """Believe nothing of what is there."""
        self._believed = None

    async def bring(self, wanted: Collection[str]) -> int:
        """Silence exactly these devices; how much changed. A device that can't be is said in the log, and
        tried again when devices come or go and by full passes."""
        wanted = frozenset(wanted)
        if wanted == self._believed:
            return 0
        changes = 0
        silenced: set[str] = set()

        async def apply(some: Sequence[str]) -> None:
            nonlocal changes
            names = silenced | set(some)
            done = await self._filter.apply({self._namespace: [render(names)]})
            changes += sum(map(len, done.values()))
            silenced.update(some)

        failed = await by_halves(sorted(wanted), apply)
        for name, error in failed:
            _log.error("a device's frames are not kept from the machine", device=name, why=reason(error))
        if not wanted:
            changes += await self.end()
        self._believed = wanted
        try:
            self._generation = await self._read_generation()
        except FilterFailed:
            self._generation = None
        return changes

    async def end(self) -> int:
        """Take the table away; how many went."""
        self._believed = None
        key = (FAMILY, TABLE)
        try:
            present = key in (await self._filter.read([self._namespace]))[self._namespace]
            if present:
                await self._filter.remove({self._namespace: [key]})
        except FilterFailed as error:
            _log.error("the table of silenced devices stays", why=reason(error))
            return 0
        return int(present)
