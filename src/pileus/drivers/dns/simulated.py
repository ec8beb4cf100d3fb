"""A server of names that is not there: the twin of dynamic updates."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pileus.core.dns import DnsRecord, DnsUnreachable


class SimulatedDns:
    """Holds the ``records`` of its ``zones``. ``is_dead``: it gives no answer."""

    def __init__(self, zones: Collection[str] = ("",)) -> None:
        self.zones = tuple(zones)
        self.records: set[DnsRecord] = set()
        self.is_dead = False
        self.changes = 0

    async def change(
        self, add: Collection[DnsRecord], remove: Collection[DnsRecord]
    ) -> Mapping[DnsRecord, str]:
        if self.is_dead:
            raise DnsUnreachable("192.0.2.53:53 gives no answer: it is dead")
        self.changes += 1
        refused = {
            one: f"the server has no zone for {one.name}"
            for one in (*add, *remove)
            if not any(one.name.endswith(f".{zone}") or not zone for zone in self.zones)
        }
        self.records -= set(remove)
        self.records |= set(add) - refused.keys()
        return refused
