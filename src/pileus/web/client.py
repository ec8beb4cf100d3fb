"""Who sent a request, and under which address he found this server: the peer, or what a trusted proxy says.

Anybody can write ``X-Forwarded-For``, ``X-Forwarded-Host`` and ``X-Forwarded-Proto``. They count only where
the peer is a proxy that a setting names, and of a chain only as far back as named proxies wrote it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pileus.core.errors import Invalid

UNIX = "unix"
"""Stands in the setting for whoever speaks over the Unix socket."""

_HOST = re.compile(r"[A-Za-z0-9._~-]+(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?")
_IPV6_SITE = 64


class BadProxy(Invalid):
    message = "server.trusted_proxies: '{text}' is no address, no prefix, and not '{unix}'."


class Proxies:
    """The proxies whose word counts: addresses, prefixes, ``unix``. Raises BadProxy."""

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        self._unix = False
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for text in trusted:
            if text == UNIX:
                self._unix = True
                continue
            try:
                self._networks.append(ipaddress.ip_network(text, strict=False))
            except ValueError:
                raise BadProxy(text=text, unix=UNIX) from None

    def trusts(self, address: str) -> bool:
        """Whether an address (empty: the Unix socket) is a proxy's."""
        if not address:
            return self._unix
        if not self._networks:
            return False
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)

    def client_address(self, scope: Mapping[str, Any]) -> str:
        """The address of whoever asks; empty for the Unix socket."""
        address = peer_address(scope)
        if not self.trusts(address):
            return address
        hops = ",".join(_values(scope, b"x-forwarded-for")).split(",")
        for hop in reversed(hops):
            found = normal_address(hop.strip())
            if not found:
                break  # nobody said, or said nonsense: the last proxy that is known
            address = found
            if not self.trusts(found):
                break
        return address

    def forwarded(self, scope: Mapping[str, Any]) -> tuple[str, str]:
        """Host and scheme under which a trusted proxy was asked; empty where none says so."""
        if not self.trusts(peer_address(scope)):
            return "", ""
        host = _last(scope, b"x-forwarded-host")
        scheme = _last(scope, b"x-forwarded-proto").lower()
        return (
            host if _HOST.fullmatch(host) else "",
            scheme if scheme in ("http", "https") else "",
        )


def peer_address(scope: Mapping[str, Any]) -> str:
    """The address at the other end of the connection; empty for the Unix socket."""
    client = scope.get("client")
    return normal_address(client[0]) if client else ""


def normal_address(text: str) -> str:
    """An address in its normal form (IPv4 in IPv6 as IPv4, no zone); empty where it is none."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


def share_of(address: str) -> str:
    """By what clients are counted: an IPv4 address, the /64 of an IPv6 address (one site has all of it)."""
    if ":" not in address:
        return address
    return str(ipaddress.ip_network((address, _IPV6_SITE), strict=False).network_address)


def _values(scope: Mapping[str, Any], name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _last(scope: Mapping[str, Any], name: bytes) -> str:
    """Return what the nearest proxy wrote: the last."""
    return ",".join(_values(scope, name)).rpartition(",")[2].strip()
