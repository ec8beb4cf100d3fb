"""The specification of one network's DHCP server, as values."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal, Protocol

import msgspec


class DhcpOption(msgspec.Struct, frozen=True):
    """An extra option: ``name`` in dnsmasq's words (``ntp-server``) or its number; commas between values."""

    name: str
    value: str
    version: Literal[4, 6] = 4


class DhcpRoute(msgspec.Struct, frozen=True):
    """A route that clients are told. ``via`` 0.0.0.0: on the link."""

    destination: str
    via: str


class DhcpSubnet(msgspec.Struct, frozen=True, kw_only=True):
    """A subnet that is served. Changing its gateway, resolvers or routes restarts nothing."""

    id: str
    cidr: str
    server: str | None = None
    """The server's own address in it; needed for giving back the leases of ports that went."""
    gateway: str | None = None
    """None: clients are given no default route."""
    resolvers: tuple[str, ...] = ()
    routes: tuple[DhcpRoute, ...] = ()
    mode: Literal["stateful", "stateless", "autonomous"] = "stateful"
    """Of an IPv6 subnet: whether addresses are given too, options only, or nothing at all."""
    advertised: bool = False
    """Of an IPv6 subnet: the server is the router, and advertises itself (RFC 4861)."""


class DhcpHost(msgspec.Struct, frozen=True, kw_only=True):
    """A port that is given its addresses, and nobody else them."""

    port_id: str
    mac: str
    addresses: tuple[str, ...]
    hostname: str | None = None
    options: tuple[DhcpOption, ...] = ()
    fqdn: str | None = None
    """Its name in a domain other than the network's, by which its addresses are resolved at any time."""


class DhcpNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """A network's server: where it listens, and what it serves."""

    network_id: str
    interface: str
    namespace: str | None = None
    """As ``ip netns`` knows it; None: the one we are in."""
    subnets: tuple[DhcpSubnet, ...] = ()
    hosts: tuple[DhcpHost, ...] = ()
    mtu: int | None = None
    domain: str | None = None
    names: bool = False
    """Whether the server also resolves the names of hosts that hold a lease (DNS), and no others."""
    lease_s: int = 86400
    """-1: for ever."""


class Lease(msgspec.Struct, frozen=True):
    """A lease that was given. ``expires``: seconds since 1970, 0 for never; ``mac`` is empty for IPv6,
    where the client has a ``client_id`` (DUID) alone."""

    address: str
    mac: str
    hostname: str | None
    client_id: str
    expires: int


class Applied(msgspec.Struct):
    """The outcome of making one network's server as it is wanted."""

    started: bool = False
    restarted: bool = False
    signalled: bool = False
    written: int = 0
    deleted: int = 0
    released: int = 0

    @property
    def nothing(self) -> bool:
        """Whether all was as wanted already."""
        return self == Applied()


class DhcpServers(Protocol):
    """The DHCP servers of one host. ``driver.Dnsmasq`` runs them, ``simulated.SimulatedDhcp`` remembers."""

    async def apply(self, networks: Sequence[DhcpNetwork]) -> dict[str, Applied]:
        """Make the servers of these networks as described; others are left alone. By network's id, what
        it took. Raises DhcpFailed when one could not be started, after the others were done."""

    async def remove(self, network_ids: Collection[str]) -> None:
        """End these servers, with all that they keep. One that is not there is gone already."""

    async def running(self) -> set[str]:
        """Ids of the networks whose server runs."""

    async def known(self) -> set[str]:
        """Ids of the networks that have a folder here: those that run, and what a crash left."""

    async def leases(self, network_id: str) -> list[Lease]:
        """Return the leases that were given out, the newest state of each address."""

    async def lease_stamps(self, network_ids: Collection[str]) -> dict[str, object]:
        """For each network something that differs once its leases differ; cheap."""

    async def told_leases(self, network_id: str) -> list[Lease]:
        """The leases that were kept last; they go with the server."""

    async def keep_told_leases(self, network_id: str, leases: Sequence[Lease]) -> None:
        """Keep leases as told, over restarts."""


class DhcpFailed(Exception):
    """Servers that could not be made as wanted: by network's id, why."""

    def __init__(self, reasons: dict[str, str]) -> None:
        self.reasons = reasons
        super().__init__("; ".join(f"{network}: {reason}" for network, reason in reasons.items()))
