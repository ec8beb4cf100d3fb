"""Watches the lease files of this host's DHCP servers, and tells the server what became of each lease.

dnsmasq could run a program of ours at each change; it would run it as root, hand it what guests say of
themselves, and wait for it. Its file says the same: it is read when it has changed, and compared with what
was told last, which is kept beside it, so that no restart loses or repeats a change.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence

from pileus.core.clock import Clock
from pileus.drivers.dnsmasq.spec import DhcpServers, Lease
from pileus.host.dhcp.leases import compare, current
from pileus.host.isolation import reason
from pileus.wire.dhcp import LeaseChange

_AT_ONCE = 500
"""Changes in one report."""

Tell = Callable[[Sequence[LeaseChange]], Awaitable[None]]


class LeaseWatch:
    """``tell`` hands changes over; where it raises they are told at the next look."""

    def __init__(self, servers: DhcpServers, clock: Clock, tell: Tell) -> None:
        self._servers = servers
        self._clock = clock
        self._tell = tell
        self._stamps: dict[str, object] = {}
        self._ends: dict[str, float] = {}
        self.failed: dict[str, str] = {}
        """Networks whose leases could not be read at the last look, with the reason."""

    async def look(self, network_ids: Collection[str]) -> int:
        """Tell what changed in these networks; how much it was."""
        now = self._clock.now().timestamp()
        stamps = await self._servers.lease_stamps(network_ids)
        due = [
            network_id
            for network_id, stamp in sorted(stamps.items())
            if self._stamps.get(network_id) != stamp or self._ends.get(network_id, now + 1) <= now
        ]
        told = 0
        waiting: dict[str, tuple[dict[str, Lease], list[LeaseChange]]] = {}
        self.failed = {}
        for network_id in due:
            try:
                after = current(await self._servers.leases(network_id), now)
                before = {lease.address: lease for lease in await self._servers.told_leases(network_id)}
            except Exception as error:  # one file that can't be read keeps no other network waiting
                self.failed[network_id] = reason(error)
                continue
            waiting[network_id] = (after, compare(network_id, before, after))
        for several in _batches(waiting):
            changes = [change for network_id in several for change in waiting[network_id][1]]
            for start in range(0, len(changes), _AT_ONCE):
                await self._tell(changes[start : start + _AT_ONCE])
            for network_id in several:
                after, news = waiting[network_id]
                if news:
                    await self._servers.keep_told_leases(network_id, list(after.values()))
                self._stamps[network_id] = stamps[network_id]
                self._ends[network_id] = min(
                    (lease.expires for lease in after.values() if lease.expires), default=now + 1e12
                )
            told += len(changes)
        for gone in self._stamps.keys() - set(network_ids):
            del self._stamps[gone], self._ends[gone]
        return told


def _batches(waiting: dict[str, tuple[dict[str, Lease], list[LeaseChange]]]) -> list[list[str]]:
    """Networks whose changes are told together: one call for many that have few."""
    batches: list[list[str]] = []
    room = 0
    for network_id, (_, changes) in waiting.items():
        if room < len(changes) or not batches:
            batches.append([])
            room = _AT_ONCE
        batches[-1].append(network_id)
        room -= len(changes)
    return batches
