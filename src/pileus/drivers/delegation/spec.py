"""Prefixes that a router outside delegates (RFC 8415, IA_PD): what is asked for, and what a driver can do.

Why a client of our own: those in Debian configure interfaces of the machine that they run on and keep files
in one place for all (dhcpcd-base), are no longer maintained (isc-dhcp-client, wide-dhcpv6-client), or are
gone (dibbler). A router asks for a few prefixes and needs nothing else; the identity that it asks with is
made of its id, so that each host that it comes to, and each start of an agent, asks as the same client and is
given the same prefix.
"""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Collection, Mapping
from typing import Protocol

import msgspec

_DUID_UUID = b"\x00\x04"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A prefix that is asked for, by an interface of a namespace. ``owner`` is the router, ``key`` the
    subnet; ``source`` the interface's address of its link; ``hint`` the prefix that it had."""

    owner: str
    key: str
    namespace: str
    interface: str
    source: str
    hint: str | None = None

    @property
    def client(self) -> bytes:
        """The client's identity (RFC 6355)."""
        try:
            return _DUID_UUID + uuid.UUID(self.owner).bytes
        except ValueError:
            return _DUID_UUID + uuid.uuid5(uuid.NAMESPACE_OID, self.owner).bytes

    @property
    def association(self) -> int:
        """The number of the prefix at this client (IAID)."""
        return zlib.crc32(self.key.encode())


class PrefixClients(Protocol):
    """``linux.LinuxPrefixClients`` asks, ``simulated.SimulatedPrefixClients`` gives itself prefixes."""

    async def ask(self, wanted: Collection[Asked], served: Collection[str]) -> None:
        """These are all that is asked for from now on. What is asked for no more is given back where its
        owner is still ``served`` here; else another host may go on asking."""
        ...

    def held(self) -> Mapping[str, str | None]:
        """The prefixes by key; None: it was had, and is lost. Not those that nobody has answered yet."""
        ...

    async def changed(self) -> Collection[str]:
        """Wait until something is held otherwise; the keys."""
        ...

    def close(self) -> None:
        """Ask no more; nothing is given back."""
        ...
