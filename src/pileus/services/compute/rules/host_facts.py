"""Hosts and wishes as the scheduler sees them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from pileus.services.compute.rules.candidates import Question
from pileus.services.compute.rules.providers import (
    MEMORY_MB,
    OF_HOSTS,
    VCPU,
    Amounts,
    Inventory,
    Landscape,
)


class HostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A host as it is now. ``used`` is what it has promised, whether guests use it or not."""

    host: str
    node: str
    node_id: str = ""
    """The id of its hypervisor, which is that of the provider of resources that it is."""
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
    said: Mapping[str, Inventory] = msgspec.field(default_factory=dict)
    """An operator's word on its VCPU, MEMORY_MB and DISK_GB; how much there is says the host."""
    reserved_memory_mib: int = 0
    """Memory that no server gets, where no operator said anything."""
    landscape: Landscape | None = None
    """The providers of resources of all hosts, where something is asked of them."""
    given: Mapping[str, Amounts] = msgspec.field(default_factory=dict)
    """Of a host that was chosen: what providers of resources give besides CPUs, memory and disk."""
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
    question: Question | None = None
    """The wish for resources besides CPUs, memory and disk."""


def ratios_of(host: HostFacts, usual: Ratios) -> Ratios:
    """The ratios of a host: what an operator said of its inventories, or the least that its aggregates say
    (``cpu_allocation_ratio`` and so on), or the usual ones."""
    found = []
    for name, resource_class, value in zip(("cpu", "ram", "disk"), OF_HOSTS, usual, strict=True):
        if resource_class in host.said:
            found.append(host.said[resource_class].allocation_ratio)
            continue
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
    said = {
        key: one
        if key == VCPU
        else msgspec.structs.replace(one, allocation_ratio=min(1.0, one.allocation_ratio))
        for key, one in host.said.items()
    }
    return msgspec.structs.replace(host, aggregates=(*host.aggregates, least), said=said)


def stock_of(host: HostFacts, ratios: Ratios, position: int) -> Inventory | None:
    """The stock that a host has of one of ``OF_HOSTS``, with these ratios; None where it has nothing.

    No server gets more than there is, whatever the ratio: it would wait for itself.
    """
    total = (host.vcpus, host.memory_mib, host.disk_gib)[position]
    if total <= 0:
        return None
    said = host.said.get(OF_HOSTS[position]) if host.said else None
    if said is not None:
        changes = {"total": total, "reserved": min(said.reserved, total)}
        return msgspec.structs.replace(said, **changes, allocation_ratio=ratios[position])
    reserved = min(host.reserved_memory_mib, total) if position == _MEMORY else 0
    return Inventory(total=total, reserved=reserved, max_unit=total, allocation_ratio=ratios[position])


_MEMORY = OF_HOSTS.index(MEMORY_MB)


def inventories_of(host: HostFacts, ratios: Ratios) -> dict[str, Inventory]:
    """The CPUs, memory and disk of a host, with these ratios; a class of which it has nothing is not among
    them."""
    found = zip(OF_HOSTS, (stock_of(host, ratios, position) for position in range(3)), strict=True)
    return {name: stock for name, stock in found if stock is not None}


def used_of(host: HostFacts) -> dict[str, int]:
    """The CPUs, memory and disk that a host has promised."""
    return dict(zip(OF_HOSTS, (host.vcpus_used, host.memory_used_mib, host.disk_used_gib), strict=True))
