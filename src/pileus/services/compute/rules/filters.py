"""The scheduler's filters, by Nova's names. Pure.

A filter is a function of a host and of what is wanted that returns None, or why not, with numbers. Those of
``ALWAYS`` are asked whatever the settings say.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from typing import Any

from pileus.services.compute.rules.candidates import candidates, lacking
from pileus.services.compute.rules.host_facts import HostFacts, Ratios, Wanted, stock_of
from pileus.services.compute.rules.host_query import holds
from pileus.services.compute.rules.providers import out_of_units
from pileus.services.compute.rules.requirements import meets

MAX_IO_OPS, MAX_SERVERS = 8, 50
"""Nova's usual bounds of ``IoOpsFilter`` and ``NumInstancesFilter``; metadata of aggregates says others."""

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


def _room(host: HostFacts, ratios: Ratios, position: int, more: int, used: int) -> str | None:
    if not more:
        return None
    what, unit = _UNITS[position]
    stock = stock_of(host, ratios, position)
    if stock is None:
        return f"{more} {unit} of {what} wanted, the host has none"
    capacity = stock.capacity
    if more + used > capacity:
        return (
            f"{more} {unit} of {what} wanted, {max(0, capacity - used)} {unit} free "
            f"({used} of {capacity} promised, ratio {stock.allocation_ratio:g})"
        )
    refused = out_of_units(stock, more)
    return f"{what}: {refused}" if refused else None


_UNITS = (("CPU", "cores"), ("memory", "MiB"), ("disk", "GiB"))
"""The words for those of ``OF_HOSTS``."""


def _cores_filter(host: HostFacts, wanted: Wanted, ratios: Ratios) -> str | None:
    if wanted.vcpus > host.vcpus:
        return f"{wanted.vcpus} virtual CPUs wanted, the host has {host.vcpus}"
    return _room(host, ratios, 0, wanted.vcpus, host.vcpus_used)


def _memory_filter(host: HostFacts, wanted: Wanted, ratios: Ratios) -> str | None:
    return _room(host, ratios, 1, wanted.memory_mib, host.memory_used_mib)


def _disk_filter(host: HostFacts, wanted: Wanted, ratios: Ratios) -> str | None:
    return _room(host, ratios, 2, wanted.disk_gib, host.disk_used_gib)


def _resources_filter(host: HostFacts, wanted: Wanted, ratios: Ratios) -> str | None:
    if wanted.question is None:
        return None
    if host.landscape is None or host.node_id not in host.landscape.providers:
        return "nothing is known of its resources"
    if candidates(host.landscape, wanted.question, [host.node_id]):
        return None
    return lacking(host.landscape, host.node_id, wanted.question)


def _bandwidth_filter(host: HostFacts, wanted: Wanted, ratios: Ratios) -> str | None:
    for card, kbps in wanted.bandwidth.items():
        left = host.bandwidth.get(card)
        if left is None:
            return f"{kbps} kbps of {card} wanted, and its agent tells no rate of that card"
        if left < kbps:
            return f"{kbps} kbps of {card} wanted, {max(0, left)} kbps are left"
    return None


def _same_host_filter(host: HostFacts, wanted: Wanted, ratios: Ratios) -> str | None:
    if wanted.same_host is not None and host.host not in wanted.same_host:
        return f"the servers named in same_host are on {', '.join(wanted.same_host) or 'no host'}"
    return None


def _different_host_filter(host: HostFacts, wanted: Wanted, ratios: Ratios) -> str | None:
    if host.host in wanted.different_host:
        return "a server named in different_host is here"
    return None


def _affinity_filter(host: HostFacts, wanted: Wanted, ratios: Ratios) -> str | None:
    if wanted.policy == "affinity" and wanted.group_hosts and host.host not in wanted.group_hosts:
        return f"its group is on {', '.join(sorted(set(wanted.group_hosts)))} (affinity)"
    return None


def _anti_affinity_filter(host: HostFacts, wanted: Wanted, ratios: Ratios) -> str | None:
    here = wanted.group_hosts.count(host.host)
    if wanted.policy == "anti-affinity" and here >= wanted.per_host:
        return f"{here} of its group are here, {wanted.per_host} may be (anti-affinity)"
    return None


def _near_filter(host: HostFacts, wanted: Wanted, ratios: Ratios) -> str | None:
    if not wanted.near:
        return None
    try:
        if ipaddress.ip_address(host.address) in ipaddress.ip_network(wanted.near):
            return None
    except ValueError:
        return f"its address is not known, {wanted.near} was asked for"
    return f"its address is not in {wanted.near}"


def _query_filter(host: HostFacts, wanted: Wanted, ratios: Ratios) -> str | None:
    if wanted.query is None or holds(wanted.query, facts_by_name(host, ratios)):
        return None
    return "the query of the hints is not true of it"


