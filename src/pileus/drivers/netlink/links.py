"""Namespaces, veth pairs, addresses and routes: the values, and what a driver of them can do.

All verbs take many things at once and can be repeated: what is there already stays as it is.
A link that we make carries a label (its ``ifalias``), so that it is found again and told
from others'; a namespace is ours by its name's prefix.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import msgspec


class LinkError(Exception):
    """The kernel refused; the message names the link or namespace and the kernel's reason."""


class Veth(msgspec.Struct, frozen=True):
    """A pair of connected interfaces. ``name`` stays at home, ``peer`` goes to ``namespace`` (None: home).

    ``mac`` is the peer's (None: random). The peer sends with checksums complete (no offload),
    as a switch in user space needs it. ``up`` is about both ends.
    """

    name: str
    peer: str
    namespace: str | None = None
    mac: str | None = None
    mtu: int = 1500
    label: str = ""
    up: bool = True


class Tap(msgspec.Struct, frozen=True):
    """An interface whose other end is a program's: a virtual machine's network card. It stays when the
    program ends. The machine's own IP stack keeps silent on it."""

    name: str
    mtu: int = 1500
    label: str = ""


class Address(msgspec.Struct, frozen=True):
    """``address`` with its prefix length (``10.0.0.2/24``) on a device; IPv6 without duplicate detection."""

    namespace: str | None
    device: str
    address: str


class Hop(msgspec.Struct, frozen=True, order=True):
    """One of several ways to a destination: a neighbour on a device."""

    via: str
    device: str


class Route(msgspec.Struct, frozen=True):
    """``destination`` is a prefix, ``0.0.0.0/0`` and ``::/0`` included; by ``via``, a device, or both; or by
    several neighbours at once (``hops``), of which each connection takes one. ``table`` 0 is the main one;
    others are from ``FIRST_TABLE`` to ``LAST_TABLE``."""

    namespace: str | None
    destination: str
    via: str | None = None
    device: str | None = None
    table: int = 0
    hops: tuple[Hop, ...] = ()


FIRST_TABLE, LAST_TABLE = 0x10000, 0x1FFFF
FIRST_PRIORITY, LAST_PRIORITY = 100, 199
"""Rules with these are ours."""


class PolicyRule(msgspec.Struct, frozen=True, order=True):
    """A rule of routing for IPv4 and IPv6: packets with ``mark`` in the bits of ``mask`` (0: all packets) are
    looked up in a table (0: the main one). ``default_is_none``: default routes there do not count."""

    priority: int
    table: int = 0
    mark: int = 0
    mask: int = 0
    default_is_none: bool = False


class Link(msgspec.Struct, frozen=True):
    """An interface as it is. ``up``: administratively. ``index`` is never given to another one."""

    name: str
    mac: str
    mtu: int
    label: str
    up: bool
    addresses: tuple[str, ...] = ()
    index: int = 0
    proxied: tuple[str, ...] = ()
    """IPv6 addresses of others for which the namespace answers neighbours here."""


class Contents(msgspec.Struct, frozen=True):
    """The contents of a namespace: interfaces by name, the routes that somebody set (each with its device),
    the sysctls that were asked for, without those that the kernel does not have, and rules that are ours."""

    links: dict[str, Link] = {}
    routes: tuple[Route, ...] = ()
    sysctls: dict[str, str] = {}
    rules: tuple[PolicyRule, ...] = ()


class Links(Protocol):
    """The verbs of a driver of links; "home" is the namespace it works in. All raise LinkError."""

    async def namespaces(self, prefix: str = "") -> list[str]:
        """Names of the namespaces that begin so, in order."""
        ...

    async def read(
        self, namespaces: Iterable[str | None], sysctls: Iterable[str] = ()
    ) -> dict[str | None, Contents]:
        """Read these namespaces (None: home); those that are not there are left out."""
        ...

    async def ensure_namespaces(self, names: Iterable[str], label: str = "") -> None:
        """Namespaces that ``ip netns`` knows, each with its loopback up, which bears the label."""
        ...

    async def delete_namespaces(self, names: Iterable[str]) -> None:
        """No such namespaces; veth pairs that reach into them go with them, a moment later."""
        ...

    async def ensure_veths(self, veths: Iterable[Veth]) -> None:
        """These pairs, with these properties. Their namespaces must be there."""
        ...

    async def ensure_taps(self, taps: Iterable[Tap]) -> None:
        """These taps at home, up, with these properties."""
        ...

    async def ensure_addresses(self, addresses: Iterable[Address]) -> None:
        """These addresses, besides others."""
        ...

    async def ensure_routes(self, routes: Iterable[Route]) -> None:
        """These routes, each in the place of another to its destination in its table."""
        ...

    async def set_rules(self, rules: Mapping[str, Iterable[PolicyRule]]) -> None:
        """By namespace the rules that there shall be, and no others of ours."""
        ...

    async def ensure_proxies(self, addresses: Iterable[Address]) -> None:
        """Answer neighbours for these IPv6 addresses, which are without a prefix length, on their devices
        (the sysctl ``proxy_ndp`` lets it)."""
        ...

    async def delete_proxies(self, addresses: Iterable[Address]) -> None:
        """Answer for these no more."""
        ...

    async def delete_addresses(self, addresses: Iterable[Address]) -> None:
        """No such addresses."""
        ...

    async def delete_routes(self, routes: Iterable[Route]) -> None:
        """No such routes."""
        ...

    async def ensure_sysctls(self, values: Mapping[str, Mapping[str, str]]) -> None:
        """By namespace: names below ``net`` (``ipv4/ip_forward``) to values. Those that the kernel does
        not have are passed over: it may have been built without IPv6."""
        ...

    async def announce(self, addresses: Iterable[Address]) -> None:
        """Tell the neighbours whose these addresses are now (gratuitous ARP, RFC 5227; unsolicited
        neighbour advertisement, RFC 4861)."""
        ...

    async def set_up(self, names: Iterable[str], namespace: str | None = None) -> None:
        """Bring interfaces up."""
        ...

    async def delete_links(self, names: Iterable[str], namespace: str | None = None) -> None:
        """No such interfaces; the other end of a pair goes too."""
        ...

    async def links(self, namespace: str | None = None) -> dict[str, Link]:
        """The interfaces of a namespace (None: home) by name, loopback among them."""
        ...
