"""Simulated BFD: next hops answer, but for those that are said to be ``silent``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from pileus.drivers.bfd.spec import BfdFailed, WatchedRouter


class SimulatedBfd:
    """``BfdRouters`` without packets. ``faults``: routers that can't be, with the reason."""

    def __init__(self) -> None:
        self.routers: dict[str, WatchedRouter] = {}
        self.silent: set[str] = set()
        self.faults: dict[str, str] = {}

    async def apply(self, routers: Sequence[WatchedRouter]) -> int:
        """See BfdRouters."""
        changes = 0
        for router in routers:
            if router.router_id not in self.faults and self.routers.get(router.router_id) != router:
                self.routers[router.router_id] = router
                changes += 1
        failed = {
            one.router_id: self.faults[one.router_id] for one in routers if one.router_id in self.faults
        }
        if failed:
            raise BfdFailed(failed)
        return changes

    async def remove(self, router_ids: Collection[str]) -> None:
        """See BfdRouters."""
        for router_id in router_ids:
            self.routers.pop(router_id, None)

    async def known(self) -> set[str]:
        """See BfdRouters."""
        return set(self.routers)

    async def running(self) -> set[str]:
        """See BfdRouters."""
        return set(self.routers)

    async def down(self, routers: Iterable[WatchedRouter]) -> dict[str, set[str]]:
        """See BfdRouters."""
        return {
            router.router_id: {hop.address for hop in router.hops} & self.silent
            for router in routers
            if router.router_id in self.routers
        }
