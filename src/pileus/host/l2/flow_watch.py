"""Hears from the switch when somebody else changes our flows, so that they are repaired at once.

The switch tells of each change that did not come by the agent's own connection, by the cookie of its flow.
What a flow of ours has learnt is passed over. Where others change flows of their own, ours are counted: one
of theirs may have taken the place of one of ours. However many changes there are, few looks come of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from pileus.core import log
from pileus.drivers.openflow.table import FlowTable, SwitchAbsent, SwitchRefused
from pileus.host.l2 import tables as t

_log = log.get("host.l2")

_CALM_S = 0.3
"""Between two looks at flows that somebody changes again and again."""
_LONGEST_CALM_S = 10.0
_ABSENT_PAUSE_S = 0.5


class FlowWatch:
    """``lacks`` counts whether flows are missing; ``repair`` is told the bridge whose flows are not as they
    were."""

    def __init__(
        self, flows: FlowTable, lacks: Callable[[], Awaitable[bool]], repair: Callable[[str], None]
    ) -> None:
        self._flows = flows
        self._lacks = lacks
        self._repair = repair

    async def watch(self, bridges: Iterable[str]) -> None:
        """Listen to these bridges for ever."""
        await asyncio.gather(*(self._watch(bridge) for bridge in bridges))

    async def _watch(self, bridge: str) -> None:
        while True:
            try:
                await self._listen(bridge)
            except SwitchRefused as error:
                _log.info("the switch tells of no changes: its flows are counted", why=str(error))
                await asyncio.Event().wait()
            except (SwitchAbsent, TimeoutError):
                pass  # its return is noticed elsewhere
            await asyncio.sleep(_ABSENT_PAUSE_S)

    async def _listen(self, bridge: str) -> None:
        calm = _CALM_S
        heard_at = float("-inf")
        loop = asyncio.get_running_loop()
        async for cookies in self._flows.changes(bridge):
            if not await self._is_ours(cookies):
                await asyncio.sleep(_CALM_S)
                continue
            # Somebody who does it again and again is not followed at any price.
            calm = min(2 * calm, _LONGEST_CALM_S) if loop.time() - heard_at < 2 * calm else _CALM_S
            self._repair(bridge)
            await asyncio.sleep(calm)
            heard_at = loop.time()

    async def _is_ours(self, cookies: frozenset[int] | None) -> bool:
        if cookies is None or cookies & t.COOKIES:
            return True
        if not cookies - {t.LEARNT_COOKIE}:
            return False
        try:
            return await self._lacks()
        except (SwitchAbsent, SwitchRefused, TimeoutError):
            return False  # noticed elsewhere
