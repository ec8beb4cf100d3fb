"""Prefixes that routers ask for outside, by their first gateways, for subnets that have none of their own.

What is held is told to the server, which makes it the subnet's; until then the subnet has a provisional
prefix, which nobody here sees. The prefix is asked for by the agent that serves the router: who holds it
ready, or leaves it, is silent, and whoever comes after asks as the same client.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from msgspec.structs import replace

from pileus.core.addresses import link_local
from pileus.drivers.delegation.spec import Asked, PrefixClients
from pileus.host.l3.gateways import gateway_name
from pileus.wire.l3 import RouterDetails, RouterPort

PROVISIONAL = "::/64"


def settled(router: RouterDetails) -> RouterDetails:
    """The router without the subnets that have no prefix yet."""
    if not any(subnet.cidr == PROVISIONAL for port in router.interfaces for subnet in port.subnets):
        return router
    return replace(router, interfaces=tuple(map(_settled, router.interfaces)))


def _settled(port: RouterPort) -> RouterPort:
    return replace(port, subnets=tuple(subnet for subnet in port.subnets if subnet.cidr != PROVISIONAL))


def plan_asked(router: RouterDetails, namespace: str, subnets: Mapping[str, str | None]) -> Iterable[Asked]:
    """Plan what is asked for: ``subnets`` with the prefixes that they have."""
    if router.gateway is not None:
        for subnet_id, hint in sorted(subnets.items()):
            yield Asked(
                owner=router.router_id,
                key=subnet_id,
                namespace=namespace,
                interface=gateway_name(router.gateway),
                source=link_local(router.gateway.port.mac_address),
                hint=hint,
            )


class PrefixBook:
    """The subnets of an agent's routers that need prefixes, and who asks."""

    def __init__(self, driver: PrefixClients | None) -> None:
        self._driver = driver
        self._subnets: dict[str, dict[str, str | None]] = {}
        self._owners: dict[str, str] = {}

    @property
    def can_be(self) -> bool:
        """Whether this node can ask."""
        return self._driver is not None

    def note(self, routers: Iterable[RouterDetails], ids: Collection[str] | None) -> None:
        """Take what the server says of these routers (``ids``; None: of all)."""
        self._subnets = {key: one for key, one in self._subnets.items() if ids is not None and key not in ids}
        for router in routers:
            subnets = {
                subnet.subnet_id: None if subnet.cidr == PROVISIONAL else subnet.cidr
                for port in router.interfaces
                for subnet in port.subnets
                if subnet.delegated
            }
            if subnets:
                self._subnets[router.router_id] = subnets

    async def ask(self, serving: Mapping[str, tuple[RouterDetails, str]]) -> None:
        """Ask for what these routers, each with its namespace, need; what others ask for is left to them."""
        if self._driver is None or not (self._subnets or self._owners):
            return
        asked = [
            one
            for key, (router, namespace) in serving.items()
            for one in plan_asked(router, namespace, self._subnets.get(key, {}))
        ]
        await self._driver.ask(asked, serving.keys())
        self._owners = {one.key: one.owner for one in asked}

    def held(self) -> dict[str, str]:
        """The prefixes by subnet, as the server is told; a provisional one where one was lost."""
        if self._driver is None:
            return {}
        found = self._driver.held()
        return {key: found[key] or PROVISIONAL for key in sorted(self._owners) if key in found}

    async def changed(self) -> set[str]:
        """Wait until prefixes come, change or go; the routers that they are for."""
        assert self._driver is not None
        return {self._owners[key] for key in await self._driver.changed() if key in self._owners}

    def close(self) -> None:
        """Ask no more."""
        if self._driver is not None:
            self._driver.close()
