"""Rows that ports have besides their own, and how often a unit draws anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pileus.core.errors import Unavailable

ATTEMPTS = 16


class AddressesContended(Unavailable):
    """In several attempts each drawn address was taken by another request at the same moment."""

    message = "Too many ports are being created on network {net_id}; please try again."


def allocation_rows(several: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Rows of ``ip_allocations`` in the order of their keys: two units that insert many then never wait for
    each other in a circle."""
    rows = [{**address, "port_id": port["id"]} for port in several for address in port["fixed_ips"]]
    return sorted(rows, key=lambda row: (row["subnet_id"], row["ip_address"]))


def membership_rows(several: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Rows of ``security_group_ports``."""
    return [
        {"port_id": port["id"], "security_group_id": group}
        for port in several
        for group in port["security_groups"]
    ]
