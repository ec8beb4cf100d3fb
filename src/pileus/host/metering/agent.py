"""The metering agent (``neutron-metering-agent``): tells the server what metering labels have counted.

The L3 agent and the switch agent (of floating IPs that hosts translate) make the counters, this one reads
them, again and again. It keeps nothing: counters stand as long as the router's namespace or the switch, and
the server knows what it was told last.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from pileus.core import log
from pileus.core.clock import Clock
from pileus.core.errors import Fault
from pileus.core.recurring import Trouble
from pileus.flow.reconcile import Work
from pileus.host.agent import Agent, AgentSettings, Server
from pileus.wire.calls import METERING_REPORT
from pileus.wire.metering import MeteringCount, MeteringReport

_log = log.get("host.metering")
INTERVAL_S = 30.0

Counters = Callable[[], Awaitable[list[MeteringCount]]]


class MeteringAgent(Agent):
    """Reports the counters of the routers that are here, from wherever ``counters`` read them."""

    binary = "neutron-metering-agent"
    agent_type = "Metering agent"
    topic = "metering_agent"

    def __init__(
        self,
        settings: AgentSettings,
        server: Server,
        clock: Clock,
        *counters: Counters,
        interval_s: float = INTERVAL_S,
    ) -> None:
        super().__init__(settings, server, clock)
        self._counters = counters
        self._interval_s = interval_s
        self._labels = 0
        self._trouble = Trouble(_log, "counters were not told", agent=self.binary)

    async def prepare(self) -> None:
        """There is nothing to connect to."""

    async def release(self) -> None:
        """There is nothing to let go."""

    async def watch(self) -> None:
        """Wake the loop for the next reading."""
        while True:
            await asyncio.sleep(self._interval_s)
            self.reconciler.wake()

    def configurations(self) -> dict[str, Any]:
        return {
            "measure_interval": self._interval_s,
            "report_interval": self._interval_s,
            "metering_driver": "nftables",
            "labels": self._labels,
        }

    def scopes(self) -> frozenset[str]:
        return frozenset()

    def position(self) -> int:
        return sys.maxsize  # nothing of what the server knows is kept here

    def unread(self, scopes: Iterable[str], position: int) -> set[str]:
        return set()

    async def reconcile(self, work: Work) -> int:
        """Read and tell; it changes nothing."""
        counters = [one for read in self._counters for one in await read()]
        self._labels = len({one.label_id for one in counters})
        if counters:
            try:
                await self.call(METERING_REPORT, MeteringReport(self.host, tuple(counters)))
            except Fault as fault:
                self._trouble.fault(fault)
                raise
            self._trouble.over()
        return 0
