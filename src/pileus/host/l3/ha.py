"""Routers of high availability on one host: keepalived is told, and what it says is followed.

What serves guests beside forwarding their packets (router advertisements, the metadata service) does so on
the active host alone; which that is, is learnt from the kernel when keepalived says that something changed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from pileus.drivers.keepalived.spec import ACTIVE, KeepalivedFailed, State, VirtualRouter, VirtualRouters


class HaBook:
    """The virtual routers of an agent, and the last state that was seen of each."""

    def __init__(self, driver: VirtualRouters | None) -> None:
        self._driver = driver
        self._routers: dict[str, VirtualRouter] = {}
        self._states: dict[str, State] = {}
        self._stale: set[str] = set()
        self._doubted: set[str] = set()
        self._searched = False

    @property
    def can_be(self) -> bool:
        """Whether this node can hold routers ready."""
        return self._driver is not None

    def is_active(self, router_id: str) -> bool:
        """Whether this host is the active one, as far as it is known."""
        return self._states.get(router_id) == ACTIVE

    def states(self, router_ids: Iterable[str]) -> dict[str, str]:
        """The states of those of the routers that are of high availability."""
        return {one: self._states[one] for one in router_ids if one in self._states}

    async def enforce(self, routers: Mapping[str, VirtualRouter]) -> tuple[int, dict[str, str]]:
        """Bring these into force; how many changes, and failures by id."""
        if not routers:
            return 0, {}
        if self._driver is None:
            return 0, dict.fromkeys(routers, "keepalived is not installed on this node")
        failed: dict[str, str] = {}
        changes = 1
        try:
            changes = await self._driver.apply(list(routers.values()))
        except KeepalivedFailed as failure:
            failed = failure.reasons
        self._routers |= {key: router for key, router in routers.items() if key not in failed}
        await self._look(routers.keys() - failed.keys())
        return changes, failed

    async def leave(self, router_ids: Collection[str], *, search: bool = True) -> int:
        """End those that run and are none of these; how many. Without ``search`` those that are known."""
        if self._driver is None:
            return 0
        known = await self._driver.known() if search or not self._searched else set(self._routers)
        self._searched = True
        gone = known - set(router_ids)
        if gone:
            await self._driver.remove(gone)
        for key in gone:
            self._routers.pop(key, None)
            self._states.pop(key, None)
        return len(gone)

    async def changed(self) -> None:
        """Wait until one may have changed, or ended."""
        if self._driver is not None:
            self._stale |= await self._driver.changed()

    def doubt(self, keys: Iterable[str]) -> None:
        """Plan these anew: they were planned for another state."""
        self._doubted.update(keys)

    async def refreshed(self) -> set[str]:
        """Look at those that may have changed; which are otherwise than they were known, or ended."""
        stale, self._stale = self._stale & self._routers.keys(), set()
        doubted, self._doubted = self._doubted, set()
        if not stale or self._driver is None:
            return doubted
        return doubted | await self._look(stale) | (stale - await self._driver.running())

    async def ended(self) -> set[str]:
        """Those that should run and do not."""
        if self._driver is None or not self._routers:
            return set()
        return set(self._routers) - await self._driver.running()

    async def _look(self, keys: Collection[str]) -> set[str]:
        if self._driver is None or not keys:
            return set()
        seen = await self._driver.states([self._routers[key] for key in sorted(keys)])
        differing = {key for key, state in seen.items() if self._states.get(key) != state}
        self._states |= seen
        return differing

    def close(self) -> None:
        """Listen no more; what runs goes on."""
        if self._driver is not None:
            self._driver.close()
