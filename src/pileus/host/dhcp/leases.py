"""Leases of the networks that are served here: what became of them since the server was told last. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from pileus.core.addresses import NotAnAddress, parse_address
from pileus.drivers.dnsmasq.spec import Lease
from pileus.wire.dhcp import LeaseChange

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_LAST = 1 << 40
STARTED, RENEWED, ENDED = "started", "renewed", "ended"


def current(leases: Iterable[Lease], now: float) -> dict[str, Lease]:
    """Those that have not run out, by address; without any that could not be told, whoever wrote it."""
    return {
        lease.address: lease
        for lease in leases
        if (lease.expires == 0 or now < lease.expires < _LAST) and _is_tellable(lease)
    }


def _is_tellable(lease: Lease) -> bool:
    try:
        parse_address(lease.address)
    except NotAnAddress:
        return False
    return not lease.mac or _MAC.fullmatch(lease.mac) is not None


def compare(network_id: str, before: Mapping[str, Lease], after: Mapping[str, Lease]) -> list[LeaseChange]:
    """Find what happened in between; an address that went from one guest to another ended and started."""
    changes = []
    for address, lease in sorted(before.items()):
        if address not in after or not _same_holder(lease, after[address]):
            changes.append(_change(network_id, lease, ENDED))
    for address, lease in sorted(after.items()):
        known = before.get(address)
        if known is None or not _same_holder(known, lease):
            changes.append(_change(network_id, lease, STARTED))
        elif lease.expires != known.expires:
            changes.append(_change(network_id, lease, RENEWED))
    return changes


def _same_holder(one: Lease, other: Lease) -> bool:
    return (one.mac, one.client_id if not one.mac else "") == (
        other.mac,
        other.client_id if not other.mac else "",
    )


def _change(network_id: str, lease: Lease, kind: str) -> LeaseChange:
    return LeaseChange(
        network_id=network_id,
        kind=kind,
        ip_address=lease.address,
        mac_address=lease.mac or None,
        expires_s=lease.expires,
    )
