"""Routers that another agent serves until all is ready here (``wire.l3.RouterDetails.standby``).

Namespace, ports on the switch and packet rules are there; addresses and routes are not, so nothing answers
and nothing is forwarded, though the switches send frames here already. When the server says so, addresses
and routes are all that is missing.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.host.l2.settings import LAST_NUMBER_KEY, NUMBER_KEY
from pileus.host.namespaces.model import Namespace

_SYSCTLS = {
    # Else the kernel says its address on the link, and switches look for the port here.
    "ipv6/conf/default/addr_gen_mode": "1",
}


def silent(whole: Namespace) -> Namespace:
    """The namespace of a router that does not answer yet."""
    ports = tuple(replace(port, addresses=(), proxied=()) for port in whole.ports)
    return replace(whole, ports=ports, routes=(), sysctls={**whole.sysctls, **_SYSCTLS})


class Wiring:
    """Which ports of routers the switch agent of this node has wired, as the switch's database shows it."""

    def __init__(self, client: OvsdbClient, bridge: str) -> None:
        self._client = client
        self._bridge = bridge
        self._waiting: dict[str, Namespace] = {}

    def wait_for(self, waiting: Mapping[str, Namespace]) -> None:
        """Those that are told when ``wired`` has them all."""
        self._waiting = dict(waiting)

    def wired(self, namespaces: Mapping[str, Namespace]) -> set[str]:
        """Those, by key, all of whose ports are wired. An agent that numbers no ports leaves no trace."""
        ports = self._client.by_name("Port")
        bridge = self._client.by_name("Bridge").get(self._bridge)
        numbers = bridge is not None and LAST_NUMBER_KEY in bridge["external_ids"]
        return {
            key
            for key, namespace in namespaces.items()
            if all(
                port.name in ports and (not numbers or NUMBER_KEY in ports[port.name]["external_ids"])
                for port in namespace.ports
            )
        }

    async def come(self) -> set[str]:
        """Wait until some of those that are waited for are wired; which."""
        found: set[str] = set()

        def any_wired() -> bool:
            nonlocal found
            found = self.wired(self._waiting) if self._waiting else set()
            return bool(found)

        await self._client.wait_until(any_wired)
        for key in found:
            del self._waiting[key]
        return found
