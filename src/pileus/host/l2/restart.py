"""While vswitchd is away: it is told to keep what the kernel forwards until its flows are back.

A vswitchd that starts without flows throws away what the kernel's datapath knows, and drops everything until
the agent has written its flows. With ``other_config:flow-restore-wait`` (ovs-vswitchd.conf.db(5)) it leaves
the datapath alone until that is cleared. The database outlives vswitchd, so the agent sets it there as soon
as vswitchd ends, and clears it after the pass that has brought the flows back. What says that it was this
agent is set beside it: nobody else's is cleared. It never stays: a pass, the next start of an agent, or
``HOLD_FOR_S`` end it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pileus.core import log
from pileus.drivers.openflow.table import FlowTable
from pileus.drivers.ovsdb.client import OvsdbClient, TransactionFailed
from pileus.drivers.ovsdb.edit import Edit, UnknownRow
from pileus.drivers.ovsdb.jsonrpc import ConnectionLost

_log = log.get("host.l2")

WAIT_KEY = "flow-restore-wait"
HELD_KEY = "pileus-flow-restore"
HOLD_FOR_S = 30.0
_ABSENT_PAUSE_S = 0.1


class RestartHold:
    """Sets and clears the request in the switch's database."""

    def __init__(self, client: OvsdbClient, hold_for_s: float = HOLD_FOR_S) -> None:
        self._client = client
        self._hold_for_s = hold_for_s
        self._since: float | None = None
        self._ended: str | None = None

    @property
    def is_held(self) -> bool:
        """Whether the database says that vswitchd is to wait for this agent."""
        rows = self._client.tables.get("Open_vSwitch", {}).values()
        return any(HELD_KEY in row["external_ids"] for row in rows)

    async def watch(
        self, flows: FlowTable, bridge: str, written: Callable[[], str | None], came: Callable[[], None]
    ) -> None:
        """Call ``came`` for each vswitchd, and begin as soon as it has ended: flows die with it, and the
        database says nothing of it. ``written`` is the incarnation that a pass has last seen: it may have
        come and gone between two looks."""
        known: str | None = None
        held: str | None = None
        while True:
            incarnation = flows.incarnation(bridge)
            if incarnation is not None and incarnation != known:
                known = incarnation
                came()
            # A socket may be left behind by the one that died: then this returns at once.
            if incarnation is not None:
                await flows.until_gone(bridge)
            ended = incarnation or written()
            is_news = incarnation is not None or ended != held
            if ended is not None and is_news and flows.incarnation(bridge) in (None, ended):
                held = ended if await self.begin(bridge, ended) else None
            await asyncio.sleep(_ABSENT_PAUSE_S)

    async def begin(self, bridge: str, ended: str) -> bool:
        """Let vswitchd wait when it comes back, if its bridge is still to be; whether it will. ``ended`` is
        the incarnation that has gone."""
        if not self._client.connected or bridge not in self._client.by_name("Bridge"):
            return False
        rows = self._client.tables.get("Open_vSwitch", {}).values()
        if any(row["other_config"].get(WAIT_KEY) == "true" for row in rows):
            return True  # this agent's, or somebody else's (ovs-ctl does it, too), who will clear it
        self._since = asyncio.get_running_loop().time()
        self._ended = ended
        return await self._write({WAIT_KEY: "true"}, {HELD_KEY: "l2"})

    async def end(self, incarnation: str | None) -> None:
        """Clear the request: the flows are back in this incarnation. A pass that had nothing to write, and
        saw only what the ended one left behind, clears nothing."""
        if incarnation is not None and incarnation != self._ended:
            await self._clear()

    async def check(self) -> None:
        """Clear what has been held for too long, by this agent or by one before it."""
        if not (self._client.connected and self.is_held):
            self._since = None
            return
        now = asyncio.get_running_loop().time()
        if self._since is None:
            self._since = now
        elif now - self._since > self._hold_for_s:
            _log.warning("the switch waits no longer for its flows", seconds=self._hold_for_s)
            await self._clear()

    async def _clear(self) -> None:
        self._since = None
        if self._client.connected and self.is_held:
            await self._write({WAIT_KEY: None}, {HELD_KEY: None})

    async def _write(self, other_config: dict[str, Any], external_ids: dict[str, Any]) -> bool:
        edit = Edit(self._client)
        try:
            edit.set_switch({"other_config": other_config, "external_ids": external_ids})
            await edit.commit()
        except (ConnectionLost, TimeoutError, TransactionFailed, UnknownRow) as error:
            _log.warning("the switch can't be told to wait for its flows", why=str(error))
            return False
        return True
