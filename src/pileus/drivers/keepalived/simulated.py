"""Simulated virtual routers: hosts of one process elect the active one, and give it the addresses.

The addresses and routes are on the simulated links as keepalived would put them there, and the first who
comes is active until it goes. With a state file the election outlives the process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import msgspec

from pileus.core.files import write_atomically
from pileus.drivers.keepalived.spec import ACTIVE, STANDBY, State, VirtualRouter
from pileus.drivers.netlink.links import Address, Links, Route


class SimulatedVrrp:
    """The air between hosts. ``active``: the host that is, by group and number."""

    def __init__(self, state_file: Path | None = None) -> None:
        self._file = state_file
        self.active: dict[str, str] = {}
        self.members: dict[str, list[SimulatedKeepalived]] = {}
        if state_file is not None and state_file.exists():
            self.active = msgspec.json.decode(state_file.read_bytes(), type=dict[str, str])

    async def join(self, key: str, member: SimulatedKeepalived) -> None:
        members = self.members.setdefault(key, [])
        if member not in members:
            members.append(member)
        if key not in self.active:
            await self._elect(key)

    async def leave(self, key: str, member: SimulatedKeepalived) -> None:
        members = self.members.get(key, [])
        if member in members:
            members.remove(member)
        if self.active.get(key) == member.host:
            del self.active[key]
            await self._elect(key)

    async def _elect(self, key: str) -> None:
        members = self.members.get(key, [])
        if members:
            self.active[key] = members[0].host
            await members[0].take(key)
        if self._file is not None:
            write_atomically(self._file, msgspec.json.encode(self.active), durable=False)


class SimulatedKeepalived:
    """``VirtualRouters`` of one simulated host."""

    def __init__(self, host: str, vrrp: SimulatedVrrp, links: Links) -> None:
        self.host = host
        self._vrrp = vrrp
        self._links = links
        self._routers: dict[str, VirtualRouter] = {}
        self._heard: set[str] = set()
        self._news = asyncio.Event()

    async def apply(self, routers: Sequence[VirtualRouter]) -> int:
        """See VirtualRouters."""
        changes = 0
        for router in routers:
            before = self._routers.get(router.router_id)
            if before == router:
                continue
            changes += 1
            if before is not None and _key(before) != _key(router):
                await self._vrrp.leave(_key(before), self)
            self._routers[router.router_id] = router
            await self._vrrp.join(_key(router), self)
            if self._vrrp.active.get(_key(router)) == self.host:
                await self._put(router, before)
        return changes

    async def remove(self, router_ids: Collection[str]) -> None:
        """See VirtualRouters."""
        for router_id in router_ids:
            router = self._routers.pop(router_id, None)
            if router is not None:
                await self._vrrp.leave(_key(router), self)
                await self._drop(router)

    async def known(self) -> set[str]:
        """See VirtualRouters."""
        return set(self._routers)

    async def running(self) -> set[str]:
        """See VirtualRouters."""
        return set(self._routers)

    async def states(self, routers: Iterable[VirtualRouter]) -> dict[str, State]:
        """See VirtualRouters."""
        return {
            router.router_id: ACTIVE if self._vrrp.active.get(_key(router)) == self.host else STANDBY
            for router in routers
        }

    async def changed(self) -> set[str]:
        """See VirtualRouters."""
        await self._news.wait()
        self._news.clear()
        heard, self._heard = self._heard, set()
        return heard

    def close(self) -> None:
        """See VirtualRouters."""

    async def take(self, key: str) -> None:
        """Become active."""
        for router in self._routers.values():
            if _key(router) == key:
                await self._put(router, None)
                self._heard.add(router.router_id)
                self._news.set()

    async def _put(self, router: VirtualRouter, before: VirtualRouter | None) -> None:
        if before is not None:
            gone = [one for one in _addresses(before) if one not in _addresses(router)]
            await self._links.delete_routes([one for one in _routes(before) if one not in _routes(router)])
            await self._links.delete_addresses(gone)
        await self._links.ensure_addresses(_addresses(router))
        await self._links.ensure_routes(_routes(router))

    async def _drop(self, router: VirtualRouter) -> None:
        present = await self._links.namespaces(router.namespace)
        if router.namespace in present:
            await self._links.delete_routes(_routes(router))
            await self._links.delete_addresses(_addresses(router))


def _key(router: VirtualRouter) -> str:
    return f"{router.group} {router.vr_id}"


def _addresses(router: VirtualRouter) -> list[Address]:
    own = [Address(router.namespace, router.interface, router.marker)]
    return own + [Address(router.namespace, one.device, one.address) for one in router.addresses]


def _routes(router: VirtualRouter) -> list[Route]:
    return [Route(router.namespace, one.destination, one.via, one.device) for one in router.routes]
