"""Hosts and wishes as the scheduler sees them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec


class HostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A host as it is now. ``used`` is what it has promised, whether guests use it or not."""

    host: str
    node: str
    zone: str
    up: bool
    seen_at: dt.datetime
    enabled: bool
    disabled_reason: str | None = None
    vcpus: int
    vcpus_used: int = 0
    memory_mib: int
    memory_used_mib: int = 0
    disk_gib: int
    disk_used_gib: int = 0
    servers: int = 0
    hypervisor_type: str = "QEMU"
    hypervisor_version: int = 0
    architecture: str = ""
    address: str = ""
    busy: int = 0
    """Servers that are being built, copied or moved."""
    aggregates: tuple[Mapping[str, str], ...] = ()
    """The metadata of the aggregates that it is in."""
    bandwidth: Mapping[str, int] = msgspec.field(default_factory=dict)
    """The rest of its cards that can be guaranteed, kbps by physical network and direction."""


class Ratios(NamedTuple):
    """How much of what a host has may be promised."""

    cpu: float = 4.0
    ram: float = 1.0
    disk: float = 1.0


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A request for one server. ``same_host`` and ``different_host`` are hosts, found by the servers named
    in the hints (``same_host`` None: not asked for; empty: nothing is where it was asked to be);
    ``group_hosts`` are those of its group's members, one for each, of which anti-affinity lets
    ``per_host`` be on one host. ``flavor`` is the flavor's name."""

    vcpus: int
    memory_mib: int
    disk_gib: int
    zone: str | None = None
    host: str | None = None
    node: str | None = None
    forced: bool = False
    same_host: tuple[str, ...] | None = None
    different_host: tuple[str, ...] = ()
    policy: str | None = None
    per_host: int = 1
    group_hosts: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    image: Mapping[str, str] = msgspec.field(default_factory=dict)
    project_id: str = ""
    flavor: str = ""
    extra_specs: Mapping[str, str] = msgspec.field(default_factory=dict)
    query: Any = None
    """A condition on the host, as ``host_query`` reads it."""
    bandwidth: Mapping[str, int] = msgspec.field(default_factory=dict)
    """The bandwidth that its ports are to be guaranteed, as that of hosts."""
    near: str = ""
    """A prefix that the host's address must be in."""


def ratios_of(host: HostFacts, usual: Ratios) -> Ratios:
    """The ratios of a host: the least that its aggregates say (``cpu_allocation_ratio`` and so on), or the
    usual ones."""
    found = []
    for name, value in zip(("cpu", "ram", "disk"), usual, strict=True):
        said = [
            one[f"{name}_allocation_ratio"] for one in host.aggregates if f"{name}_allocation_ratio" in one
        ]
        found.append(min((ratio for ratio in map(_ratio, said) if ratio > 0), default=value))
    return Ratios(*found)


def _ratio(text: str) -> float:
    try:
        ratio = float(text)
    except ValueError:
        return 0.0
    return ratio if 0 < ratio < 1e6 else 0.0


def without_over_commit(host: HostFacts, usual: Ratios) -> HostFacts:
    """The host as one that promises no more memory and disk than there is."""
    ratios = ratios_of(host, usual)
    least = {
        "ram_allocation_ratio": f"{min(1.0, ratios.ram)}",
        "disk_allocation_ratio": f"{min(1.0, ratios.disk)}",
    }
    return msgspec.structs.replace(host, aggregates=(*host.aggregates, least))
