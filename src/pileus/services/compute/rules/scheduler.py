"""Which host gets a server: filters, weights, and for each host refused the reason with its numbers.

Pure. A filter is a function of a host and of what is wanted that returns None, or why not; all filters
are asked of each host, so that the record of a refusal is whole. Of the hosts that are left the one with
the most memory free is taken (Nova's RAM weigher), the fewest servers deciding between equals, then the name.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

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
    architecture: str = ""


class Ratios(NamedTuple):
    """How much of what a host has may be promised."""

    cpu: float = 4.0
    ram: float = 1.0
    disk: float = 1.0


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A request for one server. ``same_host`` and ``different_host`` are hosts, found by the servers named
    in the hints (``same_host`` None: not asked for; empty: nothing is where it was asked to be);
    ``group_hosts`` are those of its group's members, one for each, of which anti-affinity lets
    ``per_host`` be on one host."""

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


class Refusal(NamedTuple):
    """A host that is not taken: the filter, and its sentence with numbers."""

    host: str
    filter: str
    reason: str


class Choice(NamedTuple):
    """The outcome for one server: the host, or None; and why each other host could not be."""

    chosen: HostFacts | None
    refusals: tuple[Refusal, ...]
    considered: int


Filter = Callable[[HostFacts, Wanted, Ratios], str | None]


def _compute_filter(host: HostFacts, wanted: Wanted, ratios: Ratios) -> str | None:
    if not host.enabled:
        return f"its service is disabled ({host.disabled_reason or 'no reason given'})"
    if not host.up:
        return f"it is down, last heard of at {host.seen_at.isoformat(timespec='seconds')}Z"
    return None


def _zone_filter(host: HostFacts, wanted: Wanted, ratios: Ratios) -> str | None:
    if wanted.zone and wanted.zone != host.zone:
        return f"it is in zone {host.zone}, not {wanted.zone}"
    return None


def _requested_filter(host: HostFacts, wanted: Wanted, ratios: Ratios) -> str | None:
    if wanted.host and wanted.host != host.host:
        return f"host {wanted.host} was asked for"
    if wanted.node and wanted.node != host.node:
        return f"hypervisor {wanted.node} was asked for"
    if host.host in wanted.excluded:
        return "the server is there, or was tried there"
    return None


def _room(have: int, used: int, more: int, ratio: float, what: str, unit: str) -> str | None:
    room = have * ratio - used
    if more <= room:
        return None
    return (
        f"{more} {unit} of {what} wanted, {max(0, int(room))} {unit} free "
        f"({used} of {int(have * ratio)} promised, ratio {ratio:g})"
    )


def _cores_filter(host: HostFacts, wanted: Wanted, ratios: Ratios) -> str | None:
    if wanted.vcpus > host.vcpus:
        # A guest may have no more than there are, whatever the ratio: it would wait for itself.
        return f"{wanted.vcpus} virtual CPUs wanted, the host has {host.vcpus}"
    return _room(host.vcpus, host.vcpus_used, wanted.vcpus, ratios.cpu, "CPU", "cores")


def _memory_filter(host: HostFacts, wanted: Wanted, ratios: Ratios) -> str | None:
    return _room(host.memory_mib, host.memory_used_mib, wanted.memory_mib, ratios.ram, "memory", "MiB")


def _disk_filter(host: HostFacts, wanted: Wanted, ratios: Ratios) -> str | None:
    return _room(host.disk_gib, host.disk_used_gib, wanted.disk_gib, ratios.disk, "disk", "GiB")


def _hints_filter(host: HostFacts, wanted: Wanted, ratios: Ratios) -> str | None:
    if wanted.same_host is not None and host.host not in wanted.same_host:
        return f"the servers named in same_host are on {', '.join(wanted.same_host) or 'no host'}"
    if host.host in wanted.different_host:
        return "a server named in different_host is here"
    return None


def _group_filter(host: HostFacts, wanted: Wanted, ratios: Ratios) -> str | None:
    if wanted.policy == "affinity" and wanted.group_hosts and host.host not in wanted.group_hosts:
        return f"its group is on {', '.join(sorted(set(wanted.group_hosts)))} (affinity)"
    here = wanted.group_hosts.count(host.host)
    if wanted.policy == "anti-affinity" and here >= wanted.per_host:
        return f"{here} of its group are here, {wanted.per_host} may be (anti-affinity)"
    return None


_ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "arm64": "aarch64", "aarch64": "aarch64"}


def _image_filter(host: HostFacts, wanted: Wanted, ratios: Ratios) -> str | None:
    asked = wanted.image.get("hw_architecture") or wanted.image.get("architecture")
    known = _ARCHITECTURES.get(host.architecture, host.architecture)
    if asked and known and _ARCHITECTURES.get(asked, asked) != known:
        return f"the image is for {asked}, the host is {host.architecture}"
    kind = wanted.image.get("img_hv_type") or wanted.image.get("hypervisor_type")
    if kind and kind.lower() not in (host.hypervisor_type.lower(), "kvm", "qemu"):
        return f"the image wants the hypervisor {kind}, the host has {host.hypervisor_type}"
    return None


FILTERS: tuple[tuple[str, Filter], ...] = (
    ("ComputeFilter", _compute_filter),
    ("RequestedHostFilter", _requested_filter),
    ("AvailabilityZoneFilter", _zone_filter),
    ("CoreFilter", _cores_filter),
    ("RamFilter", _memory_filter),
    ("DiskFilter", _disk_filter),
    ("ImagePropertiesFilter", _image_filter),
    ("SameDifferentHostFilter", _hints_filter),
    ("ServerGroupFilter", _group_filter),
)

_WHEN_FORCED = frozenset({"RequestedHostFilter", "AvailabilityZoneFilter"})
"""The filters that are asked where the administrator forced a host."""


def _weight(host: HostFacts, wanted: Wanted, ratios: Ratios) -> tuple[float, float, float, str]:
    soft = 0.0
    if wanted.policy == "soft-affinity":
        soft = -1.0 * wanted.group_hosts.count(host.host)
    elif wanted.policy == "soft-anti-affinity":
        soft = 1.0 * wanted.group_hosts.count(host.host)
    free = host.memory_mib * ratios.ram - host.memory_used_mib
    return (soft, -free, host.servers, host.host)


def choose(hosts: Iterable[HostFacts], wanted: Wanted, ratios: Ratios) -> Choice:
    """One server's host."""
    fitting, refusals = [], []
    considered = 0
    for host in hosts:
        considered += 1
        mine = [
            Refusal(host.host, name, reason)
            for name, test in FILTERS
            if (not wanted.forced or name in _WHEN_FORCED) and (reason := test(host, wanted, ratios))
        ]
        if mine:
            refusals += mine
        else:
            fitting.append(host)
    chosen = min(fitting, key=lambda host: _weight(host, wanted, ratios)) if fitting else None
    return Choice(chosen, tuple(refusals), considered)


def choose_many(hosts: Sequence[HostFacts], wanted: Sequence[Wanted], ratios: Ratios) -> list[Choice]:
    """Hosts for several servers of one request, each counting what those before it were promised."""
    now = {host.host: host for host in hosts}
    choices = []
    members: list[str] = []
    for one in wanted:
        if one.policy:
            one = msgspec.structs.replace(one, group_hosts=(*one.group_hosts, *members))
        choice = choose(now.values(), one, ratios)
        choices.append(choice)
        if choice.chosen is not None:
            host = choice.chosen
            members.append(host.host)
            now[host.host] = msgspec.structs.replace(
                host,
                vcpus_used=host.vcpus_used + one.vcpus,
                memory_used_mib=host.memory_used_mib + one.memory_mib,
                disk_used_gib=host.disk_used_gib + one.disk_gib,
                servers=host.servers + 1,
            )
    return choices


def sentence(choice: Choice, limit: int = 3) -> str:
    """Why there is no host, short enough for a fault: how many each filter refused, and examples."""
    if not choice.considered:
        return "No valid host was found. There are no hosts that run servers."
    first: dict[str, Refusal] = {}
    for refusal in choice.refusals:
        first.setdefault(refusal.host, refusal)
    counted: dict[str, int] = {}
    for refusal in first.values():
        counted[refusal.filter] = counted.get(refusal.filter, 0) + 1
    by_filter = ", ".join(f"{name} refused {count}" for name, count in sorted(counted.items()))
    shown = list(first.values())[:limit]
    examples = "; ".join(f"{one.host}: {one.reason}" for one in shown)
    more = f"; and {len(first) - limit} more" if len(first) > limit else ""
    return f"No valid host was found. Of {choice.considered} hosts {by_filter}. {examples}{more}."
