"""Default routes whose next hops are watched by BFD (``enable_default_route_bfd``).

The next hops that answer are in a table of routing that a rule leads to before the main one: so the namespace
needs no other plan, and where none answers all is as without BFD. That goes on while the agent is away; it
ends the translated connections of a next hop that fell silent, which would stay with it for ever.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pileus.drivers.bfd.spec import BfdFailed, BfdRouters, WatchedHop, WatchedRouter
from pileus.drivers.nft.connections import Listening
from pileus.host.l3 import gateways
from pileus.wire.l3 import RouterDetails

WATCH_INTERVAL_S = 1.0


def plan_bfd(router: RouterDetails, namespace: str) -> WatchedRouter | None:
    """Plan the next hops to be watched; None where there are none."""
    if not router.enable_default_route_bfd:
        return None
    hops = tuple(
        WatchedHop(
            hop.via,
            hop.device,
            gateways.source_address(port) if router.enable_snat and ":" not in hop.via else None,
            far=far,
        )
        for port, hop, far in gateways.next_hops(router)
    )
    if not hops:
        return None
    return WatchedRouter(
        router_id=router.router_id,
        namespace=namespace,
        table=gateways.WATCHED_TABLE,
        hops=hops,
        balanced=router.enable_default_route_ecmp,
    )


class BfdBook:
    """The routers of an agent whose next hops are watched."""

    def __init__(self, logger: Any, driver: BfdRouters | None) -> None:
        self._logger = logger
        self._driver = driver
        self._routers: dict[str, WatchedRouter] = {}
        self._down: dict[str, set[str]] = {}
        self._searched = False
        self._said = False

    @property
    def can_be(self) -> bool:
        """Whether this node can watch next hops."""
        return self._driver is not None

    async def enforce(self, wanted: Mapping[str, WatchedRouter | None]) -> tuple[int, dict[str, str]]:
        """Watch the next hops of these routers, or none; how many changes, and failures by id."""
        routers = [one for one in wanted.values() if one is not None]
        if self._driver is None:
            if routers and not self._said:
                self._said = True
                self._logger.warning("next hops are not watched: bird is not installed on this node")
            return 0, {}
        gone = {key for key, one in wanted.items() if one is None} & self._routers.keys()
        await self._remove(gone)
        failed: dict[str, str] = {}
        changes = len(gone)
        if routers:
            try:
                changes += await self._driver.apply(routers)
            except BfdFailed as failure:
                failed = failure.reasons
                changes += 1
        self._routers |= {one.router_id: one for one in routers if one.router_id not in failed}
        return changes, failed

    async def leave(self, wanted: Collection[str]) -> int:
        """Watch nothing for routers that are none of these; how many."""
        if self._driver is None:
            return 0
        known = set(self._routers) if self._searched else await self._driver.known()
        self._searched = True
        gone = known - set(wanted)
        await self._remove(gone)
        return len(gone)

    async def ended(self) -> set[str]:
        """Those whose next hops should be watched and are not."""
        if self._driver is None or not self._routers:
            return set()
        return set(self._routers) - await self._driver.running()

    async def fallen(self) -> dict[str | None, set[str | Listening]]:
        """The source addresses of connections by next hops that have fallen silent since this was last asked,
        while others answer; by namespace."""
        if self._driver is None or not self._routers:
            return {}
        before, self._down = self._down, await self._driver.down(self._routers.values())
        found: dict[str | None, set[str | Listening]] = {}
        for key, down in self._down.items():
            router = self._routers.get(key)
            if router is None or key not in before:
                continue
            new = down - before[key]
            sources = _sources(hop for hop in router.hops if hop.address in new)
            if new and sources and any(hop.address not in down for hop in router.hops if hop.source):
                self._logger.warning("next hops of a router are down", router=key, addresses=sorted(new))
                found[router.namespace] = sources
        return found

    async def _remove(self, gone: Collection[str]) -> None:
        if gone and self._driver is not None:
            await self._driver.remove(gone)
        for key in gone:
            self._routers.pop(key, None)
            self._down.pop(key, None)


def _sources(hops: Iterable[WatchedHop]) -> set[str | Listening]:
    return {hop.source for hop in hops if hop.source is not None}
