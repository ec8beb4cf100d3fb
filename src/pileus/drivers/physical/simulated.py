"""The twin of a physical switch: what it was brought to, in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pileus.drivers.physical.switch import Facts, SwitchFailed, Wanted


class SimulatedPhysicalSwitch:
    """``seen`` are the hardware addresses at its ports, by network; ``fault``: why it can't be reached."""

    def __init__(self, name: str, ports: Sequence[str], tunnel_ip: str | None = None) -> None:
        self.name = name
        self.kind = "vtep" if tunnel_ip is not None else "ssh"
        self.changed = asyncio.Event()
        self.wanted = Wanted()
        self.seen: dict[str, frozenset[str]] = {}
        self.fault: str | None = None
        self._facts = Facts(tuple(ports), tunnel_ip)

    async def facts(self) -> Facts:
        self._check()
        return self._facts

    async def bring(self, wanted: Wanted, *, whole: bool) -> int:
        self._check()
        missing = sorted({one.port for one in wanted.attachments} - set(self._facts.ports))
        if missing:
            raise SwitchFailed(f"{self.name} has no port {', '.join(missing)}")
        if self.kind == "ssh":
            numbers = {network.network_id: network.number for network in wanted.networks}
            for one in wanted.attachments:
                if one.vlan not in (0, numbers[one.network_id]):
                    vlan = numbers[one.network_id]
                    raise SwitchFailed(
                        f"{self.name} can't translate VLAN {vlan} to {one.vlan} on port {one.port}"
                    )
        before = self.wanted
        self.wanted = wanted
        changed = set(before.attachments) ^ set(wanted.attachments)
        return len(changed) + sum(one not in before.networks for one in wanted.networks)

    async def learned(self) -> dict[str, frozenset[str]]:
        self._check()
        there = {network.network_id for network in self.wanted.networks}
        return {network_id: macs for network_id, macs in self.seen.items() if network_id in there}

    async def close(self) -> None:
        """There is nothing to let go."""

    def _check(self) -> None:
        if self.fault is not None:
            raise SwitchFailed(self.fault)