def facts_by_name(host: HostFacts, ratios: Ratios) -> dict[str, Any]:
    """The facts that queries and capabilities name, in Nova's words."""
    return {
        "host": host.host,
        "hypervisor_hostname": host.node,
        "hypervisor_type": host.hypervisor_type,
        "hypervisor_version": host.hypervisor_version,
        "host_ip": host.address,
        "vcpus_total": host.vcpus,
        "vcpus_used": host.vcpus_used,
        "total_usable_ram_mb": host.memory_mib,
        "free_ram_mb": host.memory_mib - host.memory_used_mib - host.reserved_memory_mib,
        "total_usable_disk_gb": host.disk_gib,
        "disk_mb_used": host.disk_used_gib * 1024,
        "free_disk_mb": (host.disk_gib - host.disk_used_gib) * 1024,
        "num_instances": host.servers,
        "num_io_ops": host.busy,
        "cpu_allocation_ratio": ratios.cpu,
        "ram_allocation_ratio": ratios.ram,
        "disk_allocation_ratio": ratios.disk,
        "cpu_info:arch": host.architecture,
    }


def _capabilities_filter(host: HostFacts, wanted: Wanted, ratios: Ratios) -> str | None:
    facts = facts_by_name(host, ratios)
    for key, required in _scoped(wanted, "capabilities"):
        if key not in facts or not meets(str(facts[key]), required):
            return (
                f"the flavor asks for {key} {required}, the host has {facts.get(key, 'nothing said of it')}"
            )
    return None


def _scoped(wanted: Wanted, scope: str) -> Iterator[tuple[str, str]]:
    for key, required in wanted.extra_specs.items():
        if key.startswith(f"{scope}:"):
            yield key.removeprefix(f"{scope}:"), required


def _values(host: HostFacts, key: str) -> set[str]:
    """All values of a key in the aggregates of a host; several in one are separated by commas."""
    texts = (one[key] for one in host.aggregates if key in one)
    return {value.strip() for text in texts for value in text.split(",")}


def _aggregate_specs_filter(host: HostFacts, wanted: Wanted, ratios: Ratios) -> str | None:
    for key, required in _scoped(wanted, "aggregate_instance_extra_specs"):
        values = _values(host, key)
        if not any(meets(value, required) for value in values):
            said = ", ".join(sorted(values)) or "nothing"
            return f"the flavor asks for {key} {required} of its aggregates, they say {said}"
    return None


def _aggregate_images_filter(host: HostFacts, wanted: Wanted, ratios: Ratios) -> str | None:
    for key in sorted({key for one in host.aggregates for key in one} & wanted.image.keys()):
        values = _values(host, key)
        if str(wanted.image[key]) not in values:
            return f"its aggregates are for images with {key} {', '.join(sorted(values))}"
    return None


def _tenancy_filter(host: HostFacts, wanted: Wanted, ratios: Ratios) -> str | None:
    keys = {key for one in host.aggregates for key in one if key.startswith("filter_tenant_id")}
    allowed = {value for key in keys for value in _values(host, key)}
    if allowed and wanted.project_id not in allowed:
        return "its aggregates are for other projects"
    return None


def _flavors_filter(host: HostFacts, wanted: Wanted, ratios: Ratios) -> str | None:
    flavors = _values(host, "instance_type")
    if flavors and wanted.flavor not in flavors:
        return f"its aggregates are for the flavors {', '.join(sorted(flavors))}"
    return None


def _limit(host: HostFacts, key: str, usual: int) -> int:
    return min((int(value) for value in _values(host, key) if value.isdecimal()), default=usual)


def _busy_filter(host: HostFacts, wanted: Wanted, ratios: Ratios) -> str | None:
    most = _limit(host, "max_io_ops_per_host", MAX_IO_OPS)
    return f"{host.busy} servers are being built or moved here, {most} may be" if host.busy >= most else None


def _count_filter(host: HostFacts, wanted: Wanted, ratios: Ratios) -> str | None:
    most = _limit(host, "max_instances_per_host", MAX_SERVERS)
    return f"{host.servers} servers are here, {most} may be" if host.servers >= most else None


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


ALWAYS: dict[str, Filter] = {
    "ComputeFilter": _compute_filter,
    "RequestedHostFilter": _requested_filter,
    "CoreFilter": _cores_filter,
    "RamFilter": _memory_filter,
    "DiskFilter": _disk_filter,
    "ResourcesFilter": _resources_filter,
    "BandwidthFilter": _bandwidth_filter,
}
"""Filters that each host is asked, whatever the settings say."""

CHOICE: dict[str, Filter] = {
    "AvailabilityZoneFilter": _zone_filter,
    "ImagePropertiesFilter": _image_filter,
    "ComputeCapabilitiesFilter": _capabilities_filter,
    "SameHostFilter": _same_host_filter,
    "DifferentHostFilter": _different_host_filter,
    "ServerGroupAffinityFilter": _affinity_filter,
    "ServerGroupAntiAffinityFilter": _anti_affinity_filter,
    "SimpleCIDRAffinityFilter": _near_filter,
    "AggregateInstanceExtraSpecsFilter": _aggregate_specs_filter,
    "AggregateImagePropertiesIsolation": _aggregate_images_filter,
    "AggregateMultiTenancyIsolation": _tenancy_filter,
    "AggregateTypeAffinityFilter": _flavors_filter,
    "JsonFilter": _query_filter,
    "IoOpsFilter": _busy_filter,
    "NumInstancesFilter": _count_filter,
}
"""Those that the settings choose from."""

USUAL = tuple(name for name in CHOICE if name not in ("JsonFilter", "IoOpsFilter", "NumInstancesFilter"))

WHEN_FORCED = frozenset({"RequestedHostFilter", "AvailabilityZoneFilter", "ResourcesFilter"})
"""The filters that are asked where the administrator forced a host."""
