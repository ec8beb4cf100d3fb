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
from typing import Any

from pileus.core import log
from pileus.drivers.ovsdb.client import OvsdbClient, TransactionFailed
from pileus.drivers.ovsdb.edit import Edit, UnknownRow
from pileus.drivers.ovsdb.jsonrpc import ConnectionLost

_log = log.get("host.l2")

WAIT_KEY = "flow-restore-wait"
HELD_KEY = "pileus-flow-restore"
HOLD_FOR_S = 30.0


class RestartHold:
    """Sets and clears the request in the switch's database."""

    def __init__(self, client: OvsdbClient, hold_for_s: float = HOLD_FOR_S) -> None:
        self._client = client
        self._hold_for_s = hold_for_s
        self._since: float | None = None

    @property
    def is_held(self) -> bool:
        """Whether the database says that vswitchd is to wait for this agent."""
        rows = self._client.tables.get("Open_vSwitch", {}).values()
        return any(HELD_KEY in row["external_ids"] for row in rows)

    async def begin(self, bridge: str) -> None:
        """Vswitchd has ended: it shall wait when it comes back, if its bridge is still to be."""
        if not self._client.connected or bridge not in self._client.by_name("Bridge"):
            return
        rows = self._client.tables.get("Open_vSwitch", {}).values()
        if any(row["other_config"].get(WAIT_KEY) == "true" for row in rows):
            return  # somebody else's (ovs-ctl does it, too), who will clear it
        self._since = asyncio.get_running_loop().time()
        await self._write({WAIT_KEY: "true"}, {HELD_KEY: "l2"})

    async def end(self) -> None:
        """The flows are back."""
        self._since = None
        if self._client.connected and self.is_held:
            await self._write({WAIT_KEY: None}, {HELD_KEY: None})

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
            await self.end()

    async def _write(self, other_config: dict[str, Any], external_ids: dict[str, Any]) -> None:
        edit = Edit(self._client)
        try:
            edit.set_switch({"other_config": other_config, "external_ids": external_ids})
            await edit.commit()
        except (ConnectionLost, TimeoutError, TransactionFailed, UnknownRow) as error:
            _log.warning("the switch can't be told to wait for its flows", why=str(error))
