"""Simulated DHCP servers: what dnsmasq would know, and what a client would be told.

The state is the same (hosts, options, leases, whether a server runs), and the work that a
pass takes is counted alike; no packet is sent. With a state file it outlives the process.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path

import msgspec

from pileus.core.clock import Clock, SystemClock
from pileus.core.files import write_atomically
from pileus.drivers.dnsmasq.render import Rendered, render
from pileus.drivers.dnsmasq.spec import Applied, DhcpFailed, DhcpHost, DhcpNetwork, DhcpSubnet, Lease

_FOLDER = Path("/simulated")


class Offer(msgspec.Struct, frozen=True):
    """The reply that a client gets. ``options`` by dnsmasq's name, values as text with commas."""

    address: str
    lease_s: int
    hostname: str | None
    options: dict[str, str]


class Server(msgspec.Struct):
    """One network's server: what it was started with and has taken in, and the leases it gave."""

    network: DhcpNetwork
    leases: dict[str, Lease] = {}
    runs: bool = True
    told: list[Lease] = []


class SimulatedDhcp:
    """``DhcpServers`` without servers."""

    def __init__(self, state_file: Path | None = None, *, clock: Clock | None = None) -> None:
        self._file = state_file
        self._clock = clock or SystemClock()
        self._servers: dict[str, Server] = {}
        if state_file is not None and state_file.exists():
            self._servers = msgspec.json.decode(state_file.read_bytes(), type=dict[str, Server])

    async def apply(self, networks: Sequence[DhcpNetwork]) -> dict[str, Applied]:
        """See DhcpServers."""
        done: dict[str, Applied] = {}
        reasons: dict[str, str] = {}
        for network in networks:
            try:
                done[network.network_id] = self._apply(network)
            except ValueError as error:
                reasons[network.network_id] = str(error)
        self._store()
        if reasons:
            raise DhcpFailed(reasons)
        return done

    async def remove(self, network_ids: Collection[str]) -> None:
        """See DhcpServers."""
        for network_id in network_ids:
            self._servers.pop(network_id, None)
        self._store()

    async def running(self) -> set[str]:
        """See DhcpServers."""
        return {network_id for network_id, server in self._servers.items() if server.runs}

    async def known(self) -> set[str]:
        """See DhcpServers."""
        return set(self._servers)

    async def leases(self, network_id: str) -> list[Lease]:
        """See DhcpServers."""
        server = self._servers.get(network_id)
        return list(server.leases.values()) if server is not None else []

    async def lease_stamps(self, network_ids: Collection[str]) -> dict[str, object]:
        """See DhcpServers."""
        some = {network_id: self._servers.get(network_id) for network_id in network_ids}
        return {
            key: tuple(one.leases.values()) for key, one in some.items() if one is not None and one.leases
        }

    async def told_leases(self, network_id: str) -> list[Lease]:
        """See DhcpServers."""
        server = self._servers.get(network_id)
        return list(server.told) if server is not None else []

    async def keep_told_leases(self, network_id: str, leases: Sequence[Lease]) -> None:
        """See DhcpServers."""
        if network_id in self._servers:
            self._servers[network_id].told = list(leases)
            self._store()

    def ask(self, network_id: str, mac: str) -> Offer | None:
        """Answer the client with this MAC over IPv4; None: no answer. It then holds a lease."""
        server = self._servers.get(network_id)
        if server is None or not server.runs:
            return None
        for host in server.network.hosts:
            if host.mac.lower() != mac.lower():
                continue
            for address in host.addresses:
                if (subnet := _subnet_of(server.network, address)) is not None:
                    return self._give(server, host, subnet, address)
        return None

    def crash(self, network_id: str) -> None:
        """End a server as a kill does; what it keeps in files stays."""
        self._servers[network_id].runs = False
        self._store()

    def _apply(self, network: DhcpNetwork) -> Applied:
        wanted = _render(network)
        server = self._servers.get(network.network_id)
        if server is None:
            self._servers[network.network_id] = Server(network)
            return Applied(started=True, written=len(wanted.files))
        before = _render(server.network)
        changed = [path for path, text in wanted.files.items() if before.files.get(path, text) != text]
        deleted = [path for path in before.files if path not in wanted.files]
        noticed = bool(changed or deleted)
        tagged = any(host.options for host in (*server.network.hosts, *network.hosts))
        applied = Applied(
            started=not server.runs,
            restarted=server.runs and (before.arguments != wanted.arguments or (noticed and tagged)),
            written=len(changed) + len(wanted.files.keys() - before.files.keys()),
            deleted=len(deleted),
        )
        applied.signalled = noticed and not (applied.started or applied.restarted)
        server.network, server.runs = network, True
        holders = {(host.mac.lower(), address) for host in network.hosts for address in host.addresses}
        for address, lease in list(server.leases.items()):
            subnet = _subnet_of(network, address)
            if subnet is not None and subnet.server and (lease.mac, address) not in holders:
                del server.leases[address]
                applied.released += 1
        return applied

    def _give(self, server: Server, host: DhcpHost, subnet: DhcpSubnet, address: str) -> Offer | None:
        mac = host.mac.lower()
        holder = server.leases.get(address)
        if holder is not None and holder.mac != mac and holder.expires > self._clock.now().timestamp():
            return None
        lease_s = server.network.lease_s
        expires = 0 if lease_s < 0 else int(self._clock.now().timestamp()) + lease_s
        server.leases[address] = Lease(address, mac, host.hostname, "", expires)
        self._store()
        files = _render(server.network).files
        tags = {f"subnet-{subnet.id}", f"port-{host.port_id}"}
        options: dict[str, str] = {}
        for path in sorted(path for path in files if path.startswith("options/")):
            for line in files[path].splitlines():
                tag = re.match(r"tag:([^,]*),(.*)", line)
                if tag is not None and tag[1] not in tags:
                    continue
                name, _, value = (tag[2] if tag is not None else line).partition(",")
                if value and not name.startswith("option6:"):
                    options[name.removeprefix("option:")] = value
        return Offer(address, lease_s, host.hostname, options)

    def _store(self) -> None:
        if self._file is not None:
            write_atomically(self._file, msgspec.json.encode(self._servers))


def _render(network: DhcpNetwork) -> Rendered:
    return render(network, _FOLDER / network.network_id, "nobody", "nogroup")


def _subnet_of(network: DhcpNetwork, address: str) -> DhcpSubnet | None:
    """The IPv4 subnet that an address is in."""
    ip = ip_address(address)
    for subnet in network.subnets:
        cidr = ip_network(subnet.cidr)
        if cidr.version == 4 and ip in cidr:
            return subnet
    return None
