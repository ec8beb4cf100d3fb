"""Starts, changes and ends dnsmasq processes of the DHCP agent: all networks in one call of the driver."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pileus.drivers.dnsmasq.spec import Applied, DhcpFailed, DhcpNetwork, DhcpServers


class ServerApplier:
    """Brings dnsmasq processes into force, and ends those that nobody wants."""

    def __init__(self, servers: DhcpServers) -> None:
        self._servers = servers

    async def serve(self, networks: Sequence[DhcpNetwork]) -> tuple[int, dict[str, str]]:
        """Make these as described; how much changed, and which could not be made, with the reason."""
        if not networks:
            return 0, {}
        try:
            applied = await self._servers.apply(networks)
        except DhcpFailed as failure:
            # What became of the others is not told; something was done.
            return 1, failure.reasons
        return sum(map(_size, applied.values())), {}

    async def leave(self, network_ids: Collection[str]) -> int:
        """End the servers of these networks, whose namespaces stay; how many there were."""
        there = set(network_ids) & await self._servers.known() if network_ids else set()
        if there:
            await self._servers.remove(there)
        return len(there)

    async def end(self, wanted: Collection[str]) -> int:
        """End all servers but the wanted ones; how many."""
        gone = [network_id for network_id in await self._servers.known() if network_id not in wanted]
        if gone:
            await self._servers.remove(gone)
        return len(gone)

    async def ended(self, wanted: Collection[str]) -> set[str]:
        """Those wanted servers that do not run."""
        return set(wanted) - await self._servers.running()


def _size(applied: Applied) -> int:
    return applied.written + applied.deleted + applied.started + applied.restarted
