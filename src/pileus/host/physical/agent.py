"""The agent of physical switches (``neutron-l2gateway-agent``): binds networks to their ports from afar.

A pass tells the server which switches there are, with their ports, asks what they should carry, brings each
of them to that, and tells which machines they have seen. One that fails keeps none of the others waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from pileus.core import log
from pileus.core.clock import Clock
from pileus.drivers.physical.switch import Facts, PhysicalSwitch, SwitchFailed
from pileus.flow.reconcile import Work
from pileus.host.agent import Agent, AgentSettings, Server
from pileus.host.asking import RetryTimer
from pileus.host.physical.plan import plan
from pileus.wire import physical as wire
from pileus.wire import scopes
from pileus.wire.calls import PHYSICAL_STATE, PHYSICAL_STATUS

_log = log.get("host.physical")
_RETRY_S = 10.0


class PhysicalSwitchAgent(Agent):
    """Drives the switches that are handed in."""

    binary = "neutron-l2gateway-agent"
    agent_type = "L2 Gateway agent"
    topic = "l2gateway_agent"

    def __init__(
        self, settings: AgentSettings, server: Server, clock: Clock, switches: Sequence[PhysicalSwitch]
    ) -> None:
        super().__init__(settings, server, clock)
        self._switches = {one.name: one for one in switches}
        self._facts: dict[str, Facts] = {}
        self._failed: dict[str, str] = {}
        self._told: wire.PhysicalStatus | None = None
        self._networks: frozenset[str] = frozenset()
        self._read_at = 0
        self._retry = RetryTimer(self.reconciler)

    async def prepare(self) -> None:
        """Passes connect to the switches."""

    async def release(self) -> None:
        self._retry.cancel()
        for switch in self._switches.values():
            await switch.close()

    async def watch(self) -> None:
        """Wake the loop for what the switches see."""
        await asyncio.gather(*(self._watch(switch) for switch in self._switches.values()))

    async def _watch(self, switch: PhysicalSwitch) -> None:
        while True:
            await switch.changed.wait()
            switch.changed.clear()
            self.reconciler.wake()

    def configurations(self) -> dict[str, Any]:
        return {
            "switches": {
                name: {"kind": switch.kind, "failed": self._failed.get(name)}
                for name, switch in sorted(self._switches.items())
            },
            "networks": len(self._networks),
        }

    def scopes(self) -> frozenset[str]:
        return frozenset(
            {
                scopes.tunnels(),
                scopes.physical(self.host),
                *(scopes.network(network_id) for network_id in self._networks),
            }
        )

    def position(self) -> int:
        return self._read_at

    def unread(self, scopes: Iterable[str], position: int) -> set[str]:
        return set(scopes) if self._read_at < position else set()

    async def reconcile(self, work: Work) -> int:
        """One pass over all switches; everything is asked for, since it is little."""
        self._failed = {}
        for name, switch in self._switches.items():
            try:
                self._facts[name] = await switch.facts()
            except SwitchFailed as error:
                self._failed[name] = str(error)
        state = await self.call(PHYSICAL_STATE, self._request())
        for name in state.refused:
            self._failed[name] = "another node drives this switch"
        changes = 0
        learned: dict[str, tuple[wire.LearnedAddress, ...]] = {}
        for name in sorted(self._facts.keys() - self._failed.keys()):
            try:
                changed, learned[name] = await self._bring(self._switches[name], state, work)
                changes += changed
            except SwitchFailed as error:
                self._failed[name] = str(error)
        self._networks = frozenset(one.network_id for one in state.networks)
        self._read_at = state.position
        self.scopes_changed()
        await self._tell(learned)
        self._retry.set(_RETRY_S if self._failed else None)
        return changes

    def _request(self) -> wire.PhysicalStateRequest:
        return wire.PhysicalStateRequest(
            self.host,
            tuple(
                wire.PhysicalSwitch(
                    name=name, kind=self._switches[name].kind, ports=facts.ports, tunnel_ip=facts.tunnel_ip
                )
                for name, facts in sorted(self._facts.items())
            ),
        )

    async def _bring(
        self, switch: PhysicalSwitch, state: wire.PhysicalState, work: Work
    ) -> tuple[int, tuple[wire.LearnedAddress, ...]]:
        wanted, unable = plan(state, switch.name, switch.kind)
        changes = await switch.bring(wanted, whole=work.inspect)
        if unable:
            self._failed[switch.name] = f"it can't carry the networks {', '.join(unable)}"
        seen = await switch.learned()
        return changes, tuple(
            wire.LearnedAddress(network_id, mac)
            for network_id in sorted(seen)
            for mac in sorted(seen[network_id])
        )

    async def _tell(self, learned: dict[str, tuple[wire.LearnedAddress, ...]]) -> None:
        status = wire.PhysicalStatus(self.host, learned, dict(self._failed))
        if status == self._told:
            return
        before = self._told.failed if self._told is not None else {}
        for name, why in self._failed.items():
            if before.get(name) != why:
                _log.error("a physical switch is not as it should be", switch=name, why=why)
        await self.call(PHYSICAL_STATUS, status)
        self._told = status
